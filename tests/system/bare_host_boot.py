"""How a bare host starts: shell scripts, run in the order KEEPER (once for all hosts), JOIN and FIRST_PROCESS (for each)."""

# What a bare host does not run: the machine's own services (their links are hidden), and what a container's systemd has no use for.
TARGETS = """
multi-user.target sockets.target timers.target sysinit.target getty.target graphical.target network-online.target
cloud-init.target default.target local-fs.target paths.target
"""
HIDDEN = [f"/etc/systemd/system/{name}.wants" for name in TARGETS.split()] + [
    f"/etc/rc{level}.d" for level in "S0123456"
]
# There is no way out to what the lists of packages name; an index of manual pages is not made. Both take seconds for each host.
HIDDEN += ["/var/lib/apt/lists", "/var/lib/man-db"]
UNITS = """
systemd-udevd.service systemd-udev-trigger.service systemd-logind.service getty.target systemd-firstboot.service
systemd-update-utmp.service systemd-update-utmp-runlevel.service e2scrub_reap.service systemd-random-seed.service dev-
hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount
systemd-machine-id-commit.service modprobe@.service kmod-static-nodes.service systemd-pcrphase.service
"""
MASKED = UNITS.split()

# Joins a control group of the host in every hierarchy; cpuset's would first need processors and memory of its own.
JOIN = """
set -e
while IFS=: read -r _ kind path; do
  case $kind in
    cpuset) continue;;
    '') top=/sys/fs/cgroup/unified; [ -d $top ] || top=/sys/fs/cgroup;;
    *) top=/sys/fs/cgroup/${kind#name=};;
  esac
  [ -d "$top" ] || continue
  group=${top}${path%/}/$GROUP
  mkdir -p "$group"; echo $$ > "$group/cgroup.procs"; grep -qx "$group" $BASE/$NAME/groups || echo "$group" >> $BASE/$NAME/groups
done <<< "$OUTSIDE"
mountpoint -q $BASE/$NAME/before || mount -t overlay before -o ro,lowerdir=$BASE/$NAME/given:$ROOT $BASE/$NAME/before
# Time has no namespace: nothing on a host may set the clock.
exec setpriv --pdeathsig KILL --bounding-set=-sys_time unshare --fork --kill-child --pid --mount --net --uts --ipc --cgroup \\
  bash -c "$FIRST_PROCESS" 2>/dev/null
"""

# Waits for the end of the pipe; then ends the hosts, and removes their groups, the deepest first, as soon as nobody is in them.
KEEPER = """
trap '' INT TERM HUP
ip link set lo up; ip link add fabric type bridge; ip link set fabric up; ip address add $GATEWAY/24 dev fabric
[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables
mount -t tmpfs -o mode=755 bare $BASE
echo ready
while read -r _; do :; done
for file in $BASE/*/groups; do
  [ -e $file ] || continue
  for group in $(cat $file); do
    for try in $(seq 400); do
      find $group -depth -type d -exec rmdir {} + 2>/dev/null; [ -d $group ] || break; read -rt 0.02 <> <(:)
    done
  done
done
"""

# The first process of a host: its file system, then (when the wire is there: a line on its input) systemd, or a process that waits.
FIRST_PROCESS = """
here=$BASE/$NAME; new=$here/root
exec 2>$here/errors; set -e
mount -t overlay host -o lowerdir=$here/given:$ROOT,upperdir=$here/up,workdir=$here/work $new
mount -t proc proc $new/proc
mount --bind $new/proc/sys $new/proc/sys; mount -o remount,bind,ro $new/proc/sys; mount --bind /proc/sys/net $new/proc/sys/net
mount -t sysfs sysfs $new/sys
mount -t tmpfs -o mode=755 run $new/run; mount -t tmpfs -o mode=1777 tmp $new/tmp; mount -t tmpfs -o mode=755 dev $new/dev
mkdir $new/run/lock $new/dev/pts $new/dev/shm
for node in null zero full random urandom tty; do : > $new/dev/$node; mount --bind /dev/$node $new/dev/$node; done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts $new/dev/pts; ln -s pts/ptmx $new/dev/ptmx
mount -t tmpfs -o mode=1777 shm $new/dev/shm
ln -s /proc/self/fd $new/dev/fd; ln -s fd/0 $new/dev/stdin; ln -s fd/1 $new/dev/stdout; ln -s fd/2 $new/dev/stderr
kinds=$(cut -d: -f2 /proc/self/cgroup)
# systemd goes by what lies at the top. A hierarchy of its own, where the machine has none, it could not make here.
if grep -qx name=systemd <<< "$kinds"; then
  mount -t tmpfs -o mode=755 cgroup $new/sys/fs/cgroup; unified=$new/sys/fs/cgroup/unified; mkdir $unified
else
  unified=$new/sys/fs/cgroup; mount -t cgroup2 cgroup2 $unified
fi
while read -r kind; do
  case $kind in
    '') mountpoint -q $unified || mount -t cgroup2 cgroup2 $unified;;
    cpuset) ;;
    name=*) mkdir $new/sys/fs/cgroup/${kind#name=}; mount -t cgroup -o none,$kind cgroup $new/sys/fs/cgroup/${kind#name=};;
    *) mkdir $new/sys/fs/cgroup/$kind; mount -t cgroup -o $kind cgroup $new/sys/fs/cgroup/$kind;;
  esac
done <<< "$kinds"
mount -o remount,bind,ro $new/sys
for given in $BINDS; do mkdir -p $new$given; mount --bind $given $new$given; mount -o remount,bind,ro $new$given; done
for shared in $SHARED; do mkdir -p $new$shared $BASE/shared$shared; mount --bind $BASE/shared$shared $new$shared; done
for volume in $VOLUMES; do mkdir -p $new$volume; mount -t tmpfs -o mode=755 volume $new$volume; done
echo made
read -r _
hostname $NAME
cd $new; mkdir -p run/old; pivot_root . run/old; umount -l /run/old; rmdir /run/old
if [ -n "$SYSTEMD" ]; then
  exec env -i PATH=$PATH container=ocicat /lib/systemd/systemd --system --show-status=0 </dev/null >/dev/null 2>&1
fi
echo up
exec bash -c 'trap : INT TERM; while read -r _; do :; done'
"""
