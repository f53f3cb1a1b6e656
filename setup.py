"""Everything is said in pyproject.toml but this: a wheel carries the CNI plugin, compiled and static, so that the host it is
installed on needs no compiler. Where the wheel is made without one, it is for every platform, and its plugin the one in Python.
"""

import shutil
import subprocess
import sysconfig
import tempfile
from functools import cache
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

SOURCE = Path("src/ocicat/cni/shim.c")
TARGET = Path("ocicat/cni/shim")


@cache
def shim() -> bytes:
    """Needs nothing of the system it runs on but the kernel; empty where it cannot be compiled so."""
    compiler = shutil.which("cc")
    if compiler is None:
        return b""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory, "shim")
        command = [compiler, "-O2", "-static", "-s", str(SOURCE), "-o", str(target)]
        return target.read_bytes() if subprocess.run(command, check=False).returncode == 0 else b""


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        if shim() and not self.editable_mode:  # an editable installation compiles its own when it needs one
            target = Path(self.build_lib, TARGET)
            target.write_bytes(shim())
            target.chmod(0o755)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        made = [str(Path(self.build_lib, TARGET))] if shim() and not self.editable_mode else []
        return [*super().get_outputs(include_bytecode), *made]


class BdistWheel(bdist_wheel):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = not shim()

    def get_tag(self) -> tuple[str, str, str]:
        """Any Python 3 of this processor, whichever C library it has: the plugin brings its own."""
        if not shim():
            return super().get_tag()
        machine = sysconfig.get_platform().removeprefix("linux-").replace("-", "_")
        return "py3", "none", f"manylinux_2_17_{machine}.musllinux_1_1_{machine}"


setup(cmdclass={"build_py": BuildPy, "bdist_wheel": BdistWheel})
