"""What the program `ipset` prints, taken apart: sets, which of them are members of others, and how often each is in use. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_LIST = "list:set"  # the type of those whose members are sets


def names(saved: str) -> list[str]:
    """Lists of sets first: what is a member cannot go before its list does."""
    made = [line.split(" ", 3)[1:3] for line in saved.splitlines() if line.startswith("create ")]
    return [name for name, _ in sorted(made, key=lambda one: one[1] != _LIST)]


def memberships(saved: str) -> Iterator[tuple[str, str]]:
    """Each list of sets with each of its members."""
    lines = [line.split(" ") for line in saved.splitlines()]
    lists = {words[1] for words in lines if words[0] == "create" and words[2] == _LIST}
    return ((words[1], words[2]) for words in lines if words[0] == "add" and words[1] in lists)


def references(listed: str) -> dict[str, int]:
    """How often each is in use, by rules and lists alike: of `ipset list -terse`."""
    found, name = {}, ""
    for line in listed.splitlines():
        word, _, value = line.partition(": ")
        if word == "Name":
            name = value
        elif word == "References":
            found[name] = int(value)
    return found


def of(saved: str, prefix: str) -> list[str]:
    """Those whose names begin so. Members in order: the kernel's is another after each restart of it."""
    lines = [line for line in saved.splitlines() if line.split(" ")[1].startswith(prefix)]
    made = [line for line in lines if line.startswith("create ")]
    return [*made, *sorted(line for line in lines if not line.startswith("create "))]


def filling(value: str) -> list[str]:
    """What puts them back, whether they are there or not: all sets before the first member, as that may be one of them."""
    lines = value.splitlines()
    made = [line for line in lines if line.startswith("create ")]
    return [
        *made,
        *(f"flush {line.split(' ', 2)[1]}" for line in made),
        *(one for one in lines if not one.startswith("create ")),
    ]


def used_by_others(listed: str, explained: Iterable[str]) -> list[str]:
    """Those in use more often than `explained` names them."""
    left = references(listed)
    for name in explained:
        if name in left:
            left[name] -= 1
    return [name for name, count in left.items() if count > 0]
