"""All that the chains of lists are made from; and what a rule does with a packet that it matches: counts it, tells of it, decides.

Invariants: 1. Every rule counts under its own name, and first: a limit on what a Log rule writes limits nothing else.
2. A rule of a staged policy leaves the packet where it was: its chain ends, and the next policy is asked. 3. Without flow logs
nothing is told. 4. What egress policy allows leaves all its chains by returns, with a bit of the packet mark set, for the packet
has not come to its end: who it goes to is asked next. On ingress, and without connection tracking, Allow accepts. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocicat.dataplane.ruleset import identity
from ocicat.dataplane.ruleset.identity import Decider, Direction, Hook
from ocicat.dataplane.ruleset.objects import Rule, comment_text
from ocicat.dataplane.ruleset.rules import SetName, hosts_name
from ocicat.model.wanted import LogLimit, PolicyRules, ProfileRules

if TYPE_CHECKING:
    from ocicat.dataplane.ruleset.ruled import Ruled

_TOLD_BYTES = 80  # of a packet: all headers that a flow is known by
_DENIED, _NEXT = "drop", "return"


@dataclass(slots=True)
class Book:
    """`mark`: the bit of the packet mark that says: allowed. `log_prefix`: as the operator wrote it.

    `flat_from`: runs of so many rules are looked up, if that is worth it. `size_of`: about how many members a set has.
    `ruled`: what was made of policies, by policy, as long as it holds.
    """

    mark: int
    set_name: SetName = hosts_name
    log_prefix: str = ""
    log_limit: LogLimit | None = None
    flow_logs: bool = False
    policies: dict[str, PolicyRules] = field(default_factory=dict)
    profiles: dict[str, ProfileRules] = field(default_factory=dict)
    flat_from: int = 16
    size_of: Callable[[str], int] = lambda _: 0
    ruled: dict[str, dict[tuple[str, Direction, Hook], tuple[Ruled, ...]]] = field(default_factory=dict)

    def verdict(self, decider: Decider, log_prefix: str = "") -> str:
        """Its statements. `log_prefix`: what a Log rule writes."""
        told = self._told(decider) if self.flow_logs else ""
        parts = (f'counter name "{identity.counter(decider).name}"', told, self._decision(decider, log_prefix))
        return " ".join(filter(None, parts))

    def _told(self, decider: Decider) -> str:
        if decider.hook == "untracked" and decider.action == "Allow":
            return ""  # every packet comes here, not the first of a flow only; Felix tells of none either
        group = identity.GROUPS[decider.direction]
        return f'log prefix "{identity.prefix(decider)}" group {group} snaplen {_TOLD_BYTES}'

    def _decision(self, decider: Decider, log_prefix: str) -> str:
        match decider.action:
            case "Log":
                return "" if decider.staged else self._log(log_prefix)
            case "Allow" if not decider.staged:
                return self._allowed(decider.direction, decider.hook)
            case "Deny" if not decider.staged:
                return _DENIED
            case _:
                return _NEXT

    def _log(self, prefix: str) -> str:
        log = f'log prefix "{comment_text(prefix).replace("$", "?")}" level notice'
        return f"{_limit(self.log_limit)} {log}" if self.log_limit else log

    def _allowed(self, direction: Direction, hook: Hook) -> str:
        marked = f"meta mark set meta mark | {self.mark:#010x}"
        special: Mapping[Hook, str] = {"untracked": f"{marked} notrack accept", "pre-dnat": f"{marked} accept"}
        return special.get(hook, f"{marked} return" if direction == "egress" else "accept")

    def behind(self, direction: Direction, hook: Hook) -> tuple[Rule, ...]:
        """What must stand behind a jump to rules that may allow: the way on for what they have allowed."""
        if direction == "ingress" or hook == "untracked":
            return ()
        return (Rule(f"meta mark & {self.mark:#010x} != 0 return", "allowed"),)


def _limit(limit: LogLimit) -> str:
    burst = f" burst {limit.burst} packets" if limit.burst else ""
    return f"limit rate {limit.rate}/{limit.per}{burst}"
