#!/bin/bash
# needs: docker
# Pulls from a real registry on the loopback address: an open one, and one with a password through docker-config.json.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh
# shellcheck source=tests/lib/image.sh
. tests/lib/image.sh
# shellcheck source=tests/lib/orca.sh
. tests/lib/orca.sh
PATH=$PATH:${ORCA_TOOLS:-target/tools}/usr/bin

open=127.0.0.1:25000
closed=127.0.0.1:25001
registry_pids=()
cleanup() {
  [ ${#registry_pids[@]} -eq 0 ] || kill "${registry_pids[@]}" 2>/dev/null
  orca_cleanup
  docker rmi "$open/first:1" "$open/second:1" "$closed/first:1" >/dev/null 2>&1
  true
}
trap cleanup EXIT

# registry ADDRESS NAME [LINES]: starts a registry with a configuration of its own.
registry() {
  mkdir -p "$orca_dir/$2"
  cat >"$orca_dir/$2.yml" <<CONFIG
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $orca_dir/$2}}
http: {addr: "$1"}
${3-}
CONFIG
  docker-registry serve "$orca_dir/$2.yml" >"$orca_dir/$2.log" 2>&1 &
  registry_pids+=($!)
}

htpasswd -Bbn reader secret-of-the-reader >"$orca_dir/htpasswd" 2>/dev/null
registry "$open" open
registry "$closed" closed "auth: {htpasswd: {realm: orca, path: $orca_dir/htpasswd}}"
wait_for 20 "curl -s http://$open/v2/ && curl -s http://$closed/v2/" || {
  not_ok 'the registries start' "$(cat "$orca_dir"/*.log)"
  exit 1
}

task_image busybox:local
for image in "$open/first:1" "$open/second:1" "$closed/first:1"; do
  docker tag busybox:local "$image"
done
login=$orca_dir/login
docker --config "$login" login -u reader --password-stdin "$closed" <<<secret-of-the-reader >/dev/null 2>&1
docker push -q "$open/first:1" >/dev/null
docker push -q "$open/second:1" >/dev/null
docker --config "$login" push -q "$closed/first:1" >/dev/null
docker rmi "$open/first:1" "$open/second:1" "$closed/first:1" >/dev/null

orcad_start || exit 1

# why NAME: the reasons of a task and of its last attempt.
why() { task "$1" '"\(.reason) \(.history[-1].reason) \(.message) \(.history[-1].message)"'; }

check 'an image is pulled and run' ctl task start --name pulled "$open/first:1" sleep 100000
check_is 'it runs' running "$(task pulled .phase)"

ctl task start -d --name missing "$open/nothing:1" true >/dev/null 2>&1
check_wait 'an image that the registry does not have' 30 'why missing | grep -q image_not_found'
check_match 'with the words of the registry' 'manifest|not found|unknown' "$(why missing)"

ctl task start -d --name denied "$closed/first:1" sleep 100000 >/dev/null 2>&1
check_wait 'a registry that wants a password' 30 'why denied | grep -q registry_auth'
check_match 'with the words of the registry' 'auth|credentials|denied' "$(why denied)"

install -m 600 "$login/config.json" "$orca_dir/docker-config.json"
ctl task restart denied >/dev/null 2>&1
check_wait 'with docker-config.json in place the same task runs' 60 'phase_is denied running'
check_is 'no credential is stored or shown' 0 "$(ctl task inspect denied -o json | grep -c 'secret-of-the-reader' )"
check_is 'nor in the state folder' '' "$(grep -rlE "secret-of-the-reader|$(jq -r '.auths[].auth' "$login/config.json")" "$orca_dir/state" 2>/dev/null)"

kill "${registry_pids[@]}"
wait "${registry_pids[@]}" 2>/dev/null
registry_pids=()
check 'an image that is there needs no registry' ctl task start --name again "$open/first:1" sleep 100000
ctl task start -d --name away "$open/second:1" sleep 100000 >/dev/null 2>&1
check_wait 'a registry that is away' 30 'why away | grep -q pull_error'
check_exit 'pull=always asks it even so' 1 ctl task start --name always --pull always --timeout 20s --restart never "$open/first:1" true
registry "$open" open
check_wait 'and is tried again by itself until it is back' 120 'phase_is away running'

ctl task remove --force pulled missing denied again away always >/dev/null 2>&1
finish
