#!/bin/bash
# Makes the root file system of a node box in the folder $1: Debian with systemd and its own Docker engine.
# The recipe of the image orca-node:local: when this file changes, node_image makes the image anew.
set -euo pipefail
tree=$1
suite=${ORCA_NODE_SUITE:-bookworm}
packages=systemd,systemd-sysv,dbus,docker.io,ca-certificates,iproute2,iptables,procps,curl,busybox-static,openssl,sqlite3,sudo,adduser,rpm

mirror=$(sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb +(\[[^]]*\] +)?([^ ]+) .*/\2/p' \
  /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
  grep -v security | head -n 1 || true)
debootstrap --variant=minbase --include="$packages" "$suite" "$tree" ${mirror:+"$mirror"}

# What a box has no use for, or what would reach for the machine that the box shares.
units='systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service
  systemd-logind.service systemd-timesyncd.service getty.target console-getty.service getty@.service
  systemd-modules-load.service systemd-sysctl.service systemd-remount-fs.service dev-hugepages.mount dev-mqueue.mount
  sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount apt-daily.timer apt-daily-upgrade.timer
  fstrim.timer e2scrub_all.timer e2scrub_reap.service'
for unit in $units; do
  ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done

# Raising limits needs a capability that the box may lack.
for unit in docker containerd; do
  mkdir -p "$tree/etc/systemd/system/$unit.service.d"
  printf '[Service]\nLimitNOFILE=\nLimitNPROC=\nLimitCORE=\nOOMScoreAdjust=\n' \
    >"$tree/etc/systemd/system/$unit.service.d/box.conf"
done

# Boxes differ by their machine id, which the first boot makes.
: >"$tree/etc/machine-id"
rm -f "$tree/var/lib/dbus/machine-id"
# A person who is in no group, for the checks of access.
chroot "$tree" useradd --create-home --shell /bin/bash visitor
rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/* "$tree"/var/lib/docker
