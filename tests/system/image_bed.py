"""The agent's image as `docker save` prints it, from the checkout as it is: once for all runners and runs with the same sources.

The real engine builds it, on a bare host; its base is a Debian made by debootstrap, so nothing is fetched.
"""

import subprocess
import sys
from functools import cache

import debian_root
from bare_host import CHECKOUT, bare_hosts
from build_cache import once
from packages_bed import digest

BUILD, IMAGE = CHECKOUT / "packaging/docker/build", "ocicat:0.1.0"
# An engine's data cannot lie on an overlay, as the rest of a bare host's root does.
DISKS = ("/var/lib/docker", "/var/lib/containerd")
KEPT = 2
LIMIT_S = 300


@cache
def saved():
    """The path of a tar file, for `docker load`. The same one throughout a run, also when somebody edits the checkout meanwhile."""
    base = debian_root.tarball()
    return once("image", f"{digest()}-{base.stem}.tar", lambda folder: _make(folder, base), KEPT)


def _make(folder, base):
    context, image = folder / "context", folder / "image.tar"
    prepare = [sys.executable, BUILD, IMAGE, "--only-prepare", "--context", context]
    subprocess.run(prepare, capture_output=True, check=True)
    with bare_hosts("builder", systemd=True, volumes=DISKS, binds=(context, base.parent)) as bed:
        host = bed["builder"]
        host.run("systemctl start docker")
        host.run(f"docker import {base} base", timeout_s=LIMIT_S)
        host.run(f"{BUILD} {IMAGE} --base base --context {context}", timeout_s=LIMIT_S, DOCKER_BUILDKIT="0")
        with image.open("wb") as file:
            subprocess.run(host.enter("docker", "save", IMAGE), stdout=file, check=True)
    return image
