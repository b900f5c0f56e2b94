#!/bin/bash
# systemd.sh -- a real systemd as process 1 of its own namespaces, with one service and nothing else to start:
#
#   unshare --mount --net --uts --ipc bash systemd.sh FOLDER TREE
#
# Its root is this machine's, read through an overlay, with TREE (what make install made) copied over it: what it writes
# goes with it. Kernel settings are read-only for it, its control group is one of its own, and the units that it would
# start otherwise are empty. Killing it ends all of it.
set -eu

if [ "$1" != --inside ]; then
    folder=$1
    mount --make-rprivate /
    mkdir "$folder/cgroup"
    mount -t cgroup2 cgroup2 "$folder/cgroup"
    mkdir "$folder/cgroup/$(basename "$folder")"
    echo $$ >"$folder/cgroup/$(basename "$folder")/cgroup.procs"
    ip link set lo up
    exec unshare --cgroup --pid --fork --kill-child bash "$0" --inside "$@"
fi

folder=$2 tree=$3
mkdir "$folder/upper" "$folder/root"
mount -t tmpfs tmpfs "$folder/upper"
mkdir "$folder/upper/files" "$folder/upper/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper/files,workdir=$folder/upper/work" "$folder/root"
cd "$folder/root"
cp -r "$tree/." .
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for name in run tmp dev; do
    mount -t tmpfs tmpfs "$name"
done
while read -r name minor; do
    mknod -m 666 "dev/$name" c 1 "$minor"
done <<'END'
null 3
zero 5
full 7
random 8
urandom 9
END
mknod -m 666 dev/tty c 5 0
mkdir -p dev/shm dev/pts dev/mqueue dev/hugepages run/units
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /run/systemd/journal/dev-log dev/log
for name in sysinit basic shutdown multi-user network sockets timers paths slices; do
    printf '[Unit]\nDefaultDependencies=no\n' >"run/units/$name.target"
done
cp usr/lib/systemd/system/sponson.service run/units
pivot_root . .
umount -l .
cd /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/run/units \
    /lib/systemd/systemd --system --unit=sponson.service --show-status=no
