# shellcheck shell=bash
# Node boxes: containers whose PID 1 is systemd, with a Docker engine of their own. Source it after image.sh.
#
# The flags were found by leaving each out: all capabilities but the one that the machine itself may lack (with
# --privileged the box does not start there), cgroups remounted writable (or nested containers are refused), no
# seccomp filter (or they cannot join a session keyring).

box_prefix=orca-box-$$
boxes=()

# box_run NAME INIT [DOCKER RUN FLAGS…]: starts a box whose PID 1 is INIT.
box_run() {
  local name=$box_prefix-$1 init=$2 dropped=()
  shift 2
  grep -q '^CapBnd:.*1fffeffffff$' /proc/self/status && dropped=(--cap-drop=SYS_RESOURCE)
  boxes+=("$name")
  docker run -d --name "$name" --hostname "${name#"$box_prefix-"}" \
    --cap-add=ALL "${dropped[@]}" \
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
    --security-opt systempaths=unconfined --cgroupns=private \
    --tmpfs /run --tmpfs /run/lock --tmpfs /tmp -v /var/lib/docker \
    --stop-signal SIGRTMIN+3 "$@" orca-node:local /bin/sh -c "
      for d in /sys/fs/cgroup /sys/fs/cgroup/*; do
        mountpoint -q \$d && mount -o remount,rw,bind \$d
      done
      exec $init" >/dev/null
}

# box_start NAME [DOCKER RUN FLAGS…]: starts a box and waits until its engine runs a container.
box_start() {
  local name=$box_prefix-$1 flags=("${@:2}")
  box_run "$1" /sbin/init "${flags[@]}" || return 1
  wait_for 60 "docker exec $name docker version" || return 1
  docker save busybox:local | docker exec -i "$name" docker load >/dev/null || return 1
  docker exec "$name" docker run --rm busybox:local true
}

# box NAME COMMAND…: runs a command in a box.
box() {
  local name=$box_prefix-$1
  shift
  docker exec "$name" "$@"
}

# box_sh NAME SCRIPT: runs a shell script in a box.
box_sh() {
  docker exec "$box_prefix-$1" bash -c "$2"
}

# box_put NAME FILE PATH: copies a file into a box.
box_put() {
  docker exec -i "$box_prefix-$1" sh -c "cat >'$3'" <"$2"
}

# box_kill NAME: as a power cut would. box_boot NAME: and back.
box_kill() { docker kill "$box_prefix-$1" >/dev/null; }
box_boot() {
  docker start "$box_prefix-$1" >/dev/null
  wait_for 60 "docker exec $box_prefix-$1 docker version"
}

# boxes_remove: removes every box of this script, with its volumes.
boxes_remove() {
  local name
  for name in "${boxes[@]}"; do
    docker rm -fv "$name" >/dev/null 2>&1 || true
  done
  boxes=()
}
