#!/bin/bash
# needs: docker packages
# packaging/quickstart in two node boxes, one with systemd and one without, and what it refuses. The boxes have no
# toolchain and no network, so the programs come from the package that was built already.
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
work=$(mktemp -d)
trap 'boxes_remove; rm -rf "$work"' EXIT

task_image busybox:local
node_image || exit 1
dpkg-deb -x "$(package_file)" "$work/tree" || exit 1
mkdir "$work/orca"
cp -r packaging systemd man README.md LICENSE Cargo.toml "$work/orca/"
cp -r "$work/tree/usr/bin" "$work/orca/bin"
mkdir "$work/orca/tests"
cp -r tests/lib "$work/orca/tests/"

# checkout NAME: puts the checkout into a box.
checkout() {
  tar -C "$work" -c orca | docker exec -i "$box_prefix-$1" tar -C /root --no-same-owner -x
}
quickstart() { # BOX
  box "$1" env ORCA_BIN_DIR=/root/orca/bin timeout 200 /root/orca/packaging/quickstart 2>&1
}

box_start systemd || not_ok 'a node box starts'
box systemd docker rmi -f busybox:local >/dev/null
checkout systemd
check_exit 'without a toolchain it stops with 78' 78 box systemd /root/orca/packaging/quickstart
check_match 'and says what to type' 'hint: curl' "$(box systemd /root/orca/packaging/quickstart 2>&1)"
box_sh systemd 'mkdir -p /root/.cargo/bin && printf "#!/bin/sh\necho cargo 1.60.0\n" >/root/.cargo/bin/cargo && chmod +x /root/.cargo/bin/cargo'
check_exit 'with one that is too old, too' 78 box systemd /root/orca/packaging/quickstart
check_match 'and says so' '1.60.0 is too old' "$(box systemd /root/orca/packaging/quickstart 2>&1)"
check_exit 'it wants root' 77 box_sh systemd 'cp -r /root/orca /opt/orca && chmod -R a+rX /opt/orca && su visitor -c /opt/orca/packaging/quickstart'

output=$(quickstart systemd)
check_is 'with systemd it comes to its end' 0 $?
check_match 'shows the task' 'hello +running' "$output"
check_match 'its output' 'hello from hello' "$output"
check_match 'and what to type next' 'orcactl task logs -f hello' "$output"
check_is 'the task runs' hello "$(box systemd orcactl task list -o name)"
output=$(quickstart systemd)
check_is 'twice is harmless' 0 $?
check_is 'and starts nothing again' 'hello 1' "$(box systemd orcactl task list -o json | jq -r '.[] | "\(.name) \(.attempts)"')"

box_run bare 'sleep infinity' || not_ok 'a box without systemd starts'
checkout bare
output=$(quickstart bare)
check_is 'without systemd it comes to its end' 0 $?
check_match 'says that it starts engine and daemon itself' 'PID 1 is not systemd' "$output"
check_match 'shows the task' 'hello +running' "$output"
check_is 'the state is in a folder of its own' 'yes' "$(box_sh bare '[ -d /var/lib/orca-quickstart ] && [ -z "$(ls -A /var/lib/orca 2>/dev/null)" ] && echo yes')"
output=$(quickstart bare)
check_is 'twice is harmless' 0 $?
check_is 'and starts nothing again' 'hello 1' \
  "$(box bare env ORCA_SOCKET=/run/orca-quickstart/orca.sock orcactl task list -o json | jq -r '.[] | "\(.name) \(.attempts)"')"
[ "$failed" -eq 0 ] || printf '%s\n' "$output"
finish
