"""Objects named on the command line: `ippool default`, `ippools a b`, `tier/a policy/shop/web`, `pools,tiers`, `all`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.v3.kinds import KINDS, Kind, kind_named

DEFAULT_NAMESPACE = "default"
ALL = "all"
_OF_THE_SYSTEM = frozenset({"ClusterInformation"})  # cannot be written: what `get all` prints can be applied

namespace_option = click.option(
    "-n", "--namespace", default="", help="Of objects that have one and do not say it. [default: default]"
)


class Asked(Struct, frozen=True):
    """An object, or with no name every object of a kind; a namespace of "" there: of all of them."""

    kind: Kind
    namespace: str
    name: str = ""

    def __str__(self) -> str:
        return label(self.kind, self.namespace, self.name)


def label(kind: Kind, namespace: str, name: str) -> str:
    """`ippool/default`, `networkpolicy/shop/web`: what `-o name` prints, and what may be typed again."""
    return "/".join(filter(None, [kind.name.lower(), namespace, name]))


def asked(words: Sequence[str], namespace: str, *, everywhere: bool = False) -> tuple[Asked, ...]:
    """What the words after a command name: KIND NAME..., KIND, KIND,KIND or KIND/NAME...

    Errors: UserError for a word that names no kind, a namespace that contradicts or that a kind does not have.
    """
    if everywhere and namespace:
        raise UserError("-n names one namespace and -A all of them", hint="leave one of them out")
    if any("/" in word for word in words):
        return tuple(_slashed(word, namespace, everywhere=everywhere) for word in words)
    kinds = _kinds(words[0])
    if len(words) > 1 and len(kinds) > 1:
        raise UserError(f"{words[0]} is several kinds, and names are of one", hint="write them as KIND/NAME")
    if len(words) > 1 and everywhere:
        raise UserError("a name lies in one namespace, and -A means all of them", hint="name it with -n")
    found = [(kind, _namespace(kind, "", namespace, everywhere=everywhere, many=len(kinds) > 1)) for kind in kinds]
    if "" in words[1:]:
        raise UserError("a name is empty", hint="leave it out to name all")
    names = words[1:] or ("",)
    return tuple(Asked(kind, space, name) for kind, space in found for name in dict.fromkeys(names))


def _kinds(word: str) -> tuple[Kind, ...]:
    if word.lower() == ALL:
        return tuple(kind for kind in KINDS.values() if not kind.internal and kind.name not in _OF_THE_SYSTEM)
    return tuple(dict.fromkeys(kind_named(part) for part in word.split(",")))


def _slashed(word: str, namespace: str, *, everywhere: bool) -> Asked:
    if everywhere:
        raise UserError(f"{word} lies in one namespace, and -A means all of them", hint="leave -A out")
    parts = word.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise UserError(
            f"{word!r} is not KIND/NAME", hint="KIND NAME, KIND/NAME and KIND/NAMESPACE/NAME are understood"
        )
    kind = kind_named(parts[0])
    own = parts[1] if len(parts) == 3 else ""
    return Asked(kind, _namespace(kind, own, namespace, everywhere=False, many=False), parts[-1])


def _namespace(kind: Kind, own: str, given: str, *, everywhere: bool, many: bool) -> str:
    """`many`: one of several kinds, to some of which a namespace means nothing."""
    if not kind.namespaced:
        if (own or given or everywhere) and not many:
            raise UserError(f"{kind.name} lies in no namespace", hint="leave the namespace out")
        return ""
    if own and given and own != given:
        raise UserError(f"the namespace is {own!r} in the name and {given!r} with -n", hint="leave one of them out")
    return "" if everywhere else own or given or DEFAULT_NAMESPACE


def asked_one(words: Sequence[str], namespace: str) -> Asked:
    """Exactly one object: KIND NAME or KIND/NAME. Errors: UserError, also if it is none or several."""
    found = asked(words, namespace)
    if len(found) != 1 or not found[0].name:
        raise UserError(f"{' '.join(words)!r} names no single object", hint="KIND NAME or KIND/NAME does")
    return found[0]
