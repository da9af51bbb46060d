#!/bin/bash
# needs: docker packages
# Restarts, crashes and hangs of the engine under running tasks, in a node box: as Debian sets the engine up, and with
# live-restore and the systemd cgroup driver.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh
# shellcheck source=tests/lib/image.sh
. tests/lib/image.sh
# shellcheck source=tests/lib/box.sh
. tests/lib/box.sh
# shellcheck source=tests/lib/packages.sh
. tests/lib/packages.sh
trap boxes_remove EXIT

rounds=3
[ -z "${ORCA_LONG-}" ] || rounds=20
task_image busybox:local
node_image || exit 1

# field BOX TASK JQ
field() { box "$1" orcactl task inspect "$2" -o json | jq -r "(if type == \"array\" then .[0] else . end) | $3"; }
# running BOX: how many tasks run.
running() { box "$1" orcactl task list -o json | jq '[.[] | select(.phase == "running" and .stale_since == null)] | length'; }
engine_back() { wait_for 60 "box $1 docker version"; }

# ------------------------------------------------------------------------------------------- as Debian sets it up
box_start plain || {
  not_ok 'a node box starts'
  exit 1
}
box_install plain >/dev/null 2>&1
for i in 1 2 3; do
  box plain orcactl task start --name "t$i" --init busybox:local sh -c 'trap "exit 0" TERM; while :; do sleep 0.2; done' >/dev/null 2>&1
done
check_is 'three tasks run' 3 "$(running plain)"
for ((i = 1; i <= rounds; i++)); do
  if ((i % 2)); then box plain systemctl restart docker; else box_sh plain 'kill -9 $(pidof dockerd)'; fi
  engine_back plain
  check_wait "they come back after engine restart $i" 60 '[ "$(running plain)" = 3 ]'
done
check_is 'the reason is the engine, whatever the exit code' engine_restart "$(field plain t1 '.history[0].reason')"
check_is 'and no restart is counted' '0 0 0' "$(for i in 1 2 3; do field plain "t$i" .restarts; done | paste -sd ' ')"

box_sh plain 'kill -STOP $(pidof dockerd)'
check_wait 'a hanging engine is noticed, and the task marked' 60 \
  "box plain orcactl node list -o json | jq -e '.[0].conditions | length > 0'"
check 'orca answers meanwhile' box plain timeout 5 orcactl status
box_sh plain 'kill -CONT $(pidof dockerd)'
check_wait 'and is forgiven when it answers again' 60 '[ "$(running plain)" = 3 ]'
check_is 'without a restart' '0 0 0' "$(for i in 1 2 3; do field plain "t$i" .restarts; done | paste -sd ' ')"

box plain systemctl stop docker.socket docker.service
check_wait 'an engine that is away is noticed' 60 \
  "box plain orcactl node list -o json | jq -e '.[0].conditions | length > 0'"
# Its unit counts starts, and there were many.
box plain systemctl reset-failed docker.service
box plain systemctl start docker.service
check_wait 'and the tasks come back with it' 60 '[ "$(running plain)" = 3 ]'

# ------------------------------------------------------------------------------------------- live-restore, systemd
box_start live || not_ok 'a second node box starts'
box_sh live 'mkdir -p /etc/docker
  echo "{\"exec-opts\": [\"native.cgroupdriver=systemd\"], \"live-restore\": true}" >/etc/docker/daemon.json
  systemctl restart docker'
engine_back live
box_install live >/dev/null 2>&1
for i in 1 2 3; do
  box live orcactl task start --name "t$i" --memory 64m busybox:local sleep 100000 >/dev/null 2>&1
done
check_is 'three tasks run under the systemd cgroup driver' 3 "$(running live)"
check_match 'each in a slice of its own' '/orca.slice/orca-t1.slice/docker-' \
  "$(box_sh live 'cat /proc/$(docker inspect -f "{{.State.Pid}}" $(docker ps -qf label=orca.task=t1))/cgroup')"
check_match 'which systemctl shows' 'sleep 100000' "$(box live systemctl status orca-t1.slice)"
before=$(box_sh live 'docker inspect -f "{{.Id}} {{.State.StartedAt}}" $(docker ps -q | sort)')
for ((i = 1; i <= rounds; i++)); do
  if ((i % 2)); then box live systemctl restart docker; else box_sh live 'kill -9 $(pidof dockerd)'; fi
  engine_back live
  check_wait "they run on through engine restart $i" 60 '[ "$(running live)" = 3 ]'
done
check_is 'in the same containers' "$before" "$(box_sh live 'docker inspect -f "{{.Id}} {{.State.StartedAt}}" $(docker ps -q | sort)')"
check_is 'and one attempt each' '1 1 1' "$(for i in 1 2 3; do field live "t$i" .attempts; done | paste -sd ' ')"
check_wait 'their usage is measured' 30 \
  "box live orcactl task stats -o json | jq -e '(if type == \"array\" then . else .items end) | map(select(.load != null)) | length == 3'"
finish
