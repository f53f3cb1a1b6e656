"""Quantities, against what apimachinery 0.29 gave for the same texts."""

import pytest

from ocicat.errors import UserError
from ocicat.model.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1", 1),
        ("+5", 5),
        ("007", 7),
        ("1.", 1),
        (".5", 1),
        ("1.01k", 1010),
        ("10M", 10_000_000),
        ("1.5G", 1_500_000_000),
        ("1P", 10**15),
        ("1.01P", 1_010_000_000_000_000),
        ("2Ki", 2048),
        ("1.5Ki", 1536),
        ("4Gi", 4 << 30),
        ("0.1Ki", 103),
        ("1Ei", 1 << 60),
        ("100m", 1),
        ("1500m", 2),
        ("1n", 1),
        ("999999u", 1),
        ("2e3", 2000),
        ("2E3", 2000),
        ("15e-1", 2),
        ("1E+2", 100),
        ("1E", 10**18),
        ("34359738360", 34_359_738_360),
        ("1.0000000000000000000001", 2),
    ],
)
def test_a_quantity_is_rounded_up_to_a_whole_number(text, value):
    assert parse_quantity(text) == value


def test_what_is_too_large_stays_large():
    assert parse_quantity("10E") == parse_quantity("1e99") == 2**63 - 1


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1K", "1ki", "1KI", "1mi", "1MM", "1Kib", "1e", "1e1e2", "1..2", "1,5", "0x10", "ten", "1e9999"],
)
def test_anything_else_is_not_one(text):
    with pytest.raises(UserError, match="not a quantity"):
        parse_quantity(text)
