#!/usr/bin/busybox sh
# The first process of a guest: sets the machine up, runs Deno with the arguments
# in /arguments, one per line, and powers off. The host reads the lines that start
# with "@@" from the console.

export PATH=/usr/sbin:/usr/bin:/applets HOME=/root TERM=dumb
# Allows tests to change settings of the whole machine.
export CI=true
export DENO_DIR=/deno-dir DENO_NO_UPDATE_CHECK=1 NO_COLOR=1

busybox mkdir -p /applets /proc /sys /dev /tmp /root /run
busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mkdir -p /dev/pts /dev/shm
mount -t proc proc /proc
busybox --install -s /applets
mount -t sysfs sys /sys
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run

# Returns the parameters of a module that the kernel's command line has.
parameters() {
  for word in $(cat /proc/cmdline); do
    case $word in "$1".*) echo "${word#"$1".}" ;; esac
  done
}

for module in /modules/*.ko; do
  case $module in
    */*-nvme.ko) options=$(parameters nvme) ;;
    */*-null_blk.ko) options="nr_devices=0" ;;
    */*-scsi_debug.ko) options="dev_size_mb=64 lbpu=1 lbpws=1 num_tgts=1" ;;
    *) options="" ;;
  esac
  insmod "$module" $options || echo "@@ no module $module"
done

# Makes a disk in memory that supports discard, and a zoned one, where the kernel
# has null_blk and zones.
mount -t configfs configfs /sys/kernel/config
for disk in nullb0 nullb1; do
  folder=/sys/kernel/config/nullb/$disk
  mkdir "$folder" 2>/dev/null || continue
  echo 64 >"$folder/size"
  echo 1 >"$folder/memory_backed"
  if [ "$disk" = nullb0 ]; then
    echo 1 >"$folder/discard"
  else
    echo 1 >"$folder/zoned"
    echo 4 >"$folder/zone_size"
  fi
  echo 1 >"$folder/power"
done

# As udev and the package fuse3 leave them. A test that hangs is aborted through
# fusectl.
chmod 666 /dev/fuse
chmod 4755 /usr/bin/fusermount3
mount -t fusectl fusectl /sys/fs/fuse/connections

hostname guest
ip link set lo up
# The hard limit of files under systemd. The kernel's default is 4096.
ulimit -Hn 524288

cd /uring || poweroff -f
set --
while IFS= read -r argument; do set -- "$@" "$argument"; done </arguments

echo "@@ release $(uname -r)"
echo "@@ begin"
deno "$@" </dev/null 2>&1
echo "@@ end $?"
dmesg
echo "@@ off"
poweroff -f
