#!/bin/bash
# Three node boxes: orca beside the engine's own Swarm and beside a bare API client, in the same run.
#
#   tests/bench/cluster.sh [start|failure|all] [ROUNDS]
#
# start    N tasks, from the request to all of them running, for N = 1, 3, 12, 30, 60. The bare client creates and starts
#          N containers through the engines' API, spread over the boxes: what nobody can be quicker than.
# failure  a killed machine, and one that is cut off without a word: until all six tasks run again.
# Prints milliseconds and ratios. The three take turns, so that each meets the same machine.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
what=${1:-all}
rounds=${2:-3}
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh
# shellcheck source=tests/lib/image.sh
. tests/lib/image.sh
# shellcheck source=tests/lib/box.sh
. tests/lib/box.sh
# shellcheck source=tests/lib/packages.sh
. tests/lib/packages.sh
# shellcheck source=tests/lib/cluster.sh
. tests/lib/cluster.sh

work=$(mktemp -d)
cleanup() {
  cluster_remove
  rm -rf "$work"
}
trap cleanup EXIT
task_image busybox:local
node_image && package_file >/dev/null || exit 1
if ! { cluster_boxes_start && cluster_join && wait_for 30 'nodes_are ready'; }; then
  echo 'error: the boxes do not make a cluster' >&2
  exit 1
fi
address() { box_sh "$1" "ip -4 -o addr show eth0 | sed 's|.*inet \([^/]*\)/.*|\1|'"; }
swarm_join() {
  local token name
  box m1 docker swarm init --advertise-addr "$(address m1)" >/dev/null || return 1
  token=$(box m1 docker swarm join-token -q worker)
  for name in w2 w3; do
    box "$name" docker swarm join --token "$token" "$(address m1):2377" >/dev/null || return 1
  done
}
swarm_join || exit 1

# The scripts run in the boxes, so that no measurement holds a `docker exec` in it. Each prints milliseconds.
cat >"$work/orca" <<'SCRIPT'
#!/bin/bash
# N: tasks of orca, from the request to all running.
n=$1
for ((i = 0; i < n; i++)); do
  [ "$i" -eq 0 ] || echo next
  echo 'unix-socket = /run/orca/orca.sock'
  echo 'header = "Content-Type: application/json"'
  echo 'silent'
  echo 'output = /dev/null'
  echo "data = \"{\\\"name\\\":\\\"b-$i\\\",\\\"spec\\\":{\\\"image\\\":\\\"busybox:local\\\",\\\"command\\\":[\\\"sleep\\\",\\\"100000\\\"],\\\"stop_grace\\\":\\\"1s\\\",\\\"restart\\\":\\\"always\\\"}}\""
  echo 'url = http://orca/v1/tasks'
