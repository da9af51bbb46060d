#!/bin/bash
# needs: docker
# orcad and orcactl as they are, against the machine's own Docker engine: the first hour, what a spec can ask for,
# ends and their reasons, and crashes of orcad under running tasks.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh
# shellcheck source=tests/lib/image.sh
. tests/lib/image.sh
# shellcheck source=tests/lib/orca.sh
. tests/lib/orca.sh

foreign=orca-test-foreign-$$
cleanup() {
  docker rm -fv "$foreign" >/dev/null 2>&1
  orca_cleanup
}
trap cleanup EXIT

task_image busybox:local
# Somebody else's container, which orca must leave alone, on a port that a task will want.
docker run -d --name "$foreign" -p 127.0.0.1:28081:80 busybox:local httpd -f -p 80 -h /www >/dev/null
foreign_before=$(docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Pid}}' "$foreign")

orcad_start || exit 1

# ------------------------------------------------------------------------------------------- the first hour
check 'status answers' ctl status
check 'a task starts' ctl task start --name web --init -p 28080:80 busybox:local httpd -f -vv -p 80 -h /www
check_is 'it runs when start returns' running "$(task web .phase)"

list=$(ctl task list -o json)
check_is 'the list is an array with the promised keys' true "$(jq '
  type == "array" and (.[0] | has("id") and has("name") and has("phase") and has("reason") and has("node") and
  has("image") and has("restarts") and has("attempts") and has("created_at")) and
  (.[0].restarts == 0) and (.[0].attempts == 1)' <<<"$list")"
check_is 'so is the list of nodes' true "$(ctl node list -o json | jq '
  type == "array" and (.[0] | has("id") and has("name") and has("roles") and has("state") and has("availability") and
  has("cpu") and has("memory") and has("tasks")) and .[0].state == "ready" and .[0].tasks == 1')"
check_is 'names alone' web "$(ctl task list -o name)"
check_is 'ids alone' "$(jq -r '.[0].id' <<<"$list")" "$(ctl task list -q)"
check_match 'a table for people' 'web +running' "$(ctl task list)"
check_is 'its port answers' 'hello from busybox:local' "$(curl -sS --max-time 10 http://127.0.0.1:28080/index.html)"
check_wait 'its log has the request' 10 "ctl task logs web 2>&1 | grep -q index.html"
check_is 'exec runs a process in it' busybox:local "$(ctl task exec web -- cat /etc/image)"
check_exit 'exec passes the exit code on' 7 ctl task exec web -- sh -c 'exit 7'
check_is 'exec -i passes the input on' 'one two' "$(printf 'one two' | ctl task exec -i web -- cat)"

first=$(container_of web)
ctl task exec web -- killall -9 httpd >/dev/null 2>&1
check_wait 'a task whose process was killed comes back' 30 \
  '[ "$(task web .restarts)" = 1 ] && phase_is web running'
check_is 'in a new container' different "$([ "$(docker inspect -f '{{.State.Running}} {{.Id}}' "$(container_of web)")" = "true $first" ] || echo different)"
check_match 'with the reason of the end' '^(killed|exited)$' "$(task web '.history[0].reason')"
check_match 'and its exit code or signal' '^(137|9|137 9)$' "$(task web '.history[0] | [.exit_code, .signal] | map(select(. != null)) | map(tostring) | join(" ")')"
check_match 'explain names the node' "$(ctl node list -o name)" "$(ctl task explain web)"
check_match 'events tell the story' 'web' "$(ctl events)"
check 'stop' ctl task stop web
check_is 'it is completed, because a person asked' 'completed stopped_by_user' "$(task web '"\(.phase) \(.reason)"')"
check 'restart starts a stopped task' ctl task restart web
check_wait 'it runs again' 20 'phase_is web running'
check_exit 'a running task is not removed by accident' 1 ctl task remove web
check 'remove --force' ctl task remove --force web
check_exit 'then there is no such task' 4 ctl task inspect web
# The worker removes containers once it hears that the task is forgotten.
gone=$(jq -r '.[0].id' <<<"$list")
check_wait 'and soon no container of it' 10 "[ -z \"\$(docker ps -aq --filter label=orca.task-id=$gone)\" ]"

# ------------------------------------------------------------------------------------------- what a spec can ask for
mkdir "$orca_dir/data"
echo content >"$orca_dir/data/file"
chmod -R a+rX "$orca_dir"
printf '# a comment\nFROM_FILE=a b\n' >"$orca_dir/env"
check 'a task with much in its spec' ctl task start --name spec --restart never \
  -e ONE=1 --env-file "$orca_dir/env" -v "$orca_dir/data:/data:ro" --tmpfs /scratch -w /tmp -u 65534 \
  --cpus 0.5 --memory 64m --pids-limit 50 --label team=a --hostname box --read-only --cap-drop ALL busybox:local \
  sh -c 'echo "$ONE,$FROM_FILE,$(id -u),$(pwd),$(cat /data/file),$(hostname)"; touch /data/x 2>/dev/null || echo ro-mount
    touch /y 2>/dev/null || echo ro-root; touch /scratch/z && echo tmpfs; grep -c CapEff:.0000000000000000 /proc/self/status
    grep NoNewPrivs /proc/self/status'
