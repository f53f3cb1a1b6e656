"""What runs inside of a machine: the first script of its boot, the unit, and the program that does what it is asked.

`INIT` lays the machine's files over this machine's own, which it may only read, and gives way to the first process. `SERVE` then
takes lines of JSON from a serial port, one command each, and answers with what it says as it says it, and with its status.
"""

# Its own words go to the console, which is a file outside. $RELEASE, $MODULES and $SYSTEMD are put before it.
INIT = r"""
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /lower /over /new
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
set -e
trap 'echo "the first script failed"; poweroff -f' EXIT
for module in $MODULES; do insmod /modules/$module; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro root /lower
mount -t tmpfs -o mode=755,size=2g over /over
mkdir /over/up /over/work
mount -t overlay -o lowerdir=/lower,upperdir=/over/up,workdir=/over/work over /new
mount -t tmpfs -o mode=755 run /new/run; mount -t tmpfs -o mode=1777 tmp /new/tmp
rm -rf /new/etc/systemd/system/*.wants /new/etc/systemd/network /new/etc/NetworkManager /new/etc/fstab /new/etc/ld.so.preload
tar -x -f /given.tar -C /new
mkdir -p /new/usr/lib/modules/$RELEASE
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro modules /new/usr/lib/modules/$RELEASE
for each in dev sys proc; do mount --move /$each /new/$each; done
trap - EXIT
[ -z "$SYSTEMD" ] || exec switch_root /new /lib/systemd/systemd --system
mkdir /new/run/lock /new/dev/pts /new/dev/shm
mount -t devpts -o ptmxmode=0666,mode=620 devpts /new/dev/pts; mount -t tmpfs -o mode=1777 shm /new/dev/shm
mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
ln -s /proc/self/fd /new/dev/fd; ln -s fd/0 /new/dev/stdin; ln -s fd/1 /new/dev/stdout; ln -s fd/2 /new/dev/stderr
hostname machine; ip link set lo up; ulimit -n 65536
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
exec switch_root /new /usr/bin/tini -- /usr/bin/python3 /etc/machine/serve.py
"""

UNIT = """
[Unit]
After=basic.target dbus.service
Wants=dbus.service

[Service]
ExecStart=/usr/bin/python3 /etc/machine/serve.py
Environment=HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
StandardError=journal+console
"""

TARGET = """
[Unit]
Requires=basic.target machine.service
After=basic.target
AllowIsolate=yes
"""

SERVE = r"""
import glob, json, os, selectors, signal, subprocess, tempfile, time

os.chdir("/root")
(name,) = [path for path in glob.glob("/sys/class/virtio-ports/*/name") if open(path).read() == "ocicat\n"]
port = open("/dev/" + name.split("/")[-2], "r+b", buffering=0)

def say(**what):
    line = json.dumps(what).encode() + b"\n"
    while line:
        line = line[port.write(line):]

def do(command, given, limit_s):
    with tempfile.TemporaryFile() as stdin:
        stdin.write(given.encode()); stdin.seek(0)
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    end, late = time.monotonic() + limit_s, False
    with selectors.DefaultSelector() as pipes:
        for name in ("out", "err"):
            pipes.register(getattr(process, "std" + name), selectors.EVENT_READ, name)
        # What a command leaves running may hold the pipes: after its end, only what is already in them counts.
        while pipes.get_map():
            ended = process.poll() is not None
            ready = pipes.select(0 if ended else 0.05)
            for key, _ in ready:
                text = os.read(key.fd, 65536)
                if text:
                    say(**{key.data: text.decode(errors="replace")})
                else:
                    pipes.unregister(key.fileobj)
            if ended and not ready:
                break
            if not late and time.monotonic() > end:
                late = True
                os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close(); process.stderr.close()
    return "late" if late else process.wait()

say(status=0)
rest = b""
while True:
    rest += os.read(port.fileno(), 65536)
    while b"\n" in rest:
        line, rest = rest.split(b"\n", 1)
        asked = json.loads(line)
        try:
            say(status=do(asked["command"], asked["given"], asked["limit_s"]))
        except OSError as error:
            say(err=str(error)); say(status=127)
"""
