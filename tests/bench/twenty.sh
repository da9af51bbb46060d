#!/bin/bash
# Twenty tasks requested at once by one client, with several limits of orca's own (docker.parallel_starts), beside twenty
# `docker run -d` in a row and twenty starts by a bare client of the engine's API at several parallelisms, in one run.
#
#   tests/bench/twenty.sh [ROUNDS]
#
# Prints medians of the rounds and the two ratios. Start orca from release programs: ORCA_BIN_DIR=target/release.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
rounds=${1:-5}
count=20
: "${ORCA_BIN_DIR:=$PWD/target/release}"
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh
# shellcheck source=tests/lib/image.sh
. tests/lib/image.sh
# shellcheck source=tests/lib/orca.sh
. tests/lib/orca.sh
sed -i 's/^log_level = .*/log_level = "info"/' "$orca_dir/orcad.toml"
label=orca-bench=$$
export label
cluster=''
emptied() { docker ps -aq --filter "label=$label" | xargs -r docker rm -f >/dev/null 2>&1; }
# When it is stopped, orcad may be gone and not answer, and what a client had asked for may come up after the first look.
cleanup() {
  pkill -P $$
  for _ in 1 2 3; do
    emptied
    [ -z "$cluster" ] || docker ps -aq --filter "label=orca.cluster=$cluster" | xargs -r docker rm -fv >/dev/null 2>&1
  done
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
  echo "$(((end - begin) / 1000))" >>"$orca_dir/$file"
}

in_a_row() {
  local i
  for ((i = 0; i < count; i++)); do
    docker run -d --label "$label" busybox:local sleep 100000 || return 1
  done
}

# bare_one: create and start, each with one request. bare PARALLEL: all of them.
bare_one() {
  local id socket=/run/docker.sock api=http://engine/v1.41/containers
  id=$(curl -sf --unix-socket $socket -H 'content-type: application/json' \
    -d "{\"Image\":\"busybox:local\",\"Cmd\":[\"sleep\",\"100000\"],\"Labels\":{\"${label%=*}\":\"${label#*=}\"}}" \
    $api/create | cut -d '"' -f 4)
  curl -sf --unix-socket $socket -X POST "$api/$id/start"
}
export -f bare_one
bare() { seq "$count" | xargs -P "$1" -I{} bash -c bare_one; }

# by_orca: one client asks for all of them at once over the control socket, and waits until all run.
by_orca() {
  local i requests=()
  for ((i = 0; i < count; i++)); do
    requests+=(--next -sf -o /dev/null --unix-socket "$ORCA_SOCKET" -H 'content-type: application/json'
      -d "{\"name\":\"t$i\",\"spec\":{\"image\":\"busybox:local\",\"command\":[\"sleep\",\"100000\"],\"stop_grace\":\"1s\"}}"
      http://orca/v1/tasks)
  done
  curl --parallel --parallel-max "$count" "${requests[@]:1}" || return 1
  # One client asks how many run, and notices the last within the time of a request.
  wait_all_run
}
wait_all_run() {
  local end=$((SECONDS + 120))
  until [ "$(api '/v1/tasks?filter=phase%3Drunning' | jq '.items | length')" = "$count" ]; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.02
  done
}
orca_emptied() {
  local i names=()
  for ((i = 0; i < count; i++)); do names+=("t$i"); done
  ctl task remove --force "${names[@]}" >/dev/null 2>&1
  wait_for 60 '[ -z "$(docker ps -aq --filter "label=orca.cluster=$cluster")" ]'
}
# limited N: orcad is started again, with another limit.
limited() {
  orcad_stop
  sed -i '/^parallel_starts/d' "$orca_dir/orcad.toml"
  echo "parallel_starts = $1" >>"$orca_dir/orcad.toml"
  orcad_start
}
cluster=$(api /v1/status | jq -r .cluster)

parallel=(2 4 8 20)
limits=(4 8 20)
default=8
for ((round = 0; round < rounds; round++)); do
  timed row.ms in_a_row
  emptied
  for n in "${limits[@]}"; do
    limited "$n" || exit 1
    timed "orca-$n.ms" by_orca
    orca_emptied
  done
  for p in "${parallel[@]}"; do
    timed "bare-$p.ms" bare "$p"
    emptied
  done
done

median() { sort -n "$orca_dir/$1" | awk 'NF { v[n++] = $1 } END { print v[int(n / 2)] }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
row=$(median row.ms)
orca=$(median "orca-$default.ms")
best='' best_at=''
printf '%-52s %6s\n' "$count starts, median of $rounds rounds, milliseconds" ''
printf '%-52s %6s\n' 'docker run -d, one after the other' "$row"
for n in "${limits[@]}"; do
  printf '%-52s %6s\n' "orca, all requested at once, at most $n starts" "$(median "orca-$n.ms")"
done
for p in "${parallel[@]}"; do
  took=$(median "bare-$p.ms")
  printf '%-52s %6s\n' "bare client of the engine, $p at once" "$took"
  if [ -z "$best" ] || [ "$took" -lt "$best" ]; then best=$took best_at=$p; fi
done
printf '%-52s %6s\n' "orca ($default starts) to docker run in a row" "$(ratio "$orca" "$row")"
printf '%-52s %6s\n' "orca to the best bare client ($best_at at once)" "$(ratio "$orca" "$best")"
