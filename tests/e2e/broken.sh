#!/bin/bash
# needs: docker packages
# Ten broken machines, in a node box. For each, what a tired operator types and reads is compared with the transcript in
# tests/e2e/broken/NAME.txt: the cause must be named, and the right thing to type. ORCA_WRITE=1 writes the transcripts
# anew, to be read before they are committed.
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
box_start n1 || {
  not_ok 'a node box starts'
  exit 1
}
# The box shares the clock of the machine below it, and whether that one is synchronised is not this test's business.
box_sh n1 'printf "#!/bin/sh\ncat /etc/clock-synchronised\n" >/usr/local/bin/timedatectl
  chmod +x /usr/local/bin/timedatectl; echo yes >/etc/clock-synchronised'
box_install n1 >/dev/null 2>&1

n1() { box n1 "$@"; }
# quietly COMMAND…: prepares or mends, without a word.
quietly() { box n1 "$@" >/dev/null 2>&1; }

# tell NAME COMMAND…: runs a command in the box, and writes down what a person sees.
tell() {
  local name=$1
  shift
  {
    printf '$ %s\n' "$*"
    n1 "$@" 2>&1
    printf '\n'
  } >>"$work/$name"
}

# steady: what differs from machine to machine and from run to run, made the same.
steady() {
  sed -E \
    -e 's/\borca-20[0-9]{6}T[0-9]{6}Z/orca-20261124T100000Z/g' \
    -e 's/(^|[ (])[0-9A-HJKMNP-TV-Z]{16}\b/\10123456789ABCDEF/g' \
    -e 's/\b(-a[0-9]+)-[0-9a-z]{4}\b/\1-x7f2/g' \
    -e 's/\b20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/2026-11-24T10:00:00Z/g' \
    -e 's/\b(for|in|up) ([0-9]+(ms|[smh]) ?)+(,|;|:|\)|$)/\1 2s\4/g' \
    -e 's/\b[0-9]+(ms|s|m) ago/2s ago/g' \
    -e 's/[0-9.]+ [GT]iB free \(short by [0-9.]+ GiB\)/7.5 GiB free (short by 892 GiB)/' \
    -e 's/reserve [0-9.]+ GiB less memory \(at most [0-9.]+ [GT]iB\)/reserve 892 GiB less memory (at most 7.5 GiB)/' \
    -e 's/^(cpu     ).*/\10.12 used, 0 reserved of 4/' \
    -e 's/^(memory  ).*/\1512 MiB used, 0 B reserved of 8.0 GiB/' \
    -e 's/[0-9.]+ ([KMG]iB|B) of 32 MiB free/0 B of 32 MiB free/' \
    -e 's/(is damaged: ).*/\1Freelist: Failed to read ptrmap key=16/' \
    -e 's/(was written at )2026-11-24/\12026-11-27/' |
    # A score has as many digits as the machine makes it.
    awk '/^NODE .* SCORE/ { match($0, / +SCORE/); at = RSTART; sub(/ +SCORE/, "    SCORE") }
      /^n1 .*  (chosen|fits)$/ { $0 = substr($0, 1, at - 1) "     1000  " $NF } { print }' |
    # How full the disks of this machine are is its own business.
    awk '/^(ok|warning|WRONG|unknown) +disk / && !/32 MiB/ { skip = 1; next } skip && /^ +->/ { skip = 0; next } { skip = 0; print }' |
    sed -e '${/^$/d}'
}

# compare NAME: what was written down is what is committed.
compare() {
  steady <"$work/$1" >"$work/$1.steady"
  if [ -n "${ORCA_WRITE-}" ]; then
    cp "$work/$1.steady" "tests/e2e/broken/$1.txt"
  fi
  check "$1: the transcript" diff -u "tests/e2e/broken/$1.txt" "$work/$1.steady"
}

# in_back_off NAME ATTEMPTS: so many attempts have ended, and the next has not begun.
in_back_off() {
  n1 orcactl task inspect "$1" -o json |
    jq -e "(if type == \"array\" then .[0] else . end) | .reason == \"backoff\" and .attempts == $2" >/dev/null
}

# ------------------------------------------------------------------------------------------- tasks
quietly orcactl task start --detach --name big --memory 900g busybox:local sleep 100000
tell no-room orcactl status
tell no-room orcactl task explain big
compare no-room
quietly orcactl task remove --force big

box_sh n1 'setsid busybox httpd -f -p 8080 -h /tmp >/dev/null 2>&1 </dev/null & echo $! >/run/holder'
quietly orcactl task start --detach --name web -p 8080:80 busybox:local sleep 100000
wait_for 30 'in_back_off web 2'
tell port-held orcactl task explain web
compare port-held
box_sh n1 'kill $(cat /run/holder)'
check_wait 'port-held: once the port is free, the task runs by itself' 30 "n1 orcactl task list | grep -q running"
quietly orcactl task remove --force web

