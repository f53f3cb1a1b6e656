"""What an ADD prints, in the shape that the configuration's `cniVersion` asks for. Pure.

Three shapes exist: `ip4`/`ip6` objects (0.1.0, 0.2.0), a list `ips` whose entries say their `version` (0.3.x, 0.4.0), and the
same without it (from 1.0.0 on). Apache Mesos looks at `ip4`/`ip6` only and does not look at the version: another shape and it
reports no address at all, so 0.2.0 is also what a configuration gets that names no version. It takes the prefix length off what it
reports of IPv4, and forgets to for IPv6; whoever reads its statuses (Mesos-DNS does) takes "fd00::7/128" for no address. So it
gets none.
"""

from __future__ import annotations

from ocicat.cni.config import Dns
from ocicat.model.base import Struct
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr


class Attachment(Struct, frozen=True):
    """One interface in a container, as the kernel has it."""

    interface: str
    netns: str
    mac: str
    addresses: tuple[Addr, ...]
    gateways: tuple[Addr, ...]  # one for each address
    dns: Dns = Dns()
    for_mesos: bool = False


Json = dict[str, object]


def render(version: str, attachment: Attachment) -> bytes:
    """The result as JSON. `version` is one of `spec.VERSIONS`."""
    body: Json = {"cniVersion": version}
    if version in ("0.1.0", "0.2.0"):
        body |= _by_family(attachment)
    else:
        body |= _as_list(attachment, numbered=version.startswith("0."))
    if attachment.dns != Dns():
        body["dns"] = {name: value for name, value in _dns(attachment.dns).items() if value}
    return encode_json(body)


def _by_family(attachment: Attachment) -> Json:
    """The first address of each family: these shapes hold one."""
    body: Json = {}
    for address, gateway in zip(attachment.addresses, attachment.gateways, strict=True):
        bare = attachment.for_mesos and address.family == 6
        text = str(address if bare else address.cidr())
        entry = {"ip": text, "gateway": str(gateway), "routes": [{"dst": _default(address.family)}]}
        body.setdefault(f"ip{address.family}", entry)
    return body


def _as_list(attachment: Attachment, *, numbered: bool) -> Json:
    pairs = list(zip(attachment.addresses, attachment.gateways, strict=True))
    ips: list[Json] = []
    for address, gateway in pairs:
        entry: Json = {"version": str(address.family)} if numbered else {}
        ips.append(entry | {"address": str(address.cidr()), "gateway": str(gateway), "interface": 0})
    gateways = {address.family: gateway for address, gateway in pairs}
    return {
        "interfaces": [{"name": attachment.interface, "mac": attachment.mac, "sandbox": attachment.netns}],
        "ips": ips,
        "routes": [{"dst": _default(family), "gw": str(gateway)} for family, gateway in gateways.items()],
    }


def _default(family: int) -> str:
    return "0.0.0.0/0" if family == 4 else "::/0"


def _dns(dns: Dns) -> Json:
    return {"nameservers": dns.nameservers, "domain": dns.domain, "search": dns.search, "options": dns.options}
