"""The packages, made from the checkout as it is: once for all runners and runs that see the same sources."""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from build_cache import once

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("src", "packaging", "setup.py", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE")
KEPT = 12
LIMIT_S = 300


@dataclass(frozen=True)
class Built:
    """`version` is that of the wheel and of both packages."""

    directory: Path
    version: str

    def _one(self, pattern):
        (found,) = self.directory.glob(pattern)
        return found

    @property
    def deb(self):
        return self._one("*.deb")

    @property
    def rpm(self):
        return self._one("*.rpm")

    @property
    def wheel(self):
        return self._one("*.whl")

    @property
    def sdist(self):
        return self._one("*.tar.gz")


@cache
def built(version=""):
    """Of the checkout; with another version than it says of itself, if one is given: what there is to upgrade to."""
    target = once("packages", f"{digest()}-{version or 'own'}", lambda folder: make(folder, version), KEPT)
    (wheel,) = target.glob("*.whl")
    return Built(target, wheel.name.split("-")[1])


@cache
def environment():
    """The module that makes what is in the packages."""
    spec = spec_from_file_location("packaging_environment", ROOT / "packaging/environment.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digest():
    """Of everything that the packages are made from."""
    found = sha256(sys.version.encode())
    for path in sorted(each for name in SOURCES for each in [ROOT / name, *(ROOT / name).rglob("*")]):
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path):
            found.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode}\0".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def make(folder, version):
    """With pinned times: what is made twice is the same."""
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, str(ROOT / "packaging/build.py"), str(folder / "out")]
    if version:
        command += ["--version", version]
    variables = {
        **os.environ,
        "TMPDIR": str(folder),
        "SOURCE_DATE_EPOCH": "1700000000",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=variables, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return folder / "out"
