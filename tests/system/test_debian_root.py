"""What is kept of the systems that tests unpack, and what is not."""

import os
import time

import debian_root


def test_what_somebody_asked_for_of_late_is_kept_whatever_week_it_is_of(tmp_path, monkeypatch):
    monkeypatch.setattr(debian_root, "CACHE", tmp_path)
    for name, unused_s in (
        ("bookworm-2026w47-aa.tar", 3600),
        ("bookworm-2026w46-aa.tar", 90000),
        ("others.tar", 90000),
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - unused_s,) * 2)
    (tmp_path / "making-x").mkdir()
    debian_root.remove_old()
    assert {path.name for path in tmp_path.iterdir()} == {"bookworm-2026w47-aa.tar", "others.tar"}
