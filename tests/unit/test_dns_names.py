"""What becomes of Mesos's free text in a name."""

from __future__ import annotations

import pytest

from ocicat.dns import names
from ocicat.errors import UserError
from ocicat.model.net import Addr

# What Mesos-DNS's own tests say of both rules, and of each.
BOTH = {
    "": "",
    "a": "a",
    "-": "",
    "a---": "a",
    "---a---b": "a---b",
    "a.b.c.d.e": "a-b-c-d-e",
    "a.c.d_de.": "a-c-d-de",
    "-abc123-": "abc123",
    "r29f.dev.angrypigs": "r29f-dev-angrypigs",
    "hello" + "-" * 58 + "f": "hellof",
}
RFC1123 = BOTH | {
    "4abc123": "4abc123",
    "89fdgsf---gs7-fgs--d7fddg---123": "89fdgsf---gs7-fgs--d7fddg---123",
    "fd%gsf---gs7-f$gs--d7fddg-123": "fdgsf---gs7-fgs--d7fddg-123",
    "%%fdgsf---gs7-fgs--d7fddg123456789012345678901234567890123456789---123": (
        "fdgsf---gs7-fgs--d7fddg1234567890123456789012345678901234567891"
    ),
    "hello" + "-" * 56 + "f": "hello" + "-" * 56 + "f",
}
RFC952 = BOTH | {
    "4abc123": "abc123",
    "-4abc123": "abc123",
    "fd%gsf---gs7-f$gs--d7fddg-123": "fdgsf---gs7-fgs--d7fddg1",
    "89fdgsf---gs7-fgs--d7fddg-": "fdgsf---gs7-fgs--d7fddg",
    "chronos with a space AND MIXED CASE-2.0.1": "chronoswithaspaceandmixe",
}


@pytest.mark.parametrize(("given", "made"), RFC1123.items())
def test_labels_are_those_of_mesos_dns(given, made):
    assert names.label(given) == made


@pytest.mark.parametrize(("given", "made"), RFC952.items())
def test_labels_of_rfc_952_are_those_of_mesos_dns(given, made):
    assert names.label(given, rfc952=True) == made


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("", ""),
        ("...", ""),
        (".a..c.e.", "a.c.e"),
        ("(@ host . com", "host.com"),
        ("MiXeDcase.CoM", "mixedcase.com"),
        ("pod_123$abc.marathon-0.6.0-dev.mesos", "pod-123abc.marathon-0.6.0-dev.mesos"),
    ],
)
def test_a_frameworks_dots_stay(given, made):
    assert names.labels(given) == made


def test_letters_that_are_no_ascii_are_dropped():
    assert names.label("Zürich \N{KELVIN SIGN}") == "zrich"


def test_the_canonical_label_is_that_of_mesos_dns():
    task = "liquor-store.b8db9f73-562f-11e4-a088-c20493233aa5"
    assert names.canonical("liquor-store", task, "20140827-000744-3041283216-5050-2116-0") == "liquor-store-4dfjd-0"
    assert names.canonical("web", "t", "c1d5-S12").endswith("-s12")


def test_the_canonical_label_of_a_long_name_still_is_a_label():
    made = names.canonical("x" * 63, "t", "S0")
    assert len(made) == 63
    assert made.endswith(names.canonical("", "t", "S0"))


@pytest.mark.parametrize("name", ["web.marathon.mesos", "_web._tcp.marathon.mesos", r"a\046b.c", r"\032\255.x", "."])
def test_text_and_wire_are_inverse(name):
    assert names.text(names.wire(name)) == name


def test_wire_takes_escapes_and_a_dot_at_the_end():
    assert names.wire(r"a\.b.c.") == b"\x03a.b\x01c\0"
    assert names.wire(r"a\.") == b"\x02a.\0"
    assert names.wire("a") == names.wire("a.") == b"\x01a\0"


@pytest.mark.parametrize("name", ["a..b", ".a", "x" * 64, ".".join(["x" * 63] * 4), ".."])
def test_what_is_no_name_is_said_so(name):
    with pytest.raises(UserError, match="is no name"):
        names.wire(name)


def test_names_of_addresses():
    assert names.reverse(Addr.parse("10.77.0.3")) == "3.0.77.10.in-addr.arpa"
    assert names.reverse(Addr.parse("fd00::a1")) == "1.a." + "0." * 28 + "d.f.ip6.arpa"
