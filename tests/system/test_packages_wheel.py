"""The wheel and the sources: installed as a user would, with the plugin compiled in it; and without a compiler, without it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packages_bed import built
from packages_bed import environment as maker

from ocicat import __version__

pytestmark = pytest.mark.system

UV = Path(sys.executable).with_name("uv")


def run(*command, **variables):
    fetching = maker().uv_variables(maker().pip_settings(), os.environ)
    environment = {**os.environ, **fetching, "PYTHONPATH": "", **variables}
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, env=environment).stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A new virtual environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("wheel") / "venv"
    run(UV, "venv", "--python", "/usr/bin/python3", folder)
    run(UV, "pip", "install", "--python", folder / "bin/python", built().wheel)
    return folder


def plugin(environment):
    (found,) = environment.glob("lib/python3*/site-packages/ocicat/cni/shim")
    return found


def test_the_command_runs(environment):
    assert run(environment / "bin/ocicat", "--version") == f"ocicat, version {__version__}\n"


def test_the_plugin_runs_and_needs_no_library(environment):
    assert '"supportedVersions"' in run(plugin(environment), CNI_COMMAND="VERSION")
    assert plugin(environment).read_bytes()[:4] == b"\x7fELF"
    from elftools.elf.elffile import ELFFile

    with plugin(environment).open("rb") as file:
        assert not ELFFile(file).get_section_by_name(".dynamic")


def test_where_there_is_no_compiler_it_is_what_is_installed(environment, tmp_path):
    command = [environment / "bin/python", "-m", "ocicat.cni.install", tmp_path]
    assert run(*command, PATH=str(tmp_path)) == f"{tmp_path}/ocicat\n"
    assert (tmp_path / "ocicat").read_bytes() == plugin(environment).read_bytes()


def test_the_wheel_is_for_this_processor_and_every_python_3(environment):
    assert built().wheel.name.startswith(f"ocicat-{__version__}-py3-none-manylinux_2_17_{os.uname().machine}")


def test_the_sources_give_the_same_files(environment):
    """The wheel was made from them."""
    names = {name for name in zipfile.ZipFile(built().wheel).namelist() if name.startswith("ocicat/")}
    listed = subprocess.run(["tar", "tzf", built().sdist], check=True, capture_output=True, text=True).stdout.split()
    assert {f"ocicat-{__version__}/src/{name}" for name in names} <= set(listed)


def test_made_without_a_compiler_it_is_for_every_processor(tmp_path):
    bare = tmp_path / "bin"  # what of the machine may be found
    bare.mkdir()
    for name in ("python3", "sh", "uname"):
        (bare / name).symlink_to(shutil.which(name))
    out = tmp_path / "out"
    run(UV, "build", "-q", "--wheel", "--python", sys.executable, "-o", out, built().sdist, PATH=str(bare))
    (wheel,) = out.glob("*.whl")
    assert wheel.name == f"ocicat-{__version__}-py3-none-any.whl"
    assert "ocicat/cni/shim" not in zipfile.ZipFile(wheel).namelist()
