#!/bin/bash
# needs: docker packages
# Types what the README says, word for word, on a machine with nothing but Docker and the package.
#
# A block marked `<!-- run -->` in the README is run, command by command; each must exit with 0, and what stands after
# `# →` must be in its output. One marked `<!-- run on NAME -->` is run on the machine NAME of a cluster, where `orca1-…`
# stands for the token that was printed last; `<!-- unplug NAME -->` takes its power. `<!-- not run -->` marks what cannot
# be run here; a block with no mark is an error, so that nothing is forgotten.
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
# shellcheck source=tests/lib/cluster.sh
. tests/lib/cluster.sh
trap cluster_remove EXIT

check_is 'every block of commands is marked' '' "$(awk '
  /^```sh/ { if (last !~ /^<!-- ((not )?run|run on [a-z0-9]+) -->$/) print NR ": " last; inside = 1; next }
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

# The steps of the marked blocks, each `MACHINE COMMAND` in a line; a line that ends in a backslash goes on in the next.
steps=$(awk '
  /^<!-- run -->$/           { on = "n1"; next }
  /^<!-- run on [a-z0-9]+ -->$/ { on = $4; next }
  /^<!-- unplug [a-z0-9]+ -->$/ { print $3, "unplug"; next }
  /^```sh/                   { inside = on != ""; next }
  /^```/                     { inside = 0; on = ""; next }
  inside && /\\$/            { sub(/\\$/, ""); held = held $0; next }
  inside && NF && !/^ *#/    { print on, held $0; held = "" }' README.md)
check 'three machines for the second hour' cluster_boxes_start
for name in "${cluster_boxes[@]}"; do box "$name" docker tag busybox:local busybox; done
token=''
while read -r machine line; do
  if [ "$line" = unplug ]; then
    box_kill "$machine"
    continue
  fi
  command=${line%%# *}
  wanted=''
  [[ $line == *'# → '* ]] && wanted=${line##*# → }
  command=${command//orca1-…/$token}
  # What a command shows may take a moment to become true.
  for _ in $(seq 30); do
    code=0
    output=$(docker exec "$box_prefix-$machine" timeout 90 bash -c "$command" 2>&1 </dev/null) || code=$?
    [ -z "$wanted" ] || [[ $output == *"$wanted"* ]] && break
    sleep 1
  done
  [[ $output =~ orca1-[0-9a-z]+ ]] && token=${BASH_REMATCH[0]}
  printf '%s $ %s\n%s\n' "$machine" "$command" "$output"
  check_is "exit 0: $line" 0 "$code"
  [ -z "$wanted" ] || [[ $output == *"$wanted"* ]] || not_ok "$wanted is in the output of: $line" "$output"
done <<<"$steps"
finish
