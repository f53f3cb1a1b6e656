"""Credentials as Mesos's own files have them."""

from __future__ import annotations

import pytest

from ocicat.errors import UserError
from ocicat.mesos.credential import Credential, parse, read


@pytest.mark.parametrize("text", ['{"principal": "me", "secret": "s3"}', "me s3", " me\ts3\n"])
def test_both_forms_are_read(text):
    assert parse(text, "it") == Credential("me", "s3")


@pytest.mark.parametrize(
    "text", ["", "me", "a b c", '{"principal": "me"}', '{"principal": "", "secret": "x"}', "a:b c"]
)
def test_what_is_none_is_refused_without_telling_it(text):
    with pytest.raises(UserError, match="/etc/x holds no credential") as caught:
        parse(text, "/etc/x")
    assert "a:b" not in str(caught.value)


def test_basic_authentication():
    assert Credential("me", "secret").headers() == {"Authorization": "Basic bWU6c2VjcmV0"}


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"credential .*/none: No such file"):
        read(str(tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="it is no text"):
        read(str(tmp_path / "binary"))
