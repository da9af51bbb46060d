# shellcheck shell=bash
# Three boxes that are one cluster, faults for them, and the checker of what runs where. Source it after packages.sh.
#
# The boxes are m1 (manager and worker), w2 and w3 (workers), on a bridge of their own. Every function that asks orca
# asks on m1.

cluster_net=orca-net-$$
cluster_boxes=(m1 w2 w3)

# cluster_boxes_start: the boxes with the package, not joined yet.
cluster_boxes_start() {
  local name
  docker network create "$cluster_net" >/dev/null || return 1
  for name in "${cluster_boxes[@]}"; do
    box_start "$name" --network "$cluster_net" || return 1
    box_install "$name" >/dev/null 2>&1 || return 1
  done
}

# cluster_join: makes one token on m1, and types its line in the other boxes.
cluster_join() {
  local line name
  line=$(box m1 orcactl node token --uses 2 2>/dev/null) || return 1
  for name in w2 w3; do
    box_sh "$name" "$line" || return 1
  done
}

cluster_remove() {
  boxes_remove
  docker network rm "$cluster_net" >/dev/null 2>&1 || true
}

# ctl ARGUMENTS…: orcactl on the manager.
ctl() { box m1 orcactl "$@"; }

# node_field NAME JQ: a field of a node.
node_field() { ctl node list -o json | jq -r ".[] | select(.name == \"$1\") | $2"; }

# nodes_are STATE: every node has this state.
nodes_are() { [ "$(ctl node list -o json | jq -r '[.[].state] | unique | join(" ")')" = "$1" ]; }

# running: how many tasks run, as orca says.
running() { ctl task list -o json | jq '[.[] | select(.phase == "running")] | length'; }

# containers NAME: the running containers of tasks in a box: task id, container, start.
containers() {
  box_sh "$1" 'ids=$(docker ps -q --no-trunc --filter label=orca.cluster)
    [ -z "$ids" ] || docker inspect -f "{{index .Config.Labels \"orca.placement\"}} {{.Id}} {{.State.StartedAt}}" $ids' | sort
}

# all_containers BOX…: of these boxes (all where none is named).
all_containers() {
  local name
  [ $# -gt 0 ] || set -- "${cluster_boxes[@]}"
  for name; do containers "$name"; done | sort
}

# exact N [BOX…]: N tasks run, each has exactly one container in these boxes, and there is no other container.
exact() {
  local wanted=$1 have tasks
  shift
  tasks=$(ctl task list -o json | jq -r '[.[] | select(.phase == "running")] | length') || return 1
  have=$(all_containers "$@") || return 1
  [ "$tasks" = "$wanted" ] && [ "$(grep -c . <<<"$have")" = "$wanted" ] &&
    [ "$(awk '{ print $1 }' <<<"$have" | sort -u | grep -c .)" = "$wanted" ]
}

# cut NAME: nothing goes to or from the box any more, without a word. heal NAME: and back.
cut() { box_sh "$1" 'iptables -I INPUT -i eth0 -j DROP && iptables -I OUTPUT -o eth0 -j DROP'; }
heal() { box_sh "$1" 'iptables -D INPUT -i eth0 -j DROP && iptables -D OUTPUT -o eth0 -j DROP'; }
