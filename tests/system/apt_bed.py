"""An apt repository in a directory, with what the core services need on a minimal Debian.

It is made once, by `apt-get --download-only` from where this machine gets its packages: a host needs no way out.
"""

import os
import shutil
import subprocess
from datetime import date

import debian_root
from build_cache import once

WANTED = ("etcd-server", "etcd-client", "default-jre-headless", "libzookeeper-java")
LIMIT_S = 600
SOURCES = "/etc/apt/sources.list"


def missing():
    """Why there can be none here; "" when there can."""
    lack = debian_root.missing()
    return lack or ("" if shutil.which("dpkg-scanpackages") else "dpkg-dev is not installed")


def repository():
    """Its directory."""
    year, week, _ = date.today().isocalendar()
    return once("apt", f"{year}w{week:02}", _download, 2)


def source(folder):
    """The line of sources.list."""
    return f"deb [trusted=yes] file:{folder} ./\n"


def _download(folder):
    status, made = "./var/lib/dpkg/status", folder / "made"
    made.mkdir()
    _run("tar", "--extract", "--file", str(debian_root.tarball()), "--directory", str(folder), status)
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True)
    options = {
        "Dir::State::status": folder / status,
        "Dir::State::lists": folder / "lists",
        "Dir::Cache::archives": folder / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
    }
    line = ["apt-get", "-q=2", "--yes", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    _run(*line, "update")
    _run(*line, "install", "--download-only", "--no-install-recommends", *WANTED)
    for deb in (folder / "archives").glob("*.deb"):
        deb.rename(made / deb.name)
    index = subprocess.run(
        ["dpkg-scanpackages", "--multiversion", "."], cwd=made, capture_output=True, check=True, timeout=LIMIT_S
    )
    (made / "Packages").write_bytes(index.stdout)
    return made


def _run(*command):
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=environment
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
