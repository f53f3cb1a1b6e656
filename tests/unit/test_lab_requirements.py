"""What is missing for a lab is said in one message, with the packages to install."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocicat.errors import Refused, UserError
from ocicat.lab import requirements


def test_nothing_is_missing_where_everything_is_found() -> None:
    assert (
        requirements.missing_packages(program=lambda name: f"/bin/{name}", library=lambda name: f"lib{name}.so") == []
    )


def test_each_missing_part_is_named_by_its_package() -> None:
    assert requirements.missing_packages(program=lambda _name: None, library=lambda _name: None) == [
        "libapr1",
        "libcurl4",
        "libsasl2-2",
        "libsvn1",
        "nftables",
        "util-linux",
    ]


def test_a_zookeeper_needs_java_and_its_own_package() -> None:
    everything = requirements.missing_for_zookeeper(program=lambda _name: "/bin/java", exists=lambda _path: True)
    nothing = requirements.missing_for_zookeeper(program=lambda _name: None, exists=lambda _path: False)
    assert (everything, nothing) == ([], ["default-jre-headless", "libzookeeper-java"])


def test_what_a_zookeeper_needs_is_asked_for_only_with_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(requirements, "missing_packages", lambda: ["nftables"])
    monkeypatch.setattr(requirements, "missing_for_zookeeper", lambda: ["libzookeeper-java"])
    for zookeeper, packages in ((False, "nftables"), (True, "libzookeeper-java nftables")):
        with pytest.raises(Refused) as caught:
            requirements.check(tmp_path, zookeeper=zookeeper)
        assert caught.value.hint == f"apt-get install {packages}"


def test_all_missing_packages_come_in_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(requirements, "missing_packages", lambda: ["libsvn1", "nftables"])
    with pytest.raises(Refused, match="apt-get install libsvn1 nftables"):
        requirements.check(tmp_path)


def test_without_root_there_is_no_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match="needs root"):
        requirements.check(tmp_path)


def test_a_missing_freezer_is_refused_with_the_command_that_mounts_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(requirements, "missing_packages", list)
    monkeypatch.setattr(requirements, "_FREEZER", tmp_path / "freezer/cgroup.procs")
    with pytest.raises(Refused, match="mount -t cgroup -o freezer"):
        requirements.check(tmp_path)


def test_a_directory_that_is_yet_to_be_made_is_judged_by_its_parent(tmp_path: Path) -> None:
    assert requirements.may_execute(tmp_path / "a/b/c") == requirements.may_execute(tmp_path)


def test_a_name_cannot_lead_out_of_the_default_directory() -> None:
    with pytest.raises(UserError, match="not a name for a lab"):
        requirements.default_directory("../../home")


def test_where_run_is_noexec_the_lab_lies_in_var_lib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "may_execute", lambda path: path != Path("/run"))
    assert requirements.default_directory("x") == Path("/var/lib/ocicat/x")
    monkeypatch.setattr(requirements, "may_execute", lambda _path: True)
    assert requirements.default_directory("x") == Path("/run/ocicat/x")
