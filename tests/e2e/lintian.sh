#!/bin/bash
# needs: packages
# The .deb by Debian's own judge: no errors and no warnings.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh
# shellcheck source=tests/lib/packages.sh
. tests/lib/packages.sh

need_programs lintian:lintian || exit 1
deb=$(package_file) || exit 1
said=$(lintian --no-cfg --fail-on error,warning "$deb" 2>&1 | grep -E '^[EW]: ')
check_is 'lintian says nothing against the .deb' '' "$said"
check_match 'and it has looked' 'orcad' "$(lintian --no-cfg --display-info --pedantic "$deb" 2>&1)"
finish
