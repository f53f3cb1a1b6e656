"""What each age of Marathon sends to Mesos for an application. PURE.

Ages: 0.14 to 1.1 know no names of networks; 1.2 to 1.4 do (`ipAddress.networkName`); 1.5 and later have `networks`, and send no
groups any more. The variables that Marathon itself adds to the environment are left out.
"""

from __future__ import annotations

from ocicat.errors import UserError
from ocicat.mesos.frameworks.fields import Fields, Notes
from ocicat.mesos.frameworks.marathon import read
from ocicat.mesos.frameworks.sent import Sent, alone
from ocicat.mesos.types import NetworkRequest
from ocicat.model.base import replace

NEWEST = "1.11"
_NAMES_SINCE = (1, 2)
_NETWORKS_SINCE = (1, 5)


def parse_release(text: str) -> tuple[int, ...]:
    """As "1.4" or "0.15.3"; UserError for anything else, and for what never sent a NetworkInfo."""
    parts = text.split(".")
    if len(parts) < 2 or not all(part.isdecimal() for part in parts):
        raise UserError(f"Marathon {text!r}: no release", hint="like 0.14 or 1.5")
    release = tuple(map(int, parts[:2]))
    if release < (0, 14):
        raise UserError(f"Marathon {text}: sends no NetworkInfo", hint="addresses of tasks begin with 0.14")
    return release


def sent(raw: object, source: str, release: tuple[int, ...], default_network: str = "") -> tuple[Sent, list[str]]:
    """And the remarks. UserError: what that release would not take."""
    notes = Notes(source)
    fields = Fields(raw, notes)
    if "networks" in fields and release < _NETWORKS_SINCE:
        fields.wrong("networks", f"Marathon {_words(release)} does not know it: it is of 1.5")
    nameless = release < _NAMES_SINCE
    app = read(fields, "/", "" if nameless else default_network, needs_names=not nameless)
    notes.check()
    spec = app.spec
    docker = spec.image is not None and spec.image.engine == "DOCKER"
    if docker and spec.network and nameless:
        fields.wrong("ipAddress", f"Marathon {_words(release)} gives no addresses to containers of Docker")
        notes.check()
    found = tuple(_of_age(network, release, notes) for network in spec.networks)
    if docker:  # of its NetworkInfo nothing but the name is ever sent
        found = tuple(replace(network, labels={}, ip_addresses=(), groups=()) for network in found)
    spec = replace(spec, network=found[0] if found else None, further_networks=found[1:])
    return alone([spec]), notes.told()


def _of_age(network: NetworkRequest, release: tuple[int, ...], notes: Notes) -> NetworkRequest:
    if release < _NAMES_SINCE and network.name:
        notes.remarks.append(f"ipAddress.networkName has no effect: Marathon {_words(release)} does not know it")
        return replace(network, name="")
    if release >= _NETWORKS_SINCE and network.groups:
        notes.remarks.append(f"ipAddress.groups has no effect: Marathon {_words(release)} sends no groups; use labels")
        return replace(network, groups=())
    return network


def _words(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))
