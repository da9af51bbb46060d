#!/bin/bash
# How long `orcactl task start` takes to a running task, beside `docker run -d` of the same image in the same run.
#
#   tests/bench/task-start.sh [PAIRS]
#
# The two take turns (in changing order), so that both meet the same machine. Prints medians, 90th percentiles, their
# ratio, and the time that orca itself adds (from the attempt's own record, without the engine's part). Start orca from
# release programs: ORCA_BIN_DIR=target/release.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
pairs=${1:-40}
: "${ORCA_BIN_DIR:=$PWD/target/release}"
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh
# shellcheck source=tests/lib/image.sh
. tests/lib/image.sh
# shellcheck source=tests/lib/orca.sh
. tests/lib/orca.sh
sed -i 's/^log_level = .*/log_level = "info"/' "$orca_dir/orcad.toml"
cleanup() {
  docker ps -aq --filter "label=orca-bench=$$" | xargs -r docker rm -f >/dev/null 2>&1
  orca_cleanup
}
trap cleanup EXIT
task_image busybox:local
orcad_start || exit 1

# timed FILE COMMAND…: appends the milliseconds that the command took.
timed() {
  local file=$1 begin end
  shift
  begin=${EPOCHREALTIME/./}
  "$@" >/dev/null 2>&1 || {
    echo "failed: $*" >&2
    exit 1
  }
  end=${EPOCHREALTIME/./}
  echo "$(((end - begin) / 1000))" >>"$file"
}
by_docker() { timed "$orca_dir/docker.ms" docker run -d --label "orca-bench=$$" --name "orca-bench-$$-$1" busybox:local sleep 100000; }
by_orca() { timed "$orca_dir/orca.ms" "$ORCA_BIN_DIR/orcactl" task start --name "bench-$1" --stop-timeout 1s busybox:local sleep 100000; }

by_docker warm
by_orca warm
: >"$orca_dir/docker.ms"
: >"$orca_dir/orca.ms"
for ((i = 0; i < pairs; i++)); do
  if ((i % 2)); then
    by_docker "$i"
    by_orca "$i"
  else
    by_orca "$i"
    by_docker "$i"
  fi
  # Neither is to carry the other's containers along.
  docker rm -f "orca-bench-$$-$i" >/dev/null 2>&1
  task "bench-$i" '.history[-1] | "\(.own_ms // "")"' >>"$orca_dir/own.ms"
  ctl task remove --force "bench-$i" >/dev/null 2>&1
done

# rank FILE PERCENT
rank() { sort -n "$1" | awk -v p="$2" 'NF { v[n++] = $1 } END { i = int(p / 100 * (n - 1) + 0.5); print v[i] }'; }
median_docker=$(rank "$orca_dir/docker.ms" 50)
median_orca=$(rank "$orca_dir/orca.ms" 50)
printf '%-34s %8s %8s\n' "$pairs pairs, milliseconds" median p90
printf '%-34s %8s %8s\n' 'docker run -d' "$median_docker" "$(rank "$orca_dir/docker.ms" 90)"
printf '%-34s %8s %8s\n' 'orcactl task start, to running' "$median_orca" "$(rank "$orca_dir/orca.ms" 90)"
# Where the engine's event overtakes the answer to the start, the record holds the engine's part too: no percentile.
printf '%-34s %8s\n' 'of it in orcad, without the engine' "$(rank "$orca_dir/own.ms" 50)"
printf '%-34s %8s\n' 'ratio of medians' "$(awk -v a="$median_orca" -v b="$median_docker" 'BEGIN { printf "%.2f", a / b }')"
