#!/bin/busybox sh
# First program of the guest: leaves the initial file system, from which no
# root can be pivoted, for one in memory, and runs the checks there.
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /new
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs new /new
cp -a /bin /etc /home /lib /public /checks.sh /new/
mkdir -p /new/proc /new/sys /new/dev /new/tmp /new/root
for each in proc sys dev; do mount --move /$each /new/$each; done
exec switch_root /new /bin/sh /checks.sh
