"""Makes the tree that the packages and the image carry: `environment.py DEST [--python /usr/bin/python3.11] [--version 0.2.0]`.

    DEST/opt/ocicat/venv       Python packages, compiled, with what etcd and ZooKeeper need; it may be moved to another place
    DEST/opt/ocicat/plugins    the CNI plugin `ocicat`, and `ocicat-netmodules` for Mesos 0.24 to 0.28
    DEST/usr/bin/ocicat        a link

1. On the target it needs the interpreter it was made with (its version: compiled modules are bound to it) and `nft`. No compiler.
2. Made from the checkout beside this file, of which nothing is written to.
3. All files have the time SOURCE_DATE_EPOCH, that of the last commit if it is not set: what is made twice is the same.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("src", "packaging/systemd", "pyproject.toml", "setup.py", "README.md", "LICENSE")
EXTRAS = ("etcd", "zk", "metrics", "pki")  # those of them that pyproject.toml has
PREFIX = "opt/ocicat"
PYTHON = "/usr/bin/python3.11"
# What builders leave in an environment, and nobody needs who runs it.
NOT_NEEDED = (".gitignore", ".lock", "CACHEDIR.TAG", "bin/*activate*", "bin/pydoc.bat")
NOT_NEEDED_IN_PACKAGES = ("_virtualenv.*", "**/__pycache__", "*.dist-info/direct_url.json", "*.dist-info/uv_cache.json")
NOT_RECORDED = re.compile(r"(direct_url\.json|uv_cache\.json|\.pyc),")
# uv reads no configuration of pip's: where pip is told of a mirror, uv is told of the same.
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}
PIP_SECTIONS = ("global", "install", ":env:")  # the later one decides
BARE_PYTHON = "#!/usr/bin/python3 "  # of the plugins that are in Python: a host's python3 may be too old, or not there


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the tree that the packages carry.")
    parser.add_argument("dest", type=Path)
    parser.add_argument("--python", default=PYTHON, help="the interpreter on the target [%(default)s]")
    parser.add_argument("--version", default="", help="in place of the checkout's")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocicat-build-") as scratch:
        wheel, _ = distributions(Path(scratch), arguments.version)
        make(arguments.dest, wheel, arguments.python)
    return 0


def distributions(scratch: Path, version: str = "") -> tuple[Path, Path]:
    """The wheel and the archive of the sources, below `scratch`."""
    copy, out = scratch / "source", scratch / "dist"
    copy.mkdir()
    for name in SOURCES:
        _copy(ROOT / name, copy / name)
    if version:
        _edit(copy / "pyproject.toml", r'(?m)^version = ".*"$', f'version = "{version}"')
        _edit(copy / "src/ocicat/__init__.py", r'(?m)^__version__ = ".*"$', f'__version__ = "{version}"')
    _run([uv(), "build", "-q", "--wheel", "--sdist", "--no-create-gitignore", "-o", out, copy])
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def make(dest: Path, wheel: Path, python: str = PYTHON) -> Path:
    """The environment, below `dest`."""
    venv = dest / PREFIX / "venv"
    if venv.exists():
        sys.exit(f"{venv} is there already")
    _run([uv(), "venv", "-q", "--relocatable", "--no-project", "--no-config", "--python", python, venv])
    wanted = f"{wheel}[{','.join(extras())}]"
    _run([uv(), "pip", "install", "-q", "--python", venv / "bin/python", "--link-mode", "copy", wanted])
    packages = next(venv.glob("lib/python3.*/site-packages"))
    _tidy(venv, packages)
    _plugins(dest / PREFIX / "plugins", packages, python)
    command = dest / "usr/bin/ocicat"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.symlink_to(Path("/", PREFIX, "venv/bin/ocicat"))
    dated(dest)  # before it is compiled: compiled modules hold the times of their sources
    _compile(dest, venv)
    dated(dest)
    return venv


def extras() -> list[str]:
    declared = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    return [extra for extra in EXTRAS if re.search(rf"(?m)^{extra} = ", declared)]


def uv() -> str:
    """Beside the interpreter that runs this, else from the path."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        sys.exit("there is no uv: pip install uv")
    return found


def uv_variables(listing: str, given: Mapping[str, str]) -> dict[str, str]:
    """What uv must be told to fetch from where pip would, by what `pip config list` prints; what it is given already stays."""
    found: dict[str, str] = {}
    for section in PIP_SECTIONS:
        for line in listing.splitlines():
            key, _, value = line.partition("=")
            name = UV_VARIABLES.get(key.removeprefix(f"{section}."))
            if name and key.startswith(f"{section}."):
                found[name] = " ".join(str(ast.literal_eval(value)).split())
    return {name: value for name, value in found.items() if name not in given}


@cache
def pip_settings() -> str:
    """Nothing where there is no pip."""
    line = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(line, capture_output=True, text=True, check=False).stdout


def epoch_s() -> int:
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    line = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    last = subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()
    return int(last) if last else int((ROOT / "pyproject.toml").stat().st_mtime)


def dated(directory: Path) -> None:
    """Every file and directory below it has the one time, and the usual mode."""
    when = epoch_s()
    for path in [*directory.rglob("*"), directory]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (when, when), follow_symlinks=False)


def _tidy(venv: Path, packages: Path) -> None:
    below = [found for pattern in NOT_NEEDED_IN_PACKAGES for found in packages.glob(pattern)]
    for path in [*below, *(found for pattern in NOT_NEEDED for found in venv.glob(pattern))]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for record in packages.glob("*.dist-info/RECORD"):
        lines = [line for line in record.read_text().splitlines() if not NOT_RECORDED.search(line)]
        record.write_text("\n".join(sorted(lines)) + "\n")


def _plugins(plugins: Path, packages: Path, python: str) -> None:
    """Links beside each other: a plugin finds its agent by the directory it was called from."""
    shim, netmodules = packages / "ocicat/cni/shim", packages / "ocicat/mesos/netmodules/plugin.py"
    if not shim.exists():
        sys.exit("the CNI plugin could not be compiled: apt-get install gcc libc6-dev")
    for script in (netmodules, packages / "ocicat/cni/fallback.py"):
        script.write_text(script.read_text().replace(BARE_PYTHON, f"#!{python} ", 1))
    plugins.mkdir(parents=True)
    for name, target in (("ocicat", shim), ("ocicat-netmodules", netmodules)):
        target.chmod(0o755)
        (plugins / name).symlink_to(os.path.relpath(target, plugins))


def _compile(dest: Path, venv: Path) -> None:
    """Valid while a source has the time it has now; errors name the place where it will be."""
    command: list[str | Path] = [venv / "bin/python", "-m", "compileall", "-q", "-j", "0", "-s", dest, "-p", "/"]
    _run([*command, "--invalidation-mode", "timestamp", venv])


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    else:
        shutil.copy2(source, target)


def _edit(path: Path, pattern: str, text: str) -> None:
    path.write_text(re.sub(pattern, text, path.read_text(), count=1))


def _run(command: list[str | Path]) -> None:
    more = {"SOURCE_DATE_EPOCH": str(epoch_s()), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, check=True, env={**os.environ, **uv_variables(pip_settings(), os.environ), **more})


if __name__ == "__main__":
    sys.exit(main())
