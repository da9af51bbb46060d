#!/bin/bash
# 200 tasks that fail at once, 1,000 log streams, 1,000 exec streams and three times 1,000 stops and starts over a
# fake engine: containers, attempts, and what is left of descriptors, threads and memory. The tests do the same with 20,
# and weigh memory only from 200 on. tests/bench/failing.sh does the first on the real engine.
#
#   tests/bench/endurance.sh [FAILING [STREAMS]]
set -euo pipefail
cd "$(dirname "$0")/../.."
run() { # COUNT TEST
  ORCA_ENDURANCE=$1 cargo nextest run --locked -p orca-tests --test daemon --no-capture -E "test($2)" 2>&1 |
    grep -E '^[0-9]+ (tasks|log|stops)|PASS|FAIL|TIMEOUT|does not come'
}
run "${1:-200}" tasks_that_fail
run "${2:-1000}" nothing_is_left
