"""The `nft` program: what it says no to, and what only did not come to an end."""

import pytest

from ocicat.dataplane.drivers import nft
from ocicat.dataplane.drivers.nft import Nft, NftRefused
from ocicat.dataplane.drivers.ports import Ports
from ocicat.errors import Unavailable


def program(tmp_path, script):
    path = tmp_path / "nft"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Nft(str(path), Ports())


def test_one_that_takes_too_long_is_ended_and_said_to_be_slow_not_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(nft, "_TIMEOUT_S", 0.05)
    with pytest.raises(Unavailable, match=r"nft -f - was ended after 0\.05 s") as caught:
        program(tmp_path, "exec sleep 60").run("")
    assert "busy" in caught.value.hint


def test_a_refusal_is_its_first_line(tmp_path):
    with pytest.raises(NftRefused, match=r"^nft: no such thing$"):
        program(tmp_path, "cat >/dev/null; echo '/dev/stdin:1:1-2: Error: no such thing' >&2; exit 1").run("")


def test_one_that_is_not_there(tmp_path):
    with pytest.raises(Unavailable, match="cannot run"):
        Nft(str(tmp_path / "nft"), Ports()).run("")