quietly orcactl task start --detach --name shop --pull never shop:7 sleep 100000
wait_for 30 'in_back_off shop 2'
tell image-gone orcactl task explain shop
compare image-gone
quietly orcactl task remove --force shop

quietly orcactl task start --detach --name hungry --memory 16m busybox:local sh -c 'x=a; while :; do x=$x$x; done'
wait_for 30 'in_back_off hungry 2'
tell own-memory-limit orcactl task explain hungry
compare own-memory-limit
quietly orcactl task remove --force hungry

quietly orcactl task start --detach --name api busybox:local sh -c 'echo "cannot open /etc/api.conf" >&2; exit 3'
wait_for 30 'in_back_off api 3'
tell crash-loop orcactl task explain api
tell crash-loop orcactl task logs --tail 1 api
compare crash-loop
quietly orcactl task remove --force api

# ------------------------------------------------------------------------------------------- the machine
quietly orcactl task start --name web busybox:local sleep 100000
box_sh n1 'kill -STOP $(pidof dockerd)'
wait_for 60 "n1 orcactl node list -o json | jq -e '.[0].conditions | length > 0'"
tell engine-hung orcactl status
tell engine-hung orcactl doctor -q
compare engine-hung
box_sh n1 'kill -CONT $(pidof dockerd)'
check_wait 'engine-hung: it is forgiven by itself' 60 "n1 orcactl status | grep -q 'all is well'"

# As after a battery died: what systemd-timesyncd saved last is later than now.
box_sh n1 'mkdir -p /var/lib/systemd/timesync; touch -d "+3 days" /var/lib/systemd/timesync/clock; echo no >/etc/clock-synchronised'
tell clock-off orcactl doctor -q
compare clock-off
box_sh n1 'rm /var/lib/systemd/timesync/clock; echo yes >/etc/clock-synchronised'
check 'clock-off: a right clock is not complained about' box_sh n1 '! orcactl doctor -q | grep clock'

box_sh n1 'systemctl stop orcad.socket orcad-view.socket orcad.service
  mount -t tmpfs -o size=32m,mode=700,uid=orca,gid=orca tmpfs /var/lib/orca && systemctl start orcad' 2>/dev/null
quietly orcactl task start --name kept busybox:local sleep 100000
box_sh n1 'dd if=/dev/zero of=/var/lib/orca/filler bs=4k' >/dev/null 2>&1
check_wait 'disk-full: it is noticed' 30 "n1 orcactl status | grep -q 'nearly full'"
tell disk-full orcactl task start --name more busybox:local sleep 100000
tell disk-full orcactl status
tell disk-full orcactl doctor -q
compare disk-full
check 'disk-full: what runs can be stopped' n1 orcactl task stop kept
box_sh n1 'rm /var/lib/orca/filler'
check_wait 'disk-full: with space again, tasks start' 30 'n1 orcactl task start --name more busybox:local sleep 100000'
quietly orcactl task remove --force kept
quietly orcactl task remove --force more
box_sh n1 'systemctl stop orcad.socket orcad-view.socket orcad.service; umount /var/lib/orca; systemctl start orcad' 2>/dev/null

# As after a copy was put back by root.
box_sh n1 'systemctl stop orcad.socket orcad-view.socket orcad.service; chown root:root /var/lib/orca/manager.db
  systemctl start orcad' >/dev/null 2>&1
tell wrong-permissions orcactl status
tell wrong-permissions orcactl doctor -q
compare wrong-permissions
box_sh n1 'chown -R orca:orca /var/lib/orca; systemctl start orcad'
check_wait 'wrong-permissions: what was to be typed helps' 30 'n1 orcactl status'

box_sh n1 'orcad backup create && systemctl stop orcad.socket orcad-view.socket orcad.service
  dd if=/dev/zero of=/var/lib/orca/manager.db bs=1 seek=4096 count=3000 conv=notrunc; systemctl start orcad' >/dev/null 2>&1
tell damaged-store orcactl status
tell damaged-store orcactl doctor -q
compare damaged-store
check_is 'damaged-store: the daemon is not started again and again' failed "$(n1 systemctl is-active orcad.service)"
box_sh n1 'orcad backup restore --yes /var/lib/orca/backups/orca-*.db; systemctl start orcad' >/dev/null 2>&1
check_wait 'damaged-store: what was to be typed helps' 30 "n1 orcactl task list | grep -q running"
finish
