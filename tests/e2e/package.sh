#!/bin/bash
# needs: docker packages
# The package in a node box: install, use with systemctl, crashes under load, reload, upgrade, remove, purge.
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

crashes=10
tasks=20
[ -z "${ORCA_LONG-}" ] || crashes=100
trap boxes_remove EXIT

task_image busybox:local
node_image || exit 1
deb=$(package_file) || exit 1
rpm=$(rpm_file) || exit 1

# ------------------------------------------------------------------------------------------- the files themselves
check_is 'one .deb and one .rpm' 2 "$(find "${CARGO_TARGET_DIR:-target}/package" -type f | wc -l)"
check 'checksums in the package are true' bash -c "
  t=\$(mktemp -d) && dpkg-deb -R '$deb' \$t && cd \$t && md5sum --quiet -c DEBIAN/md5sums; c=\$?; rm -rf \$t; exit \$c"
check_is 'the configuration is a conffile' /etc/orcad.toml "$(dpkg-deb --ctrl-tarfile "$deb" | tar -xO ./conffiles)"

# ------------------------------------------------------------------------------------------- install
box_start n1 || {
  not_ok 'a node box starts'
  exit 1
}
n1() { box n1 "$@"; }
check 'dpkg -i' box_install n1
check_is 'the service runs right after' active "$(n1 systemctl is-active orcad.service)"
check_is 'and is enabled, with its sockets' 'enabled enabled enabled' "$(n1 systemctl is-enabled orcad.service orcad.socket orcad-view.socket | paste -sd ' ')"
check_is 'the control socket is for the group orca' 'root orca 660' "$(n1 stat -c '%U %G %a' /run/orca/orca.sock)"
check_is 'the view socket is for the group orca-view' 'root orca-view 660' "$(n1 stat -c '%U %G %a' /run/orca/view.sock)"
check_is 'the view socket answers reads' 200 "$(n1 curl -so /dev/null -w '%{http_code}' --unix-socket /run/orca/view.sock http://orca/v1/status)"
check_is 'and nothing else' 403 "$(n1 curl -so /dev/null -w '%{http_code}' -X DELETE --unix-socket /run/orca/view.sock http://orca/v1/tasks/none)"
check 'a backup beside the running daemon' n1 systemctl start orcad-backup.service
check_match 'it is whole' 'revision' "$(box_sh n1 'orcad backup verify /var/lib/orca/backups/orca-*.db')"
check_is 'the state is for the daemon' 'orca orca 700' "$(n1 stat -c '%U %G %a' /var/lib/orca)"
check_is 'the daemon is no root' orca "$(box_sh n1 'ps -o user= -p $(systemctl show -P MainPID orcad)')"
check_match 'its status says what it does' 'worker' "$(n1 systemctl show -P StatusText orcad)"
check_is 'no TCP socket is open' '' "$(box_sh n1 'ss -Hltnp | grep orcad')"
check_exit 'who is not in the group is told what to do' 77 box_sh n1 'su visitor -c "orcactl status"'
check_match 'in words' 'usermod -aG orca' "$(box_sh n1 'su visitor -c "orcactl status" 2>&1')"
check 'completion and man pages are there' box_sh n1 'test -s /usr/share/bash-completion/completions/orcactl &&
  test -s /usr/share/man/man8/orcad.8.gz && test -s /usr/share/man/man1/orcactl.1.gz && test -s /usr/share/man/man5/orcad.toml.5.gz'
check 'the packaged configuration is valid' n1 orcad config check /etc/orcad.toml
check 'a task runs with nothing edited' n1 sudo orcactl task start --name first busybox:local sleep 100000

n1 sudo orcactl task start --name speaks --restart never busybox:local echo a line of speaks >/dev/null 2>&1
check_is 'where the journal is kept, output goes there' journald \
  "$(box_sh n1 'docker inspect -f "{{.HostConfig.LogConfig.Type}}" $(docker ps -aqf label=orca.task=speaks)')"
check_wait 'with the name of the task as a field' 10 "box n1 journalctl -o cat ORCA_TASK=speaks | grep -qx 'a line of speaks'"
check_is 'and the rest of who said it' "n1 1 $(n1 orcactl task inspect speaks -o json | jq -r '(if type == "array" then .[0] else . end).id')" \
  "$(n1 journalctl -o json ORCA_TASK=speaks | jq -r '"\(.ORCA_NODE) \(.ORCA_ATTEMPT) \(.ORCA_TASK_ID)"' | head -n 1)"
check_wait 'and orcactl reads it from there' 10 "box n1 orcactl task logs speaks | grep -qx 'a line of speaks'"
n1 orcactl task remove --force speaks >/dev/null 2>&1

