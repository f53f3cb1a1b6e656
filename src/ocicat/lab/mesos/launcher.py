"""The directory an agent finds its helper programs in: `mesos-containerizer`, `mesos-executor` and `mesos-default-executor`.

Promises: what it writes runs as any user and from anywhere: its own copy of the modules it needs, byte-compiled, world-readable,
and a bare interpreter (`-I -S -E`: no site, no environment), which starts faster than a full one.
Must not: depend on the checkout or the virtual environment after it has been written.

Invariants:
1. Every file is replaced by rename, so that a helper which starts at that moment finds the old or the new one.
"""

from __future__ import annotations

import os
import py_compile
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

import ocicat
from ocicat.errors import Refused

_SOURCE = Path(ocicat.__file__).parent
_EXECUTOR = ("__init__", "core", "group", "group_loop", "health", "http", "loop", "messages", "shell", "task")

# Relative to the package `ocicat`; each imports only the standard library and others of this list.
MODULES = (
    "__init__.py",
    "errors.py",
    "lab/__init__.py",
    "lab/mesos/__init__.py",
    "lab/mesos/native.py",
    "lab/mesos/containerizer.py",
    *(f"lab/mesos/executor/{name}.py" for name in _EXECUTOR),
)

_CONTAINERIZER = """\
#!{python} -ISE
import sys
sys.path.insert(0, {modules!r})
from ocicat.lab.mesos.containerizer import main
sys.exit(main({library!r}, sys.argv[1:]))
"""

_EXECUTOR_PROGRAM = """\
#!{python} -ISE
import sys
sys.path.insert(0, {modules!r})
from ocicat.lab.mesos.executor.{loop} import main
sys.exit(main(sys.argv[1:]))
"""

_PROGRAMS = (
    ("mesos-containerizer", _CONTAINERIZER, ""),
    ("mesos-executor", _EXECUTOR_PROGRAM, "loop"),
    ("mesos-default-executor", _EXECUTOR_PROGRAM, "group_loop"),
)


def write(directory: Path, library: Path) -> None:
    """Fill `directory` (made when missing) with the helpers. Idempotent. Raises Refused when it cannot be written."""
    python = Path(sys.executable).resolve()  # of a virtual environment: the interpreter behind it
    try:
        for module in MODULES:
            _install(directory / "modules" / "ocicat" / module, (_SOURCE / module).read_bytes(), 0o644)
            _compile(directory / "modules" / "ocicat" / module)
        for name, template, loop in _PROGRAMS:
            script = template.format(python=python, modules=str(directory / "modules"), library=str(library), loop=loop)
            _install(directory / name, script.encode(), 0o755)
    except OSError as error:
        raise Refused(f"{directory}: {error.strerror}", hint="the launcher directory must be writable") from error


def _install(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.chmod(mode)
    fresh.rename(path)


def _compile(module: Path) -> None:
    """Byte code that is used without a look at the source: other users could not write it at their first start."""
    compiled = py_compile.compile(str(module), doraise=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    if compiled:  # the type allows None for doraise=False
        Path(compiled).chmod(0o644)
