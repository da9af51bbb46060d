#!/bin/bash
# needs: packages
# The .rpm beside the .deb: rpmlint, the same files with the same rights, scripts that do the same, and dnf.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/check.sh
. tests/lib/check.sh
# shellcheck source=tests/lib/packages.sh
. tests/lib/packages.sh

need_programs rpmlint:rpmlint dnf:dnf rpmbuild:rpm busybox:busybox-static || exit 1
deb=$(package_file) || exit 1
rpm=$(rpm_file) || exit 1
work=$(mktemp -d /var/tmp/orca-rpm.XXXXXX)
trap 'rm -rf "$work"' EXIT

# ------------------------------------------------------------------------------------------- rpmlint
said=$(rpmlint --config packaging/rpm/rpmlint.toml "$rpm" 2>&1)
check_match 'rpmlint has looked' '1 packages and 0 specfiles checked; 0 errors, 0 warnings' "$said"
check_is 'and says nothing against the .rpm' '' "$(grep -E ': [EW]: ' <<<"$said")"

# ------------------------------------------------------------------------------------------- the files
# Mode, owner, group, digest and path of each file. The two families name the folder of zsh and of the licence differently,
# and write the change log in different forms.
same_everywhere() { sed -E 's#/usr/share/zsh/(vendor-completions|site-functions)/#/usr/share/zsh/#' | grep -vE '/usr/share/(doc/orcad/(copyright|changelog.gz|CHANGELOG.md.gz)|licenses/.*)$' | sort -k 5; }
of_deb() {
  mkdir -p "$work/deb"
  dpkg-deb -x "$deb" "$work/deb"
  dpkg-deb --fsys-tarfile "$deb" | tar -tv --numeric-owner | awk '$1 ~ /^-/ { print $1, $2, $6 }' | while read -r mode owner path; do
    [ "$owner" = 0/0 ] && owner='root root'
    echo "$mode $owner $(sha256sum "$work/deb/$path" | cut -d ' ' -f 1) ${path#.}"
  done | same_everywhere
}
of_rpm() {
  rpm -qp --queryformat '[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILEDIGESTS} %{FILENAMES}\n]' "$rpm" 2>/dev/null |
    grep '^-' | same_everywhere
}
of_deb >"$work/deb.files"
of_rpm >"$work/rpm.files"
check 'both packages hold the same files, with the same modes, owners and bytes' diff "$work/deb.files" "$work/rpm.files"
check 'and they are many' test "$(wc -l <"$work/rpm.files")" -gt 20
for program in orcad orcactl; do
  check_match "$program has a page" "/man[18]/$program\.[18]\.gz$" "$(rpm -qpl "$rpm" 2>/dev/null)"
done
check_is 'the licence is in both' '1 1' \
  "$(dpkg-deb --fsys-tarfile "$deb" | tar -t | grep -c 'doc/orcad/copyright') $(rpm -qpl "$rpm" 2>/dev/null | grep -c 'licenses/orcad/LICENSE')"
check_is 'the configuration is kept by both' '/etc/orcad.toml /etc/orcad.toml' \
  "$(dpkg-deb --ctrl-tarfile "$deb" | tar -xO ./conffiles) $(rpm -qpc "$rpm" 2>/dev/null)"

# ------------------------------------------------------------------------------------------- the scripts
# What each script would do, by programs that only write down what they are asked. The names of the two families' helpers
# are brought to one.
mkdir -p "$work/bin" "$work/scripts"
for program in systemctl deb-systemd-helper deb-systemd-invoke systemd-sysusers systemd-tmpfiles; do
  cat >"$work/bin/$program" <<'STUB'
