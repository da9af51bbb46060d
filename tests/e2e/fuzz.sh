#!/bin/bash
# limit: 3600
# Fuzzes every parser of foreign text for a while each, with the stable compiler: coverage without a sanitizer is enough
# for code without `unsafe`. ORCA_FUZZ_SECONDS (20) says how long; what makes a parser panic is left in
# target/fuzz/found, to be put into tests/fuzz/corpus under a name that says what it is.
# The limit is for the first build: everything is compiled again with coverage, which a busy machine takes a while for.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh

if [ -z "${ORCA_LONG-}" ]; then
  skip fuzz 'with --long; the committed corpus is run by the test `corpus`'
  exit 0
fi
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
triple=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=$target CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=1
export RUSTFLAGS='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions'
# --target keeps the flags away from build scripts, which are run and not fuzzed.
check 'the fuzz targets build' cargo build -q --manifest-path tests/fuzz/Cargo.toml --target "$triple" --bins

mkdir -p "$target/found"
for door in tests/fuzz/corpus/*/; do
  name=$(basename "$door")
  # What a run learns stays beside the build: the committed corpus is small and has names.
  mkdir -p "$target/learnt/$name"
  check "$name for ${ORCA_FUZZ_SECONDS:-20} s" "$target/$triple/debug/$name" -max_total_time="${ORCA_FUZZ_SECONDS:-20}" \
    -max_len=4096 -timeout=10 -verbosity=0 -artifact_prefix="$target/found/$name-" "$target/learnt/$name" "$door"
done
finish
