# shellcheck shell=bash
# A daemon of one's own: orcad with a state folder and a socket in a temporary folder. Source it after check.sh.
#
# ORCA_BIN_DIR names the folder of the programs. What is started is removed again by orca_cleanup, also its containers;
# nothing else of the machine's engine is touched.

: "${ORCA_BIN_DIR:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/target/debug}"
orca_dir=$(mktemp -d /tmp/orca-test.XXXXXX)
export ORCA_SOCKET=$orca_dir/orca.sock
orcad_pid=''
: "${failed:=0}"

cat >"$orca_dir/orcad.toml" <<CONFIG
state_dir = "$orca_dir/state"
socket = "$orca_dir/orca.sock"
log_level = "debug"
log_format = "text"

[docker]
registry_config = "$orca_dir/docker-config.json"
CONFIG

# orcad_start: starts the daemon and waits until it answers.
orcad_start() {
  "$ORCA_BIN_DIR/orcad" --config "$orca_dir/orcad.toml" >>"$orca_dir/orcad.log" 2>&1 &
  orcad_pid=$!
  if ! wait_for 30 'ctl status'; then
    tail -n 40 "$orca_dir/orcad.log"
    return 1
  fi
}

# orcad_crash: ends the daemon as a crash would.
orcad_crash() {
  kill -9 "$orcad_pid"
  wait "$orcad_pid" 2>/dev/null
  orcad_pid=''
}

# orcad_stop: asks the daemon to end; its exit code.
orcad_stop() {
  local code=0
  kill "$orcad_pid"
  wait "$orcad_pid" || code=$?
  orcad_pid=''
  return "$code"
}

# ctl ARGUMENTS…: orcactl against this daemon.
ctl() {
  timeout 120 "$ORCA_BIN_DIR/orcactl" "$@"
}

# api PATH [CURL FLAGS…]: a request without orcactl.
api() {
  local path=$1
  shift
  curl -sS --max-time 60 --unix-socket "$ORCA_SOCKET" "$@" "http://orca$path"
}

# task NAME JQ: a field of a task.
task() {
  ctl task inspect "$1" -o json | jq -r "(if type == \"array\" then .[0] else . end) | $2"
}

# phase_is NAME PHASE
phase_is() {
  [ "$(task "$1" .phase)" = "$2" ]
}

# container_of NAME: the container of the task's last attempt.
container_of() {
  docker ps -aq --no-trunc --filter "label=orca.task-id=$(task "$1" .id)" | head -n 1
}

orca_cleanup() {
  local cluster
  cluster=$(api /v1/status 2>/dev/null | jq -r .cluster 2>/dev/null)
  [ -z "$orcad_pid" ] || kill -9 "$orcad_pid" 2>/dev/null
  if [ -n "$cluster" ]; then
    docker ps -aq --filter "label=orca.cluster=$cluster" | xargs -r docker rm -fv >/dev/null 2>&1
  fi
  if [ "$failed" -gt 0 ]; then
    echo '--- the end of the log of orcad'
    tail -n 60 "$orca_dir/orcad.log" 2>/dev/null
  fi
  rm -rf "$orca_dir"
}
