#!/bin/bash
# needs: docker packages
# Types what the README says, word for word, on a machine with nothing but Docker and the package.
#
# A block marked `<!-- run -->` in the README is run, command by command; each must exit with 0, and what stands after
# `# →` must be in its output. `<!-- not run -->` marks what cannot be run here; a block with no mark is an error, so
# that nothing is forgotten.
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
trap boxes_remove EXIT

check_is 'every block of commands is marked' '' "$(awk '
  /^```sh/ { if (last !~ /^<!-- (not )?run -->$/) print NR ": " last; inside = 1; next }
  /^```/   { inside = 0 }
           { if ($0 != "") last = $0 }' README.md)"

task_image busybox:local
node_image || exit 1
box_start n1 || {
  not_ok 'a node box starts'
  exit 1
}
# The image that the README runs, as the registry would give it.
box n1 docker tag busybox:local busybox
check 'the package installs' box_install n1

# Commands of the marked blocks, one a line; a line that ends in a backslash goes on in the next.
commands=$(awk '
  /^<!-- run -->$/ { marked = 1; next }
  /^```sh/         { if (marked) inside = 1; next }
  /^```/           { inside = 0; marked = 0; next }
  inside && /\\$/  { sub(/\\$/, ""); held = held $0; next }
  inside && NF && !/^ *#/ { print held $0; held = "" }' README.md)
while IFS= read -r line; do
  [ -n "$line" ] || continue
  command=${line%%# *}
  wanted=''
  [[ $line == *'# → '* ]] && wanted=${line##*# → }
  # What a command shows may take a moment to become true.
  for _ in $(seq 30); do
    code=0
    output=$(docker exec "$box_prefix-n1" timeout 60 bash -c "$command" 2>&1 </dev/null) || code=$?
    [ -z "$wanted" ] || [[ $output == *"$wanted"* ]] && break
    sleep 1
  done
  printf '$ %s\n%s\n' "$command" "$output"
  check_is "exit 0: $command" 0 "$code"
  [ -z "$wanted" ] || [[ $output == *"$wanted"* ]] || not_ok "$wanted is in the output of: $command" "$output"
done <<<"$commands"
finish
