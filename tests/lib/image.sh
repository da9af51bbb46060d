# shellcheck shell=bash
# Images from Debian packages, so that no registry is needed. Source it.

orca_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# task_image [NAME]: a 2 MB image of the static busybox, busybox:local unless a name is given.
task_image() {
  local name=${1:-busybox:local} tree applet
  docker image inspect "$name" >/dev/null 2>&1 && return 0
  tree=$(mktemp -d)
  mkdir -p "$tree"/{bin,etc,tmp,www}
  cp /bin/busybox "$tree/bin/busybox"
  # The temporary folder may forbid running programs.
  for applet in $(/bin/busybox --list); do
    [ "$applet" = busybox ] || ln -sf busybox "$tree/bin/$applet"
  done
  printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$tree/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$tree/etc/group"
  printf '%s\n' "$name" >"$tree/etc/image"
  printf 'hello from %s\n' "$name" >"$tree/www/index.html"
  chmod 1777 "$tree/tmp"
  tar -C "$tree" -c . | docker import -c 'ENV PATH=/bin' -c 'CMD ["sh"]' - "$name" >/dev/null
  rm -rf "$tree"
}

# node_image: the image of a node box, orca-node:local; made when missing or when its recipe has changed.
node_image() {
  local recipe made tree
  recipe=$(sha256sum <"$orca_lib/node-image.sh" | cut -c 1-16)
  made=$(docker image inspect -f '{{index .Config.Labels "orca-test.recipe"}}' orca-node:local 2>/dev/null || true)
  [ "$recipe" = "$made" ] && return 0
  tree=$(mktemp -d /var/tmp/orca-node.XXXXXX)
  bash "$orca_lib/node-image.sh" "$tree" >"$tree.log" 2>&1 || {
    tail -n 30 "$tree.log" >&2
    rm -rf "$tree"
    return 1
  }
  tar -C "$tree" --one-file-system -c . |
    docker import -c 'VOLUME /var/lib/docker' -c "LABEL orca-test.recipe=$recipe" - orca-node:local >/dev/null
  rm -rf "$tree" "$tree.log"
}