check_wait 'it completes' 20 'phase_is spec completed'
spec_log=$(ctl task logs spec)
check_match 'environment, user, folder, mount and host name' '1,a b,65534,/tmp,content,box' "$spec_log"
check_match 'the mount is read only' ro-mount "$spec_log"
check_match 'the root is read only' ro-root "$spec_log"
check_match 'tmpfs' tmpfs "$spec_log"
check_match 'no new privileges' 'NoNewPrivs:.1' "$spec_log"
check_is 'limits reach the engine' '67108864 500000000 50' \
  "$(docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}' "$(container_of spec)")"
check_is "the engine's own restart policy is off" no "$(docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' "$(container_of spec)")"

cat >"$orca_dir/file.toml" <<'TASK'
name = "filed"
image = "busybox:local"
command = ["sh", "-c", "echo from $WHERE; exit 3"]
restart = "never"

[env]
WHERE = "a file"
TASK
ctl task start -d -f "$orca_dir/file.toml" >/dev/null 2>&1
check_wait 'a task from a file ends as failed' 20 'phase_is filed failed'
check_is 'with its exit code' 'exited 3' "$(task filed '"\(.reason) \(.exit_code)"')"
check_match 'and its output' 'from a file' "$(ctl task logs filed)"
check_exit 'a wrong key in a file is a usage error' 64 ctl task start -f <(printf 'image = "x"\nimgae = "y"\n')

check 'a free host port is chosen' ctl task start --name free -p 80 busybox:local httpd -f -p 80 -h /www
port=$(task free '.ports[0].host')
check_is 'and shown, and answers' 'hello from busybox:local' "$(curl -sS --max-time 10 "http://127.0.0.1:$port/index.html")"
check_wait 'usage is measured' 30 "ctl task stats -o json | jq -e '(if type == \"array\" then . else .items end) | map(select(.name == \"free\" and .load != null)) | length == 1'"

# ------------------------------------------------------------------------------------------- ends and their reasons
check_exit 'an image that is nowhere' 1 ctl task start --name nowhere --pull never --timeout 20s no-such-image:1 true
check_match 'says so' '^(image_not_found|no_image_on_node)$' "$(task nowhere '[.reason, .history[-1].reason] | map(select(. == "image_not_found" or . == "no_image_on_node"))[0]')"
ctl task start -d --name taken -p 28081:80 busybox:local httpd -f -p 80 -h /www >/dev/null 2>&1
check_wait 'a port that somebody else holds' 20 'task taken "[.reason, .history[-1].reason] | tostring" | grep -q port_taken'
ctl task start -d --name big --reserve-memory 900g busybox:local sleep 1000 >/dev/null 2>&1
check_wait 'a task that fits nowhere waits' 10 '[ "$(task big "\"\(.phase) \(.reason)\"")" = "pending no_fit" ]'
check_match 'and explain says what is short' '[Mm]emory' "$(ctl task explain big)"
ctl task start -d --name command --restart never busybox:local /no/such/program >/dev/null 2>&1
check_wait 'a command that does not exist' 20 '[ "$(task command .reason)" = start_error ]'
ctl task start -d --name hungry --restart never --memory 16m busybox:local sh -c 'x=a; while :; do x=$x$x; done' >/dev/null 2>&1
check_wait 'a task over its memory limit' 60 '[ "$(task hungry .reason)" = oom_limit ]'
ctl task remove --force nowhere taken big command hungry filed spec >/dev/null 2>&1

# ------------------------------------------------------------------------------------------- crashes of orcad
check 'a task that stays' ctl task start --name stays busybox:local sleep 100000
check 'a task that will end while orcad is away' ctl task start --name ends --restart never busybox:local \
  sh -c 'while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 7'
stays=$(container_of stays)
before=$(docker inspect -f '{{.Id}} {{.State.StartedAt}}' "$stays")
ends=$(container_of ends)
orcad_crash
docker exec "$ends" touch /tmp/go
docker wait "$ends" >/dev/null
finished=$(docker inspect -f '{{.State.FinishedAt}}' "$ends")
orcad_start || not_ok 'orcad starts again after a crash'
check_wait 'what ended meanwhile is booked' 20 'phase_is ends failed'
check_is 'with its true exit code' 7 "$(task ends .exit_code)"
check_match 'and its true time' "^${finished%.*}" "$(task ends .finished_at)"
check_is 'what ran goes on untouched' "$before" "$(docker inspect -f '{{.Id}} {{.State.StartedAt}}' "$stays")"
for _ in 1 2 3; do
  orcad_crash
  orcad_start || not_ok 'orcad starts again after a crash'
