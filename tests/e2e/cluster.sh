#!/bin/bash
# needs: docker packages
# Three node boxes from the package: join, twelve tasks, a killed box, a cut one, a drained one, a rebooted one, a killed
# manager, a restarted worker; after each step the checker finds exactly the wanted tasks.
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
# shellcheck source=tests/lib/cluster.sh
. tests/lib/cluster.sh

trap cluster_remove EXIT
task_image busybox:local
node_image || exit 1
package_file >/dev/null || exit 1
cluster_boxes_start || {
  not_ok 'three node boxes with the package'
  exit 1
}

# ------------------------------------------------------------------------------------------- join
check_is 'no TCP socket is open before the first token' '' "$(box_sh m1 'ss -Hltnp | grep orcad')"
line=$(ctl node token --uses 2 2>/tmp/orca-token-$$)
said=$(cat /tmp/orca-token-$$ && rm -f /tmp/orca-token-$$)
check_match 'a token is one line to paste' '^sudo orcactl worker start --join orca1-[0-9a-z]+$' "$line"
check_match 'with the port to open' '7443' "$said"
check_match 'the port is open now' 'orcad' "$(box_sh m1 'ss -Hltnp sport = :7443')"
for name in w2 w3; do
  check "$name joins with it" box_sh "$name" "$line"
done
check_exit 'a spent token is refused' 77 box_sh w2 "orcactl worker leave >/dev/null 2>&1; $line"
check 'a fresh one lets it in again' box_sh w2 "$(ctl node token 2>/dev/null)"
check_wait 'three nodes are ready' 10 'nodes_are ready && [ "$(ctl node list -q | wc -l)" = 3 ]'
check_exit 'a worker says who answers for the cluster' 1 box w2 orcactl task list
check_match 'and what to type' 'm1|manager' "$(box w2 orcactl task list 2>&1)"
check_match 'its status tells its way to the manager' 'connected' "$(box w2 orcactl status 2>&1)"

# ------------------------------------------------------------------------------------------- work
# The boxes measure the load of one machine, each at another moment: by count the shares are the same in every run.
check 'placement is set for the cluster' ctl cluster set scheduler=spread
check 'twelve tasks' box_sh m1 'for i in $(seq 12); do
  orcactl task start --detach --name t$i --stop-timeout 1s --restart always busybox:local \
    sh -c "trap \"exit 0\" TERM; echo here is t$i; while :; do sleep 0.2; done" || exit 1; done'
check_wait 'they all run, each in one container' 30 'exact 12'
check_is 'on three nodes' 3 "$(ctl task list -o json | jq '[.[].node] | unique | length')"
far=$(ctl task list -o json | jq -r '[.[] | select(.node != "m1")][0].name')
check_wait 'output of a task elsewhere' 10 "ctl task logs $far | grep -q 'here is $far'"
check_is 'a process in it' "$far" "$(ctl task exec "$far" hostname)"
check_wait 'and what it uses' 20 "ctl task stats $far -o json | jq -e '.[0].load.memory > 0'"

# ------------------------------------------------------------------------------------------- orcad alone
before=$(all_containers)
box w2 systemctl restart orcad
check_wait 'a worker whose orcad restarts comes back' 20 'nodes_are ready'
check_is 'and nothing moved' "$before" "$(all_containers)"
box_sh m1 'kill -9 $(systemctl show -P MainPID orcad)'
check_wait 'a manager that is killed comes back' 20 'nodes_are ready && exact 12'
check_is 'and nothing moved either' "$before" "$(all_containers)"
box_sh w3 'systemctl stop orcad.socket orcad-view.socket orcad.service' >/dev/null 2>&1
check_wait 'an orcad that is stopped is disconnected' 15 '[ "$(node_field w3 .state)" = disconnected ]'
check_is 'its tasks run on' "$before" "$(all_containers)"
box w3 systemctl start orcad
check_wait 'it is ready again' 15 'nodes_are ready && exact 12'
check_is 'and nothing moved' "$before" "$(all_containers)"

# ------------------------------------------------------------------------------------------- a box is killed
box_kill w3
check_wait 'a killed machine is down, and its tasks run elsewhere' 30 'exact 12 m1 w2'
check_match 'the events say so' 'node_down' "$(ctl events -n 200)"
moved=$(ctl task list -o json | jq -r '[.[] | select(.node == "m1")][-1].name')
check_match 'explain tells where a task is, and why' "$moved" "$(ctl task explain "$moved")"
box_boot w3
check_wait 'it comes back, and its old containers go' 40 'nodes_are ready && exact 12'

# ------------------------------------------------------------------------------------------- a box is cut off
check_wait 'new work goes to the empty node' 20 'ctl task start --name t13 --stop-timeout 1s busybox:local sleep 100000'
check_is 'which is w3' w3 "$(ctl task inspect t13 -o json | jq -r .node)"
cut w3
check_wait 'a machine that is cut off without a word is down' 30 '[ "$(node_field w3 .state)" = down ]'
check_wait 'its tasks run elsewhere' 20 'exact 13 m1 w2'
check_is 'its own container runs on meanwhile' 1 "$(containers w3 | grep -c .)"
heal w3
check_wait 'after the cut each task has one container' 15 'nodes_are ready && exact 13'

# ------------------------------------------------------------------------------------------- drain
ctl node drain w2 --detach >/dev/null 2>&1
least=13 looked=0
while [ "$(node_field w2 .tasks)" != 0 ] && [ "$SECONDS" -lt 3000 ]; do
  now=$(running)
  [ "$now" -ge "$least" ] || least=$now
  [ $((++looked)) -lt 600 ] || break
done
check_is 'a drained node has nothing left' 0 "$(node_field w2 .tasks)"
check_is 'never fewer tasks ran than wanted' 13 "$least"
check_wait 'each has one container' 15 'exact 13'
check_is 'and none of them is there' 0 "$(containers w2 | grep -c .)"
check 'it is let in again' ctl node activate w2

# ------------------------------------------------------------------------------------------- reboot
docker restart -t 60 "$box_prefix-w3" >/dev/null
check_wait 'a rebooted machine is back' 60 'nodes_are ready'
check_wait 'with every task running once' 40 'exact 13'

# ------------------------------------------------------------------------------------------- leave and remove
check 'a worker leaves' box w2 orcactl worker leave
check_wait 'the cluster has forgotten it' 10 '[ "$(ctl node list -q | wc -l)" = 2 ]'
check_wait 'nothing was lost' 20 'exact 13 m1 w3'
check_match 'it is a cluster of one again' 'manager' "$(box w2 orcactl status 2>&1)"
check_is 'without containers of the old one' 0 "$(containers w2 | grep -c .)"
check 'a node is removed while it answers' ctl node remove w3 --force
check_wait 'its tasks run on the last one, its containers go' 30 'exact 13'
check_wait 'it is a cluster of one again too' 20 "box w3 orcactl status -o json | jq -e '.roles | index(\"manager\")'"
finish
