#!/bin/bash
# How large the programs are, how quickly they begin, and what the daemon takes while nothing happens.
#
#   tests/bench/footprint.sh [CRASHES]
#
# Sizes of both programs; `orcactl version`; `orcactl task list` of 1,000 tasks; private memory and CPU of an orcad that
# is manager and worker of 20 running tasks, over a minute; and the time from kill -9 to the first answer with 1,000
# tasks in the store (systemd waits RestartSec=200ms on top). Times include starting the process that is timed.
# Needs Docker. Release programs: ORCA_BIN_DIR=target/release.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
crashes=${1:-100}
: "${ORCA_BIN_DIR:=$PWD/target/release}"
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh
# shellcheck source=tests/lib/image.sh
. tests/lib/image.sh
# shellcheck source=tests/lib/orca.sh
. tests/lib/orca.sh
sed -i 's/^log_level = .*/log_level = "info"/' "$orca_dir/orcad.toml"
trap orca_cleanup EXIT
task_image busybox:local

row() { printf '%-52s %12s %12s\n' "$1" "$2" "${3-}"; }
now() { echo "${EPOCHREALTIME/./}"; }
# rank FILE PERCENT, of microseconds, in milliseconds
rank() { sort -n "$1" | awk -v p="$2" 'NF { v[n++] = $1 } END { i = int(p / 100 * (n - 1) + 0.5); printf "%.1f ms", v[i] / 1000 }'; }
# times NAME COUNT COMMAND…: median and 99th percentile
times() {
  local name=$1 count=$2 file=$orca_dir/times begin i
  shift 2
  : >"$file"
  for ((i = 0; i < count; i++)); do
    begin=$(now)
    "$@" >/dev/null || exit 1
    echo $(($(now) - begin)) >>"$file"
  done
  row "$name" "$(rank "$file" 50)" "$(rank "$file" 99)"
}
mib() { awk -v b="$1" 'BEGIN { printf "%.2f MiB", b / 1048576 }'; }

for program in orcad orcactl; do
  row "size of $program" "$(mib "$(stat -c %s "$ORCA_BIN_DIR/$program")")"
done

orcad_start || exit 1
row '' median p99
times 'orcactl version' 100 "$ORCA_BIN_DIR/orcactl" version

# ------------------------------------------------------------------------------------------------ idle
for i in $(seq 20); do
  ctl task start --detach --name "idle-$i" --stop-timeout 1s busybox:local sleep 100000 >/dev/null || exit 1
done
wait_for 120 '[ "$(ctl task list -o json | jq "[.[] | select(.phase == \"running\")] | length")" = 20 ]' || exit 1
ticks() { awk '{ print $14 + $15 }' "/proc/$orcad_pid/stat"; }
# The work of the starts is done when a poll of the machine has passed.
before=$(ticks)
sleep 10
before=$(ticks)
sleep 60
after=$(ticks)
row '' '' ''
row 'orcad with 20 tasks, idle: private memory' \
  "$(mib "$(awk '/^Private_/ { sum += $2 * 1024 } END { print sum }' "/proc/$orcad_pid/smaps_rollup")")"
row 'the same: CPU, of one core' "$(awk -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f %%", t / hz / 60 * 100 }')"
for i in $(seq 20); do ctl task remove --force --detach "idle-$i" >/dev/null; done
wait_for 120 '[ "$(ctl task list -q | wc -l)" = 0 ]' || exit 1

# ------------------------------------------------------------------------------------------------ a full store
# They ask for more than there is, so that the store is all that is measured.
for i in $(seq 1000); do
  ctl task start --detach --name "full-$i" --reserve-memory 900g busybox:local true >/dev/null 2>&1 || exit 1
done
row '' median p99
times 'orcactl task list, 1,000 tasks' 100 "$ORCA_BIN_DIR/orcactl" task list
: >"$orca_dir/crash"
for ((i = 0; i < crashes; i++)); do
  begin=$(now)
  orcad_crash
  "$ORCA_BIN_DIR/orcad" --config "$orca_dir/orcad.toml" >>"$orca_dir/orcad.log" 2>&1 &
  orcad_pid=$!
  until "$ORCA_BIN_DIR/orcactl" status >/dev/null 2>&1; do
    if ! kill -0 "$orcad_pid" 2>/dev/null || [ $(($(now) - begin)) -gt 30000000 ]; then
      tail -n 20 "$orca_dir/orcad.log" >&2
      exit 1
    fi
  done
  echo $(($(now) - begin)) >>"$orca_dir/crash"
done
row "kill -9 to the first answer, 1,000 tasks ($crashes times)" "$(rank "$orca_dir/crash" 50)" "$(rank "$orca_dir/crash" 99)"
row 'the store with 1,000 tasks' "$(mib "$(cat "$orca_dir"/state/*.db | wc -c)")"
