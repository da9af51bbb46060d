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
