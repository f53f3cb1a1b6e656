"""Kernel settings that are not as the dataplane needs them, now or after the next boot. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ocicat.changes.finding import Finding
from ocicat.host.facts.settings import LAST, Later, Settings
from ocicat.host.sysctls import Want

_NO_IPV6 = "net.ipv6.conf.all.disable_ipv6"


def findings(wants: Iterable[Want], settings: Settings) -> Iterator[Finding]:
    for want in wants:
        now = settings.now.get(want.name)
        if now is not None and not want.is_met(now):
            yield Finding("sysctl", f"{want.name} is {now}, not {_wanted(want)}", want.breaks, _mend(want))
        elif later := _later(want, settings):
            yield later
        elif now is None and want.name == _NO_IPV6:
            yield Finding("ipv6", "this kernel has no IPv6", want.breaks, "boot without ipv6.disable=1")


def _later(want: Want, settings: Settings) -> Finding | None:
    """What files will do, by systemd at a boot and by `sysctl --system`, which do not read the same."""
    boot, systemd = (_unmet(want, found.get(want.name)) for found in (settings.boot, settings.systemd))
    whens = (*(["the next boot"] if systemd else []), *(["the next `sysctl --system`"] if boot else []))
    return _of_file(want, found, ", or ".join(whens)) if (found := boot or systemd) else None


def _unmet(want: Want, later: Later | None) -> Later | None:
    return later if later and not want.is_met(later.value) else None


def _of_file(want: Want, later: Later, when: str) -> Finding:
    other = f"take that line out of {LAST}: `sysctl --system` reads nothing after it"
    return Finding(
        "sysctl-file",
        f"{later.path} sets {want.name} to {later.value}, not {_wanted(want)}",
        f"after {when}: {want.breaks}",
        other if later.path == LAST else f"{_mend(want)}, in a file of /etc/sysctl.d that comes later",
    )


def advertised(interfaces: Iterable[str]) -> Iterator[Finding]:
    """Of IPv6: what forwarding does to this host's own default route."""
    for name in interfaces:
        yield Finding(
            "accept-ra",
            f"the IPv6 default route over {name} is a router's advertisement, and net.ipv6.conf.{name}.accept_ra is 1",
            "as soon as the agent lets this host forward IPv6, the kernel drops that route and listens no more",
            f"set net.ipv6.conf.{name}.accept_ra = 2",
        )


def _wanted(want: Want) -> str:
    return f"{want.value} or more" if want.least else want.value


def _mend(want: Want) -> str:
    return f"set {want.name} = {want.value}"