done >/tmp/requests
begin=${EPOCHREALTIME/./}
curl --parallel --parallel-immediate --parallel-max 16 -K /tmp/requests || exit 1
until [ "$(curl -s --unix-socket /run/orca/orca.sock 'http://orca/v1/tasks?filter=phase=running' | grep -o '"phase":"running"' | wc -l)" -ge "$n" ]; do :; done
echo $(((${EPOCHREALTIME/./} - begin) / 1000))
SCRIPT
cat >"$work/orca-clean" <<'SCRIPT'
#!/bin/bash
orcactl task list -q | grep '^b-' | xargs -r -P 8 -n 1 orcactl task remove --force >/dev/null 2>&1
until [ -z "$(orcactl task list -q | grep '^b-')" ]; do sleep 0.1; done
SCRIPT
cat >"$work/swarm" <<'SCRIPT'
#!/bin/bash
n=$1
begin=${EPOCHREALTIME/./}
docker service create -d --name bench --replicas "$n" --stop-grace-period 1s --restart-delay 0 busybox:local sleep 100000 >/dev/null 2>&1
until [ "$(docker service ls --filter name=bench --format '{{.Replicas}}')" = "$n/$n" ]; do :; done
echo $(((${EPOCHREALTIME/./} - begin) / 1000))
SCRIPT
cat >"$work/bare" <<'SCRIPT'
#!/bin/bash
# N PARALLEL: containers through the engine's API.
n=$1 parallel=$2
one() {
  id=$(curl -s --unix-socket /var/run/docker.sock -H 'Content-Type: application/json' \
    -d '{"Image":"busybox:local","Cmd":["sleep","100000"],"Labels":{"bench":"bare"}}' http://docker/v1.41/containers/create | sed 's/.*"Id":"\([0-9a-f]*\)".*/\1/')
  curl -s --unix-socket /var/run/docker.sock -X POST "http://docker/v1.41/containers/$id/start"
}
export -f one
seq "$n" | xargs -r -P "$parallel" -I{} bash -c one
SCRIPT
for name in "${cluster_boxes[@]}"; do
  for script in orca orca-clean swarm bare; do
    box_put "$name" "$work/$script" "/usr/local/bin/bench-$script"
    box "$name" chmod +x "/usr/local/bin/bench-$script"
  done
done

# bare N PARALLEL: the slowest of the three boxes, each with its share.
bare() {
  local n=$1 begin share i=0 name pids=()
  begin=${EPOCHREALTIME/./}
  for name in "${cluster_boxes[@]}"; do
    share=$(((n + 2 - i) / 3))
    i=$((i + 1))
    [ "$share" -gt 0 ] || continue
    box "$name" bench-bare "$share" "$2" &
    pids+=($!)
  done
  wait "${pids[@]}"
  echo $(((${EPOCHREALTIME/./} - begin) / 1000))
}
bare_clean() {
  local name
  for name in "${cluster_boxes[@]}"; do
    box_sh "$name" 'docker ps -aq --filter label=bench=bare | xargs -r docker rm -f >/dev/null'
  done
}
swarm_clean() {
  local name
  box m1 docker service rm bench >/dev/null
  for name in "${cluster_boxes[@]}"; do
    wait_for 60 "[ -z \"\$(box $name docker ps -aq --filter label=com.docker.swarm.service.name=bench)\" ]"
  done
}
orca_clean() {
  local name
  box m1 bench-orca-clean
  for name in "${cluster_boxes[@]}"; do
    wait_for 60 "[ -z \"\$(box $name docker ps -aq --filter label=orca.cluster)\" ]"
  done
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", b ? a / b : 0 }'; }

bench_start() {
  local n round parallel best fastest got
  printf '%-26s %8s %8s %8s %12s %12s\n' 'request to all running, ms' orca swarm bare 'orca/swarm' 'orca/bare'
  for n in 1 3 12 30 60; do
    : >"$work/o" && : >"$work/s" && : >"$work/b"
    fastest=''
    best=1
    # Once for each parallelism of the bare client; the best one takes part.
    for parallel in 1 2 4; do
      got=$(bare "$n" "$parallel")
      bare_clean
      if [ -z "$fastest" ] || [ "$got" -lt "$fastest" ]; then
        fastest=$got best=$parallel
      fi
    done
    for ((round = 0; round < rounds; round++)); do
      box m1 bench-orca "$n" >>"$work/o"
      orca_clean
      box m1 bench-swarm "$n" >>"$work/s"
      swarm_clean
      bare "$n" "$best" >>"$work/b"
      bare_clean
    done
    local o s b
    o=$(median <"$work/o") s=$(median <"$work/s") b=$(median <"$work/b")
    printf '%-26s %8s %8s %8s %12s %12s\n' "$n tasks" "$o" "$s" "$b" "$(ratio "$o" "$s")" "$(ratio "$o" "$b")"
  done
}

# How long until six tasks run without w3, from the fault; asked in m1.
orca_back() {
  box_sh m1 'begin=${EPOCHREALTIME/./}
    until [ "$(orcactl task list -o json | tr "{" "\n" | grep "\"phase\":\"running\"" | grep -cv "\"node\":\"w3\"")" -ge 6 ]; do :; done
    echo $(((${EPOCHREALTIME/./} - begin) / 1000))'
}
swarm_back() {
  box_sh m1 'begin=${EPOCHREALTIME/./}
    until [ "$(docker service ps bench --filter desired-state=running --format "{{.Node}} {{.CurrentState}}" | grep Running | grep -cv "^w3")" -ge 6 ]; do :; done
    echo $(((${EPOCHREALTIME/./} - begin) / 1000))'
}

bench_failure() {
  local fault o s
  printf '%-26s %8s %8s %12s\n' 'until six tasks run again, ms' orca swarm 'orca/swarm'
  for fault in kill cut; do
    box m1 bench-orca 6 >/dev/null
    if [ "$fault" = kill ]; then box_kill w3; else cut w3; fi
    o=$(orca_back)
    if [ "$fault" = kill ]; then box_boot w3; else heal w3; fi
    wait_for 60 'nodes_are ready'
    orca_clean
    box m1 bench-swarm 6 >/dev/null
    if [ "$fault" = kill ]; then box_kill w3; else cut w3; fi
    s=$(swarm_back)
    if [ "$fault" = kill ]; then box_boot w3; else heal w3; fi
    swarm_clean
    wait_for 60 'nodes_are ready'
    printf '%-26s %8s %8s %12s\n' "$fault of one of three" "$o" "$s" "$(ratio "$o" "$s")"
  done
}

case $what in
  start) bench_start ;;
  failure) bench_failure ;;
  all)
    bench_start
    echo
    bench_failure
    ;;
  *)
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