# ------------------------------------------------------------------------------------------- reload
box_sh n1 'printf "log_level = \"debug\"\n" >/etc/orcad.toml.d/50-test.toml'
check 'reload' n1 systemctl reload orcad
box_sh n1 'printf "no_such_key = 1\n" >/etc/orcad.toml.d/50-test.toml'
n1 systemctl reload orcad >/dev/null 2>&1
check 'a reload with a wrong configuration leaves the daemon running' n1 orcactl status
n1 systemctl restart orcad >/dev/null 2>&1
check_is 'a start with one stops with 78, and is not tried again' '78 failed' \
  "$(box_sh n1 'for i in $(seq 50); do [ "$(systemctl is-active orcad)" = failed ] && break; sleep 0.1; done
    echo $(systemctl show -P ExecMainStatus orcad) $(systemctl is-active orcad)')"
check_match 'whoever asks its socket is told why' 'orcad cannot start: .*because: .*no_such_key' "$(n1 orcactl status 2>&1 | paste -sd ' ')"
box_sh n1 'rm /etc/orcad.toml.d/50-test.toml; systemctl start orcad'
check_wait 'it starts again when the file is mended' 20 "n1 orcactl status"

# ------------------------------------------------------------------------------------------- crashes under load
box_sh n1 "for i in \$(seq $tasks); do
  orcactl task start --detach --name load-\$i busybox:local sleep 100000 || exit 1; done" >/dev/null 2>&1
check_wait "$tasks tasks run" 120 \
  "[ \"\$(box_sh n1 'orcactl task list -o json' | jq '[.[] | select((.name | startswith(\"load-\")) and .phase == \"running\")] | length')\" = $tasks ]"
containers() {
  n1 docker ps --no-trunc --filter label=orca.task --format '{{.ID}}' | sort | while read -r id; do
    n1 docker inspect -f '{{.Id}} {{.State.StartedAt}} {{index .Config.Labels "orca.task"}}' "$id"
  done
}
before=$(containers)

# A client that writes all the time, and notes what was acknowledged.
box_sh n1 'cat >/tmp/writer <<"SCRIPT"
#!/bin/bash
i=0
while [ ! -e /tmp/writer-stop ]; do
  i=$((i + 1))
  orcactl task start --detach --name "written-$i" --reserve-memory 900g busybox:local true >/dev/null 2>&1 && echo "written-$i" >>/tmp/acknowledged
done
touch /tmp/writer-done
SCRIPT
rm -f /tmp/writer-stop; : >/tmp/acknowledged; setsid bash /tmp/writer >/dev/null 2>&1 </dev/null &'
survived=0
for ((i = 0; i < crashes; i++)); do
  acknowledged=$(box_sh n1 'wc -l </tmp/acknowledged')
  pid=$(n1 systemctl show -P MainPID orcad)
  box_sh n1 "kill -9 $pid" &&
    wait_for 30 "[ \"\$(box_sh n1 'wc -l </tmp/acknowledged')\" -gt $((acknowledged + 2)) ] &&
      box n1 systemctl show -P MainPID orcad | grep -vqxE '0|$pid'" && survived=$((survived + 1))
done
box_sh n1 'touch /tmp/writer-stop; for i in $(seq 600); do [ -e /tmp/writer-done ] && break; sleep 0.1; done'
check_is "orcad was killed $crashes times and writing went on each time" "$crashes" "$survived"
acknowledged=$(box_sh n1 'sort /tmp/acknowledged')
there=$(box_sh n1 'orcactl task list -o json' | jq -r '.[].name' | grep '^written-' | sort)
echo "# $(wc -w <<<"$acknowledged") requests were acknowledged"
check_is 'every acknowledged request is there' '' "$(comm -23 <(printf '%s\n' "$acknowledged") <(printf '%s\n' "$there"))"
check_is 'no name is there twice' '' "$(uniq -d <<<"$there")"
check_is 'each task has one container' "$((tasks + 1))" "$(wc -l <<<"$before")"
check_is 'no container was restarted, doubled or lost' "$before" "$(containers)"
check_is 'and no restart was counted' 0 "$(box_sh n1 'orcactl task list -o json' | jq '[.[] | select(.name | startswith("load-")) | .restarts] | add')"
check_is 'nor an attempt' "$tasks" "$(box_sh n1 'orcactl task list -o json' | jq '[.[] | select(.name | startswith("load-")) | .attempts] | add')"

# ------------------------------------------------------------------------------------------- stop, upgrade, engine restart
n1 systemctl stop orcad.socket orcad.service
check_is 'systemctl stop leaves containers alone' "$before" "$(containers)"
check 'worker start starts the unit' n1 sudo orcactl worker start
check_is 'it runs' active "$(n1 systemctl is-active orcad)"
old=$(n1 systemctl show -P MainPID orcad)
check 'the same package again, as an upgrade' box_install n1
check_wait 'orcad is restarted' 30 "n1 orcactl status && [ \"\$(n1 systemctl show -P MainPID orcad)\" != $old ]"
check_is 'and no container' "$before" "$(containers)"

