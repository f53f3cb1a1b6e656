"""What decides about a packet, and how it is called: by its counter's name and comment, and by the prefix of flow logs.

    owner      name                                  index   the counter's comment                       prefix
    policy     np/prod/web, gnp/base; staged: snp/   0 ...   policy np/prod/web ingress normal 0 Allow   API0|np/prod/web
    profile    its name                              0 ...   profile web egress normal 1 Deny            DRE1|web
    tier       its name                              none    tier default ingress normal end Deny        DPI|default
    profiles   none                                  none    profiles - ingress normal end Deny          DRI

"tier" is its end: what none of its policies decides. "profiles" is the end of all: no profile allows it, or one is missing.

Invariants: 1. The comment says all, so whoever reads the kernel needs nothing else; the name is its digest.
2. A prefix is Felix's own (felix/rules/nflogprefix.go), but for the L of Log rules. It does not say the hook.
3. Names that are too long, or hold what nft would not take, are shortened, with a digest at their end; "~" stands in no valid name.
Pure.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Literal, cast, get_args

from ocicat.dataplane.ruleset.objects import Counter, comment_text, digest
from ocicat.model.base import Struct
from ocicat.model.wanted import Action

Owner = Literal["policy", "profile", "tier", "profiles"]
Direction = Literal["ingress", "egress"]
Hook = Literal["normal", "forward", "untracked", "pre-dnat"]

GROUPS: Mapping[Direction, int] = {"ingress": 1, "egress": 2}
"""Of NFLOG, by direction: Felix's."""

_KINDS = {
    "networkpolicies": "np",
    "globalnetworkpolicies": "gnp",
    "stagednetworkpolicies": "snp",
    "stagedglobalnetworkpolicies": "sgnp",
}
_STAGED = ("snp/", "sgnp/")
_PATH = re.compile(r".*/projectcalico\.org/(?P<kind>[a-z]+)/(?P<name>.+)")
_PLAIN = re.compile(r"[!#%-\[\]-}]+")  # visible, and none of: quote, dollar, backslash, "~"
_OTHERS = re.compile(r"[^!#%-\[\]-}]")
_NAME_LENGTH = 90
_KEPT_LENGTH = 69
_NO_NAME = "-"
_END = "end"
_WORDS = 6
_PREFIX = re.compile(r"(?P<action>[ADPL])(?P<owner>[PR])(?P<direction>[IE])(?P<index>\d*)(?:\|(?P<name>.+))?")
_PREFIX_LENGTH = 63  # of one that is hashed; all others are shorter
_ENDS_LENGTH = 10  # what a hashed one keeps of both ends


class Decider(Struct, frozen=True):
    """`index` counts from 0; None: no rule, but the end of a list. The normal hook stands for forwarded packets too."""

    owner: Owner
    name: str
    direction: Direction
    action: Action
    index: int | None = None
    hook: Hook = "normal"

    @property
    def staged(self) -> bool:
        """It decides nothing: it says what it would."""
        return self.owner == "policy" and self.name.startswith(_STAGED)


def policy_name(policy_id: str) -> str:
    """How a policy is called here, by its datastore key."""
    found = _PATH.fullmatch(policy_id)
    return f"{_KINDS.get(found['kind'], found['kind'])}/{found['name']}" if found else policy_id


def shortened(name: str) -> str:
    """As it stands in comments and prefixes."""
    if len(name) <= _NAME_LENGTH and _PLAIN.fullmatch(name):
        return name
    return f"{_OTHERS.sub('?', name[:_KEPT_LENGTH])}~{digest(name)}"


@lru_cache(1 << 16)
def counter(decider: Decider) -> Counter:
    comment = _comment(decider)
    return Counter(counter_name(comment), comment)


def counter_name(comment: str) -> str:
    return f"c-{digest(comment)}"


def _comment(decider: Decider) -> str:
    name = shortened(decider.name) if decider.name else _NO_NAME
    index = _END if decider.index is None else decider.index
    return comment_text(f"{decider.owner} {name} {decider.direction} {decider.hook} {index} {decider.action}")


def parse_comment(text: str) -> Decider | None:
    """None: not one of ours. A name that was shortened stays so."""
    words = text.split(" ")
    if len(words) != _WORDS:
        return None
    owner, name, direction, hook, index, action = words
    choices = ((owner, Owner), (direction, Direction), (hook, Hook), (action, Action))
    if not all(word in get_args(choice) for word, choice in choices) or not (index.isdecimal() or index == _END):
        return None
    return Decider(
        cast("Owner", owner),
        "" if name == _NO_NAME else name,
        cast("Direction", direction),
        cast("Action", action),
        None if index == _END else int(index),
        cast("Hook", hook),
    )


def prefix(decider: Decider) -> str:
    """At most 63 characters, that nft takes between quotes."""
    owner = "P" if decider.owner in ("policy", "tier") else "R"
    index = "" if decider.index is None else decider.index
    name = decider.name if _PLAIN.fullmatch(decider.name) else shortened(decider.name)
    text = f"{decider.action[0]}{owner}{decider.direction[0].upper()}{index}{f'|{name}' if decider.name else ''}"
    return text if len(text) < _PREFIX_LENGTH else _hashed(text)


def _hashed(text: str) -> str:
    """One of this very length must be hashed too, or it could be another's hashed form."""
    room = _PREFIX_LENGTH - 2 * _ENDS_LENGTH - 2
    found = urlsafe_b64encode(sha256(text.encode()).digest()).decode()[:room]
    return f"{text[:_ENDS_LENGTH]}_{found}_{text[-_ENDS_LENGTH:]}"


def parse_prefix(text: str) -> Decider | None:
    """For what `PolicyManager.deciders` does not know any more; the hook is taken for normal. None: not one of ours, or hashed."""
    found = _PREFIX.fullmatch(text)
    if found is None or len(text) >= _PREFIX_LENGTH:
        return None
    of_rule, of_policies = bool(found["index"]), found["owner"] == "P"
    owner: Owner = ("policy" if of_rule else "tier") if of_policies else ("profile" if of_rule else "profiles")
    if (owner == "profiles") != (found["name"] is None):
        return None
    direction: Direction = "ingress" if found["direction"] == "I" else "egress"
    action = next(each for each in get_args(Action) if each[0] == found["action"])
    return Decider(owner, found["name"] or "", direction, action, int(found["index"]) if of_rule else None)
