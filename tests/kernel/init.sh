#!/bin/sh
# The first process of the guest: mounts what a program expects, runs it, and switches the machine off.
# /tmp stays as it is, read-only: the project may lie below it. What is written goes to /dev/shm.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
for place in /dev/shm /run; do mount -t tmpfs tmpfs "$place"; done
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/dev/shm TMPDIR=/dev/shm PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# the command comes from the kernel's command line: guest.python=... guest.script=...
for word in $(cat /proc/cmdline); do
    case $word in
        guest.python=*) python=${word#guest.python=} ;;
        guest.script=*) script=${word#guest.script=} ;;
    esac
done
cd "$(dirname "$script")/../.." && "$python" "$script"
echo o >/proc/sysrq-trigger
sleep 10
