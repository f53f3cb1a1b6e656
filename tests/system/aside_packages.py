"""Debian packages that must not be installed on this machine, where they would begin to filter or to serve: fetched, and unpacked
on bare hosts only. What they need that makes users or services (polkitd, dbus) is in DEBIAN_TEST of the Makefile.

`make setup-dev` fetches them (`python tests/system/aside_packages.py`); else the first test that needs them does.
"""

import fcntl
import subprocess
import sys
from pathlib import Path

ARCHIVES = Path(__file__).resolve().parents[2] / ".venv" / ".made" / "aside"
PACKAGES = ("firewalld", "ufw", "openssh-server", "openssh-client", "ipset")
_UNPACK = """
for deb in {archives}/*.deb; do dpkg-deb --fsys-tarfile $deb | tar -C / -x --keep-directory-symlink; done
ldconfig
cp /usr/share/ufw/iptables/*.rules /usr/share/ufw/ufw.conf /usr/share/ufw/*.init /etc/ufw/
cd /usr/share/polkit-1/actions && ln -sf org.fedoraproject.FirewallD1.server.policy.choice org.fedoraproject.FirewallD1.policy
cp /usr/share/openssh/sshd_config /etc/ssh/
systemctl try-restart polkit
getent passwd sshd >/dev/null || echo 'sshd:x:74:65534::/run/sshd:/usr/sbin/nologin' >>/etc/passwd
systemctl daemon-reload
"""


def fetch():
    """With all that they need and this machine has not."""
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    with (ARCHIVES / "lock-fetching").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = ARCHIVES / f"complete-{'-'.join(PACKAGES)}"
        if not done.exists():
            (ARCHIVES / "partial").mkdir(exist_ok=True)
            get = ["apt-get", "install", "-q=2", "--download-only", "--reinstall", "--no-install-recommends"]
            line = [*get, "-o", f"Dir::Cache::archives={ARCHIVES}", *PACKAGES]
            if subprocess.run(line, capture_output=True, check=False).returncode:
                subprocess.run(["apt-get", "update", "-q=2"], check=True, capture_output=True)
                subprocess.run(line, check=True, capture_output=True)
            done.touch()
    return ARCHIVES


def unpack(host):
    """On a bare host that has `ARCHIVES` among its `binds`."""
    host.bash(_UNPACK.format(archives=ARCHIVES))


if __name__ == "__main__":
    sys.exit(fetch() is None)
