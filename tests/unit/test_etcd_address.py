"""Addresses of etcd clusters, taken apart."""

from __future__ import annotations

import pytest

from ocicat.errors import UserError
from ocicat.store.etcd.address import Identity, read_address


@pytest.fixture
def files(tmp_path):
    for name in ("ca", "cert", "key", "password"):
        (tmp_path / name).write_text(f"{name}\n")
    return tmp_path


def test_endpoints_get_the_usual_port():
    read = read_address("etcd://h1,10.0.0.1:1234,[fd00::1],[fd00::2]:99/")
    assert read.endpoints == ("h1:2379", "10.0.0.1:1234", "[fd00::1]:2379", "[fd00::2]:99")
    assert (read.ca, read.identity, read.user, read.timeout_s) == (b"", None, "", 5.0)


def test_files_are_read_and_the_password_ends_with_its_line(files):
    read = read_address(
        f"etcd://h?ca={files}/ca&cert={files}/cert&key={files}/key&user=u%40x&password-file={files}/password&timeout=2.5"
    )
    assert (read.ca, read.identity) == (b"ca\n", Identity(b"cert\n", b"key\n"))
    assert (read.user, read.password, read.timeout_s) == ("u@x", "password", 2.5)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("etcd://", "has an endpoint '' that is no HOST:PORT"),
        ("etcd://h,", "has an endpoint ''"),
        ("etcd://h:x", "has an endpoint 'h:x'"),
        ("etcd://h:70000", "has an endpoint 'h:70000'"),
        ("etcd://h:0", "has an endpoint 'h:0'"),
        ("etcd://fd00::1", "has an endpoint 'fd00::1'"),
        ("etcd://u:secret@h", "no user in front of the hosts"),
        ("etcd://h/path", "has an endpoint 'h/path'"),
        ("etcd://h?cafile=x", "has no parameter cafile"),
        ("etcd://h?ca=", "without a value"),
        ("etcd://h?timeout=1&timeout=2", "has a parameter twice"),
        ("etcd://h?timeout=0", "has a timeout '0'"),
        ("etcd://h?timeout=nan", "has a timeout 'nan'"),
        ("etcd://h?timeout=5s", "has a timeout '5s'"),
        ("etcd://h?cert=x", "has to have ca, cert and key together"),
        ("etcd://h?user=x", "has to have user and password-file together"),
        ("etcd://h?ca=/nowhere", "ca /nowhere cannot be read: No such file or directory"),
    ],
)
def test_what_is_wrong_is_named_and_the_form_is_told(url, said):
    with pytest.raises(UserError) as told:
        read_address(url)
    assert said in str(told.value)
    assert "password-file" in told.value.hint
    assert "secret" not in str(told.value)
