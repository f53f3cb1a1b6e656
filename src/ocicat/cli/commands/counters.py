"""`ocicat counters`: what the rules in force on this host have counted, asked of the kernel itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from ocicat.cli.output import Format, format_option, show
from ocicat.cli.talk import one_line, say
from ocicat.dataplane import counting
from ocicat.dataplane.counting import Counted
from ocicat.dataplane.ruleset.identity import Decider, shortened
from ocicat.errors import NotFound, UserError
from ocicat.model.base import Struct
from ocicat.model.v3.kinds import KINDS, Kind, kind_named
from ocicat.netlink.socket import NetfilterSocket

_DEFAULT_TIER = "default."
_HEAD = ("name", "direction", "rule", "action", "packets", "bytes")
_MORE = ("hook", "staged")


class Shown(Struct, frozen=True):
    """One rule, by its index; the end of a tier or of all has none. Without a name: what no profile allowed."""

    kind: str
    namespace: str
    name: str
    direction: str
    hook: str
    rule: int | None
    action: str
    staged: bool
    packets: int
    bytes: int

    @property
    def title(self) -> str:
        return "/".join(filter(None, [self.kind.lower(), self.namespace, self.name])) if self.name else "no profile"

    @property
    def place(self) -> str:
        return "end" if self.rule is None else str(self.rule)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--all", "-a", "everything", is_flag=True, help="Also what has counted nothing.")
@format_option
def command(names: tuple[str, ...], everything: bool, style: Format) -> None:
    """Show how many new flows each rule of policies and profiles has decided on this host, since it came into force.

    NAME is a policy, a profile or a tier: web, shop/web or networkpolicy/shop/web. Then all its rules are shown.
    It asks the kernel, so it needs root, and no agent. What counts, and what staged policies count: docs/counters.md.

    \b
    Examples:
      ocicat counters
      ocicat counters shop/web tier/default -o wide
      ocicat counters --all -o json | jq '.[] | select(.packets == 0)'
    """
    found = _read()
    chosen = list(dict.fromkeys(each for name in names for each in _named(name, found))) if names else found
    told = [_shown(each) for each in chosen if each.packets or names or everything]
    wide = style == "wide"
    show(
        style,
        told,
        head=(*_HEAD, *(_MORE if wide else ())),
        row=lambda one: _row(one, wide=wide),
        name=lambda one: "/".join([one.title, one.direction, one.place]),
    )
    if len(told) < len(chosen):
        say(f"{len(chosen) - len(told)} more have counted nothing: --all shows them")


def _read() -> list[Counted]:
    with NetfilterSocket() as sock:
        found = counting.read(sock)
    if found is None:
        raise NotFound(
            "no policy is in force on this host: the kernel has no table inet ocicat",
            hint="`ocicat agent` makes it, and it stays when the agent ends",
        )
    return found


def _named(name: str, found: Sequence[Counted]) -> list[Counted]:
    mine = [each for each in found if _is_called(name, each.decider)]
    if not mine:
        raise NotFound(
            f"nothing that counts on this host is called {name!r}",
            hint="policies are in force where they select an endpoint: `ocicat counters --all` lists those of this host",
        )
    return mine


def _is_called(name: str, decider: Decider) -> bool:
    """What is called by a long name is known by a digest of it."""
    *path, own = decider.name.split("/")
    given = name.rpartition("/")[2]
    if "~" in own and any(
        shortened("/".join([*path, f"{tier}{given}"])) == decider.name for tier in ("", _DEFAULT_TIER)
    ):
        return True
    return bool(decider.name) and name in _names(decider)


def _names(decider: Decider) -> Iterator[str]:
    kind, namespace, stored = _object(decider)
    for own in {stored, kind.shown_name(stored) if kind else stored}:
        with_namespace = f"{namespace}/{own}" if namespace else own
        yield from (own, with_namespace)
        for word in (kind.name, kind.plural, *kind.aliases) if kind else ():
            yield f"{word.lower()}/{with_namespace}"


def _object(decider: Decider) -> tuple[Kind | None, str, str]:
    """(kind, None if there is none; namespace; the name that the datastore has)"""
    if decider.owner != "policy":
        return KINDS["Tier" if decider.owner == "tier" else "Profile"], "", decider.name
    word, *namespace, name = decider.name.split("/")
    try:
        return (kind_named(word) if name != word else None), "/".join(namespace), name
    except UserError:
        return None, "", decider.name


def _shown(counted: Counted) -> Shown:
    decider = counted.decider
    kind, namespace, name = _object(decider)
    return Shown(
        kind=kind.name if kind else "",
        namespace=namespace,
        name=kind.shown_name(name) if kind else name,
        direction=decider.direction,
        hook=decider.hook,
        rule=decider.index,
        action=decider.action,
        staged=decider.staged,
        packets=counted.packets,
        bytes=counted.bytes,
    )


def _row(one: Shown, *, wide: bool) -> list[str]:
    cells = [one_line(one.title), one.direction, one.place, one.action, str(one.packets), str(one.bytes)]
    return [*cells, one.hook, "yes" if one.staged else "no"] if wide else cells
