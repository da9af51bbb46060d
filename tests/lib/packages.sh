# shellcheck shell=bash
# The package in a node box. Source it after box.sh.

# package_file: the .deb that packaging/build has made.
package_file() {
  local files
  files=("${CARGO_TARGET_DIR:-target}"/package/orcad_*.deb)
  if [ ${#files[@]} -ne 1 ] || [ ! -f "${files[0]}" ]; then
    echo 'error: there is no package, or more than one: run packaging/build' >&2
    return 1
  fi
  printf '%s\n' "${files[0]}"
}

# box_install NAME: installs the package in a box, as a person would.
box_install() {
  box_put "$1" "$(package_file)" /tmp/orcad.deb && box "$1" dpkg -i /tmp/orcad.deb
}

# rpm_file: the .rpm that packaging/build has made.
rpm_file() {
  local files
  files=("${CARGO_TARGET_DIR:-target}"/package/orcad-*.rpm)
  if [ ${#files[@]} -ne 1 ] || [ ! -f "${files[0]}" ]; then
    echo 'error: there is no .rpm, or more than one: run packaging/build' >&2
    return 1
  fi
  printf '%s\n' "${files[0]}"
}

# need_programs PROGRAM:PACKAGE…: installs what is missing, as root on Debian; elsewhere says what is missing.
need_programs() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "error: missing: ${missing[*]}" >&2
    echo "hint: sudo apt-get install ${missing[*]}" >&2
    return 1
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}