# ------------------------------------------------------------------------------------------- a state of a newer version
n1 systemctl stop orcad.socket orcad-view.socket orcad.service
schema=$(n1 sqlite3 /var/lib/orca/manager.db 'PRAGMA user_version')
n1 sqlite3 /var/lib/orca/manager.db 'PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
n1 systemctl start orcad.service >/dev/null 2>&1
check_is 'an orcad that is older than the state ends with 78, and is not tried again' '78 failed' \
  "$(box_sh n1 'for i in $(seq 50); do [ "$(systemctl is-active orcad)" = failed ] && break; sleep 0.1; done
    echo $(systemctl show -P ExecMainStatus orcad) $(systemctl is-active orcad)')"
check_match 'it says what to do' 'install the orcad that wrote it' "$(n1 journalctl -u orcad -n 20 -o cat)"
check_is 'and leaves the state as it is' 99 "$(n1 sqlite3 -readonly /var/lib/orca/manager.db 'PRAGMA user_version')"
downgrade=$(box_install n1 2>&1) && not_ok 'a package that is older than the state does not go in'
check_match 'the package says why it does not go in' 'has schema 99, written by a newer orcad; this version knows schema' "$downgrade"
check_match 'and what to do' 'hint: keep the newer version; nothing was changed' "$downgrade"
check_is 'what was installed stays' 'install ok installed' "$(n1 dpkg-query -W -f '${Status}' orcad)"
n1 sqlite3 /var/lib/orca/manager.db "PRAGMA user_version = $schema; PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
box_sh n1 'systemctl reset-failed orcad.service orcad.socket orcad-view.socket; systemctl start orcad'
check_wait 'it goes on where it was' 30 "n1 orcactl status"
check_is 'with the same containers' "$before" "$(containers)"

# ------------------------------------------------------------------------------------------- the machine restarts
box_kill n1
box_boot n1 || not_ok 'the box boots again'
check_wait 'after a power cut the tasks come back by themselves' 120 \
  "[ \$(box n1 docker ps -q --filter label=orca.task | wc -l) = $((tasks + 1)) ] &&
    [ \"\$(box_sh n1 'orcactl task list -o json' | jq '[.[] | select(.phase == \"running\" and .attempts == 2)] | length')\" = $((tasks + 1)) ]"
check_match 'the reason is the machine' '^(node_reboot|engine_restart)$' \
  "$(box_sh n1 'orcactl task inspect load-1 -o json' | jq -r '(if type == "array" then .[0] else . end) | .history[0].reason')"
check_is 'with no restart counted' 0 "$(box_sh n1 'orcactl task list -o json' | jq '[.[] | select(.name | startswith("load-")) | .restarts] | add')"

# ------------------------------------------------------------------------------------------- remove, purge
after=$(containers)
check 'remove' n1 dpkg -r orcad
check_is 'leaves containers running' "$after" "$(containers)"
check 'and the state' box_sh n1 'test -n "$(ls -A /var/lib/orca)" && test -f /etc/orcad.toml'
check_is 'but no unit' '' "$(box_sh n1 'systemctl list-unit-files --no-legend "orcad*" | grep -v masked')"
check 'installed again' box_install n1
check_wait 'the tasks are known again' 30 "box_sh n1 'orcactl task inspect load-1 -o json' | grep -q running"
check_is 'in the same containers' "$after" "$(containers)"
check 'purge' n1 dpkg -P orcad
check 'removes state and configuration' box_sh n1 '! test -e /var/lib/orca && ! test -e /etc/orcad.toml && ! test -e /etc/orcad.toml.d && ! test -e /etc/orca'
check_is 'and leaves containers to the engine' "$after" "$(containers)"

# ------------------------------------------------------------------------------------------- the .rpm
# Its scripts, on this Debian: what it depends on is there under other names.
box_start n2 || not_ok 'a second node box starts'
box_put n2 "$rpm" /tmp/orcad.rpm
check 'rpm -i' box n2 rpm -i --nodeps /tmp/orcad.rpm
check_wait 'the service runs right after' 20 "box n2 orcactl status"
check_is 'and is enabled' 'enabled enabled' "$(box n2 systemctl is-enabled orcad.service orcad.socket | paste -sd ' ')"
check 'a task runs' box n2 orcactl task start --name first busybox:local sleep 100000
kept=$(box n2 docker ps -q --no-trunc)
old=$(box n2 systemctl show -P MainPID orcad)
check 'an upgrade' box n2 rpm -U --force --nodeps /tmp/orcad.rpm
check_wait 'restarts orcad' 30 "box n2 orcactl status && [ \"\$(box n2 systemctl show -P MainPID orcad)\" != $old ]"
check 'rpm -e' box n2 rpm -e --nodeps orcad
check 'leaves the state' box_sh n2 'test -n "$(ls -A /var/lib/orca)"'
check_is 'and the container, through all of it' "$kept" "$(box n2 docker ps -q --no-trunc)"
finish
