#!/bin/bash
# Tasks whose process fails at once, on the real engine: how many containers they pile up, how many attempts they make, and
# what a healthy task and a new one notice of it. tests/bench/endurance.sh does the same over a fake engine.
#
#   tests/bench/failing.sh [TASKS]
#
# Fails where a bound is broken or the healthy task was touched; the times are only shown.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
count=${1:-200}
: "${ORCA_BIN_DIR:=$PWD/target/release}"
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh
# shellcheck source=tests/lib/image.sh
. tests/lib/image.sh
# shellcheck source=tests/lib/orca.sh
. tests/lib/orca.sh
sed -i 's/^log_level = .*/log_level = "info"/' "$orca_dir/orcad.toml"
cluster=''
# When it is stopped, orcad may be gone and not answer, and what it had asked for may come up after the first look.
cleanup() {
  [ -z "$orcad_pid" ] || kill -9 "$orcad_pid" 2>/dev/null
  for _ in 1 2 3; do
    [ -z "$cluster" ] || docker ps -aq --filter "label=orca.cluster=$cluster" | xargs -r docker rm -fv >/dev/null 2>&1
  done
  orca_cleanup
}
trap cleanup EXIT
task_image busybox:local
orcad_start || exit 1
cluster=$(api /v1/status | jq -r .cluster)

# started NAME: the milliseconds until a new task runs.
started() {
  local begin=${EPOCHREALTIME/./} end
  ctl task start --name "$1" busybox:local sleep 100000 >/dev/null 2>&1 || return 1
  end=${EPOCHREALTIME/./}
  echo "$(((end - begin) / 1000))"
}
fail_all() {
  local i requests=()
  for ((i = 0; i < count; i++)); do
    requests+=(--next -sf -o /dev/null --unix-socket "$ORCA_SOCKET" -H 'content-type: application/json'
      -d "{\"name\":\"fails-$i\",\"spec\":{\"image\":\"busybox:local\",\"command\":[\"sh\",\"-c\",\"exit 1\"]}}"
      http://orca/v1/tasks)
  done
  curl --parallel --parallel-max 20 "${requests[@]:1}"
}
containers() { docker ps -aq --filter "label=orca.cluster=$cluster" | wc -l; }
failing() { api '/v1/tasks?limit=1000' | jq "[.items[] | select(.name | startswith(\"fails-\")) | $1]"; }

quiet=$(started healthy) || exit 1
kept=$(container_of healthy)
begin=$SECONDS
check "$count tasks that fail are accepted" fail_all
beside=$(started beside) || not_ok 'another task starts beside them'
most=0
end=$((SECONDS + 120 + 6 * count))
until [ "$(failing .attempts | jq 'length == '"$count"' and min >= 4')" = true ]; do
  [ "$SECONDS" -lt "$end" ] || {
    not_ok 'each is tried four times'
    break
  }
  now=$(containers)
  [ "$now" -le "$most" ] || most=$now
  sleep 0.5
done
took=$((SECONDS - begin))
later=$(started later) || not_ok 'another task starts while they back off'

# Of each: the one that is made, and the last two that ended.
bound=$((3 * count + 3))
check "at most $bound containers" [ "$most" -le "$bound" ]
check_is 'the healthy task is in its first container' "$kept 1 0" \
  "$(container_of healthy) $(task healthy .attempts) $(task healthy .restarts)"
check_is 'each knows its exit code' '[1]' "$(failing .exit_code | jq -c unique)"
printf '%-56s %6s\n' "$count tasks of \`exit 1\`, four attempts each, seconds" "$took"
printf '%-56s %6s\n' 'most attempts of one' "$(failing .attempts | jq max)"
printf '%-56s %6s\n' "most containers at once (bound $bound)" "$most"
printf '%-56s %6s\n' 'task start before, milliseconds' "$quiet"
printf '%-56s %6s\n' 'task start while all of them begin' "$beside"
printf '%-56s %6s\n' 'task start while they back off' "$later"
finish
