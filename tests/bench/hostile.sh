#!/bin/bash
# 2,000 broken requests beside good ones, and 500 watchers of which 100 never read: what is refused, what good traffic
# notices, and what is left of it in memory. The same test runs with 200 and 50 among the others.
#
#   tests/bench/hostile.sh [REQUESTS]
set -euo pipefail
cd "$(dirname "$0")/../.."
ORCA_HOSTILE=${1:-2000} cargo nextest run --locked -p orcad --test daemon --no-capture -E 'test(hostile)' 2>&1 |
  grep -E '^[0-9]+ (broken|watchers)|PASS|FAIL|TIMEOUT|Summary'