done
check_wait 'and is running after three more crashes' 20 'phase_is stays running'
check_is 'in the same container' "$before" "$(docker inspect -f '{{.Id}} {{.State.StartedAt}}' "$(container_of stays)")"
check_is 'which counts as no restart' '0 1' "$(task stays '"\(.restarts) \(.attempts)"')"
orcad_stop
check_is 'TERM ends orcad with 0' 0 $?
check_is 'leaves containers running' "$before" "$(docker inspect -f '{{.Id}} {{.State.StartedAt}}' "$stays")"
check_exit 'orcactl says that nobody answers' 69 ctl status
orcad_start || not_ok 'orcad starts again after a stop'
check_wait 'and takes them up again' 20 'phase_is stays running'
check_is 'a stop and a start later it is still the same container' "$before" "$(docker inspect -f '{{.Id}} {{.State.StartedAt}}' "$(container_of stays)")"

# ------------------------------------------------------------------------------------------- health
check 'a task with a check over the network' ctl task start --name well --restart always --init --stop-timeout 1s \
  --health-http 80/index.html --health-interval 1s --health-retries 2 --health-start-period 30s busybox:local \
  sh -c 'sleep 1; httpd -f -p 80 -h /www'
check_is 'it runs once it answers' 'running 1' "$(task well '"\(.state) \(.attempts)"')"
check_match 'inspect shows the check' 'health +http 80/index.html every 1s' "$(ctl task inspect well)"
orcad_crash
orcad_start || not_ok 'orcad starts again after a crash'
check_is 'a crash of orcad leaves it running' 'running 1' "$(task well '"\(.state) \(.attempts)"')"
ctl task exec well -- rm /www/index.html
check_wait 'it is restarted once it does not answer well' 30 '[ "$(task well "\"\(.state) \(.attempts) \(.restarts)\"")" = "running 2 1" ]'
check_is 'with the reason' unhealthy "$(task well '.history[0].reason')"
check_match 'and what the check said' '2 failures in a row, the last: GET http://.*: status 404 Not Found' "$(task well '.history[0].message')"
check_exit 'one that never gets well does not start' 1 ctl task start --name ill --restart never --stop-timeout 1s \
  --health-tcp 81 --health-interval 1s --health-retries 2 busybox:local sleep 1000
check_match 'and says why' '^unhealthy not healthy within [0-9]+s: tcp .*:81: connection refused$' "$(task ill '"\(.reason) \(.message)"')"
check 'a command in the container is asked by the engine' ctl task start --name told --restart never --init \
  --stop-timeout 1s --health-cmd 'test -e /tmp/well' --health-interval 1s --health-retries 2 busybox:local \
  sh -c 'touch /tmp/well; sleep 1000'
check_is 'and it runs' running "$(task told .state)"
ctl task exec told -- rm /tmp/well
check_wait 'until it fails' 30 '[ "$(task told .reason)" = unhealthy ]'
ctl task remove --force well ill told >/dev/null 2>&1

# ------------------------------------------------------------------------------------------- without orcactl
check_is 'curl works' v1 "$(api /v1/version | jq -r .api)"
check_match 'the OpenAPI document is served' '^3\.' "$(api /v1/openapi.json | jq -r .openapi)"
check_is 'errors are problem documents' 'application/problem+json 404 ORCA-2001' \
  "$(api /v1/tasks/nobody -o "$orca_dir/problem" -w '%{content_type} %{http_code}') $(jq -r .code "$orca_dir/problem")"
if command -v promtool >/dev/null; then
  check 'promtool is content with the metrics' bash -c "curl -sS --unix-socket '$ORCA_SOCKET' http://orca/metrics | promtool check metrics"
else
  skip 'promtool is content with the metrics' 'no promtool'
fi
check 'the configuration checks' "$ORCA_BIN_DIR/orcad" config check "$orca_dir/orcad.toml"
check_exit 'a wrong configuration is refused' 78 "$ORCA_BIN_DIR/orcad" config check <(echo 'state_dirr = "/x"')

# ------------------------------------------------------------------------------------------- nothing else was touched
check_is 'the foreign container was never touched' "$foreign_before" \
  "$(docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Pid}}' "$foreign")"
ctl task remove --force stays ends free >/dev/null 2>&1
check_wait 'nothing is left behind' 20 '[ -z "$(docker ps -aq --filter label=orca.cluster=$(api /v1/status | jq -r .cluster))" ]'
finish