#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
STUB
done
chmod +x "$work"/bin/*
dpkg-deb -e "$deb" "$work/scripts"
rpm -qp --scripts "$rpm" 2>/dev/null | awk -v folder="$work/scripts" '
  /^(preinstall|postinstall|preuninstall|postuninstall) scriptlet/ { file = folder "/rpm-" $1; next } file { print >file }'
did() { # SCRIPT ARGUMENTS…: one line for each unit that is enabled, disabled, started, stopped or restarted
  : >"$work/calls"
  CALLS=$work/calls PATH=$work/bin:$PATH sh "$@" >"$work/said" 2>&1 || echo "exit $?"
  awk '
    $1 == "systemd-sysusers" || $1 == "systemd-tmpfiles" { print "makes", $1; next }
    { verb = ""; for (i = 2; i <= NF; i++) if ($i ~ /^(enable|disable|mask|start|stop|restart|try-restart)$/) { verb = $i; first = i + 1; break }
      if (verb == "mask") verb = "disable"
      if (verb == "try-restart") verb = "restart"
      if (verb != "") for (i = first; i <= NF; i++) print verb, $i }' "$work/calls" | sort -u
}
# Without systemd both leave everything but enabling aside; here it is as with it.
sed -i 's#\[ -d /run/systemd/system \]#true#' "$work"/scripts/p* "$work"/scripts/rpm-*
check_is 'an installation does the same' "$(did "$work/scripts/postinst" configure)" "$(did "$work/scripts/rpm-postinstall" 1)"
check_match 'it starts the daemon' '^start orcad.service$' "$(did "$work/scripts/rpm-postinstall" 1)"
upgrade_rpm=$( { did "$work/scripts/rpm-postinstall" 2; did "$work/scripts/rpm-postuninstall" 1; } | sort -u)
check_match 'an upgrade restarts the daemon, of the .deb' '^restart orcad.service$' "$(did "$work/scripts/postinst" configure 0.0.1)"
check_match 'and of the .rpm' '^restart orcad.service$' "$upgrade_rpm"
stops() { grep '^stop' || true; }
check_is 'a removal stops the same' "$(did "$work/scripts/prerm" remove | stops)" "$(did "$work/scripts/rpm-preuninstall" 0 | stops)"
check_match 'the daemon among it' '^stop orcad.service$' "$(did "$work/scripts/rpm-preuninstall" 0)"
check_is 'an upgrade stops nothing' '' "$(did "$work/scripts/prerm" upgrade 0.0.2; did "$work/scripts/rpm-preuninstall" 1)"
check_is 'both begin with the same look at the state' \
  "$(sed -n '/^orcad_store_check() {/,/^}/p' "$work/scripts/preinst")" "$(sed -n '/^orcad_store_check() {/,/^}/p' "$work/scripts/rpm-preinstall")"

# ------------------------------------------------------------------------------------------- dnf
# On packages that stand for Fedora's: a shell, and what the scripts call, which write down what they are asked.
if [ "$(id -u)" -ne 0 ]; then
  skip 'dnf' 'it needs root'
  finish
  exit
fi
stub() { # NAME VERSION PROVIDES FILES…: a package that holds a tree
  local name=$1 version=$2 provides=$3 tree=$work/tree-$1
  {
    printf 'Name: %s\nVersion: %s\nRelease: 1\nSummary: stub\nLicense: none\nAutoReqProv: no\n' "$name" "$version"
    for what in $provides; do printf 'Provides: %s\n' "$what"; done
    printf '%%description\nstub\n%%install\nmkdir -p %%{buildroot}\n[ ! -d %s ] || cp -a %s/. %%{buildroot}/\n%%files\n' "$tree" "$tree"
    [ ! -d "$tree" ] || (cd "$tree" && find . ! -type d -printf '/%P\n')
  } >"$work/$name.spec"
  rpmbuild -bb --quiet --define "_topdir $work/rpmbuild" --define "_rpmdir $work/stubs" --define 'debug_package %{nil}' \
    --define '_build_name_fmt %%{NAME}.rpm' --define '__os_install_post %{nil}' --define '_build_id_links none' "$work/$name.spec" >/dev/null 2>&1
}
mkdir -p "$work/tree-bash/bin" "$work/tree-systemd/usr/bin" "$work/stubs"
cp /bin/busybox "$work/tree-bash/bin/busybox"
for applet in sh od test echo rm mkdir basename; do ln -s busybox "$work/tree-bash/bin/$applet"; done
for program in systemctl systemd-sysusers systemd-tmpfiles; do
  printf '#!/bin/sh\necho "%s $*" >>/calls\n' "$program" >"$work/tree-systemd/usr/bin/$program"
done
chmod +x "$work"/tree-systemd/usr/bin/*
if ldd /bin/busybox >/dev/null 2>&1; then
  not_ok 'a static busybox' 'apt-get install busybox-static'
fi
stub bash 5.2 '/bin/sh /usr/bin/sh coreutils' && stub systemd 255 '' && stub glibc 2.38 '' && stub libgcc 13.2 'libgcc_s.so.1()(64bit)' &&
  stub moby-engine 24.0 ''
check_is 'stubs are made' 5 "$(find "$work/stubs" -name '*.rpm' | wc -l)"
root=$work/root
mkdir -p "$work/log" "$work/cache" "$root/dev"
: >"$root/dev/null"
with_dnf() {
  dnf -y --installroot "$root" --releasever 40 --disablerepo '*' --setopt=reposdir=/dev/null --setopt=cachedir="$work/cache" \
    --setopt=logdir="$work/log" --setopt=install_weak_deps=True --setopt=tsflags= "$@"
}
check 'dnf installs it' with_dnf install "$work"/stubs/*.rpm "$rpm"
check_match 'with its scripts' 'systemctl --no-reload enable orcad.socket orcad-view.socket orcad.service' "$(cat "$root/calls" 2>&1)"
check 'the files are where they belong' test -x "$root/usr/bin/orcad" -a -f "$root/etc/orcad.toml" -a -f "$root/usr/lib/systemd/system/orcad.service"
check_is 'nothing is missing or changed' '' "$(rpm --root "$root" --dbpath "$(rpm --root "$root" -E '%_dbpath')" -V orcad 2>&1 | grep -vE '^\.+ ' | head -n 5)"
echo '# mine' >>"$root/etc/orcad.toml"
mkdir -p "$root/var/lib/orca"
head -c 4096 /dev/zero >"$root/var/lib/orca/manager.db"
printf '\000\000\000\143' | dd of="$root/var/lib/orca/manager.db" bs=1 seek=60 conv=notrunc status=none
said=$(with_dnf reinstall "$rpm" 2>&1)
check_match 'over a state of a newer version it does not go' 'manager.db has schema 99, written by a newer orcad' "$said"
rm -r "$root/var/lib/orca"
check 'dnf removes it' with_dnf remove --noautoremove orcad
check 'its programs are gone' test ! -e "$root/usr/bin/orcad"
check_match 'an edited configuration is kept' '# mine' "$(cat "$root/etc/orcad.toml.rpmsave" 2>&1)"
check_match 'it was stopped' 'disable orcad-backup.timer orcad-view.socket orcad.socket orcad.service' "$(cat "$root/calls" 2>&1)"
finish
