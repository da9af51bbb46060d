#!/bin/bash
# Who may depend on whom: the code map of the README, checked against what cargo says.
# A pure crate decides and must not be able to reach a clock, a socket, a file or the engine.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh

metadata=$(cargo metadata --format-version 1 --locked --no-deps) || exit 1

# depends NAME: its normal and build dependencies, one a line.
depends() {
  jq -r --arg name "$1" '.packages[] | select(.name == $name) | .dependencies[] | select(.kind != "dev") | .name' <<<"$metadata"
}

# check_never NAME FORBIDDEN…: none of them is a dependency.
check_never() {
  local name=$1 found
  shift
  found=$(depends "$name" | grep -xF "$(printf '%s\n' "$@")" | paste -sd ' ')
  check_is "$name never sees: $*" '' "$found"
}

hands=(tokio hyper hyper-util hyperlocal rusqlite bollard clap tracing procfs rustix)
check_never orca-api "${hands[@]}" scheduler orca-core orcad orcactl
check_never scheduler "${hands[@]}" orca-core orcad orcactl
check_never orca-core "${hands[@]}" orcad orcactl
check_never orcad orcactl
check_never orcactl orcad orca-core scheduler rusqlite bollard

members=$(jq -r '.packages[].name' <<<"$metadata" | sort | paste -sd ' ')
check_is 'the workspace has these members' 'orca-api orca-core orca-tests orcactl orcad scheduler' "$members"
check_is 'unsafe code is forbidden' 'unsafe_code = "forbid"' "$(grep '^unsafe_code' Cargo.toml)"
for manifest in orcad/api orcad/core orcad orcactl scheduler tests; do
  check "$manifest inherits the lints" grep -qzE '\[lints\]\s+workspace = true' "$manifest/Cargo.toml"
done
finish
