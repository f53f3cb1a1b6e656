"""Puts the plugin where a container runtime looks for it: `python -m ocicat.cni.install DIRECTORY [SOCKET]`; and that for Mesos'
old network isolator module, which speaks to the same agent.

1. The plugin is the C relay that came with this package, or where there is a compiler, and else its twin in Python.
2. A plugin that is running meanwhile is not disturbed: the new one takes its name in one step.
3. It finds its agent by a link beside it, unless the agent serves the default socket.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ocicat.cni.relay import DEFAULT_SOCKET, LINK, PLUGIN
from ocicat.errors import OcicatError, Refused, UserError
from ocicat.mesos import netmodules

log = logging.getLogger(__name__)

SHIM = Path(__file__).with_name("shim.c")
PREBUILT = Path(__file__).with_name("shim")  # in a wheel or a package, not in a checkout
FALLBACK = Path(__file__).with_name("fallback.py")
NETMODULES = "ocicat-netmodules"
NETMODULES_PLUGIN = Path(netmodules.__file__).with_name("plugin.py")
SOCKET_PATH_BYTES = 107  # the kernel's limit, without the final NUL
COMPILE_TIMEOUT_S = 60.0


def install(plugin_dir: Path, socket: Path) -> Path:
    """The plugin's path. `socket` is that of the agent it shall ask. UserError (a bad socket path), Refused (cannot write)."""
    return _install(plugin_dir / PLUGIN, executable, socket)


def install_netmodules(plugin_dir: Path, socket: Path) -> Path:
    """The path of the plugin for the network isolator module of Mesos 0.24 to 0.28. Errors: as `install`."""
    return _install(plugin_dir / NETMODULES, NETMODULES_PLUGIN.read_bytes, socket)


def _install(plugin: Path, content: Callable[[], bytes], socket: Path) -> Path:
    check_socket(socket)
    try:
        plugin.parent.mkdir(parents=True, exist_ok=True)
        _link(plugin.parent / LINK, socket)  # first: the plugin must never ask a wrong agent
        made = content()
        _replace(plugin, lambda path: _write(path, made))
    except OSError as error:
        raise Refused(
            f"the plugin cannot be installed in {plugin.parent}: {error.strerror}", hint=f"see {error.filename}"
        ) from error
    return plugin


def executable() -> bytes:
    """The plugin itself: the compiled relay, else the one in Python. Refused where neither can run."""
    if PREBUILT.exists():
        return PREBUILT.read_bytes()
    if compiler := shutil.which("cc"):
        try:
            return compiled(compiler)
        except subprocess.SubprocessError as error:
            log.warning("the plugin cannot be compiled, taking the slower one in Python: %s", _cause(error))
    interpreter = Path(FALLBACK.read_text().split(maxsplit=1)[0].removeprefix("#!"))
    if not interpreter.exists():
        raise Refused(f"there is neither a C compiler nor {interpreter} to run the plugin", hint="install gcc")
    return FALLBACK.read_bytes()


@cache
def compiled(compiler: str, *defines: str) -> bytes:
    """The relay in C, built once per process. `defines`: NAME=VALUE in place of the source's own. SubprocessError."""
    with tempfile.TemporaryDirectory(prefix="ocicat-") as directory:
        target = Path(directory, PLUGIN)
        command = [compiler, "-O2", "-Wall", *(f"-D{define}" for define in defines), str(SHIM), "-o", str(target)]
        try:
            _compile([*command, "-static"])
        except subprocess.CalledProcessError:  # some distributions keep the static C library in a package of its own
            _compile(command)
        return target.read_bytes()


def _compile(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)


def _cause(error: subprocess.SubprocessError) -> str:
    lines = str(getattr(error, "stderr", "") or "").strip().splitlines()
    return lines[0] if lines else str(error)


def check_socket(socket: Path) -> None:
    """UserError for a path that no socket can have."""
    if not socket.is_absolute():
        raise UserError(f"agent socket {str(socket)!r} is not an absolute path")
    if len(os.fsencode(socket)) > SOCKET_PATH_BYTES:
        raise UserError(
            f"agent socket {str(socket)!r} is longer than {SOCKET_PATH_BYTES} bytes", hint="choose a shorter path"
        )


def _link(link: Path, socket: Path) -> None:
    if socket == DEFAULT_SOCKET:
        link.unlink(missing_ok=True)
    else:
        _replace(link, lambda path: path.symlink_to(socket))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o755)


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    """`make` writes a file beside `path` that then takes its place."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        make(new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ocicat.cni.install", description="Install the CNI plugin.")
    parser.add_argument("directory", type=Path, help="where the container runtime looks for plugins")
    parser.add_argument("socket", type=Path, nargs="?", default=DEFAULT_SOCKET, help="the agent's [%(default)s]")
    arguments = parser.parse_args()
    try:
        plugin = install(arguments.directory, arguments.socket)
    except OcicatError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(f"{plugin}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
