# shellcheck shell=bash
# Checks and waits of the shell tests. Source it first.
#
# Every check prints one line, `ok - NAME` or `not ok - NAME`, and goes on; `finish` makes the exit code.
# tests/run counts the lines. Nothing here sleeps for a state: wait_for polls with a deadline.

passed=0
failed=0

# ok NAME: a check that held.
ok() {
  passed=$((passed + 1))
  printf 'ok - %s\n' "$1"
}

# not_ok NAME [DETAIL]: a check that did not hold.
not_ok() {
  failed=$((failed + 1))
  printf 'not ok - %s\n' "$1"
  if [ -n "${2-}" ]; then
    printf '%s\n' "$2" | tail -n 40 | sed 's/^/    /'
  fi
}

# skip NAME WHY: a check that this machine cannot make. It counts as neither.
skip() {
  printf 'skipped - %s: %s\n' "$1" "$2"
}

# check NAME COMMAND…: the command exits with 0.
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    ok "$name"
  else
    not_ok "$name" "exit $? of: $*
$output"
  fi
}

# check_exit NAME CODE COMMAND…: the command exits with CODE.
check_exit() {
  local name=$1 wanted=$2 output got=0
  shift 2
  output=$("$@" 2>&1) || got=$?
  if [ "$got" -eq "$wanted" ]; then
    ok "$name"
  else
    not_ok "$name" "exit $got, not $wanted, of: $*
$output"
  fi
}

# check_is NAME WANTED GOT: two texts are the same.
check_is() {
  if [ "$2" = "$3" ]; then
    ok "$1"
  else
    not_ok "$1" "wanted: $2
got:    $3"
  fi
}

# check_match NAME PATTERN TEXT: the extended regular expression is in the text.
check_match() {
  if grep -qE -- "$2" <<<"$3"; then
    ok "$1"
  else
    not_ok "$1" "no match for: $2
in: $3"
  fi
}

# wait_for SECONDS COMMAND: polls the shell command until it exits with 0; 1 when the time is up.
wait_for() {
  local end=$((SECONDS + $1))
  until eval "$2" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

# check_wait NAME SECONDS COMMAND: the shell command exits with 0 within the time.
check_wait() {
  if wait_for "$2" "$3"; then
    ok "$1"
  else
    not_ok "$1" "not within $2 s: $3
$(eval "$3" 2>&1)"
  fi
}

# finish: the exit code of the script.
finish() {
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
