"""Kernel settings that are not as the dataplane needs them, now or after the next boot. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ocicat.changes.finding import Finding
from ocicat.host.facts.settings import Settings
from ocicat.host.sysctls import Want

_NO_IPV6 = "net.ipv6.conf.all.disable_ipv6"


def findings(wants: Iterable[Want], settings: Settings) -> Iterator[Finding]:
    for want in wants:
        now, later = settings.now.get(want.name), settings.boot.get(want.name)
        if now is not None and not want.is_met(now):
            yield Finding("sysctl", f"{want.name} is {now}, not {_wanted(want)}", want.breaks, _mend(want))
        elif later and not want.is_met(later.value):
            yield Finding(
                "sysctl-file",
                f"{later.path} sets {want.name} to {later.value}, not {_wanted(want)}",
                f"after the next boot, or `sysctl --system`: {want.breaks}",
                f"{_mend(want)}, in a file of /etc/sysctl.d that comes later",
            )
        elif now is None and want.name == _NO_IPV6:
            yield Finding("ipv6", "this kernel has no IPv6", want.breaks, "boot without ipv6.disable=1")


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
