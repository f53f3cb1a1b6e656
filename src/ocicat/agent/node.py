"""What the agent says about its host in the datastore, and what it reads about it from the kernel at the start."""

from __future__ import annotations

from ocicat.agent.config import AgentConfig
from ocicat.agent.origin import stamped
from ocicat.clock import SystemClock
from ocicat.dataplane.ownership import DETACHED
from ocicat.errors import Conflict, Unavailable, UserError
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json, with_field
from ocicat.model.net import Addr
from ocicat.model.resources import Metadata, Node, NodeBGPSpec, NodeSpec
from ocicat.netlink import address, link
from ocicat.netlink.socket import RouteSocket
from ocicat.resources import Author
from ocicat.store.base import Compare, Datastore, Put
from ocicat.store.schema import mark
from ocicat.store.schema.migrate import ensure_marked
from ocicat.store.schema.steps import CURRENT
from ocicat.store.transfer.record import RECORD, unfinished

ATTEMPTS = 5


async def register(store: Datastore, config: AgentConfig) -> None:
    """This host's addresses, and which schema the datastore has, where it does not say so yet. Errors: as `_write`."""
    await _write(store, config)
    await ensure_marked(store, now=Author().origin().created)


async def _write(store: Datastore, config: AgentConfig) -> None:
    """Writes this host's addresses into its Node, leaving everything else of it alone.

    Raises Refused while the datastore is being filled: an agent that followed it would cut off every container that is not in
    it yet; and where its schema is one that this agent must not work with.
    """
    key = keys.node(config.host)
    for _ in range(ATTEMPTS):
        schema = await store.get(mark.KEY)
        mark.check(schema.value if schema else None, CURRENT)
        note = await store.get(RECORD)
        if note is not None:
            raise unfinished(note.value)
        stored = await store.get(key)
        wanted = _with_addresses(stored.value if stored else None, config)
        if wanted is None:
            return
        try:
            conditions = [Compare(key, stored.modified if stored else 0), Compare(RECORD, 0)]
            await store.commit(conditions, [Put(key, wanted)])
        except Conflict:
            continue
        return
    raise Unavailable(f"node {config.host} is being changed by somebody else", hint="start the agent again")


def _with_addresses(value: bytes | None, config: AgentConfig) -> bytes | None:
    """The node as it should be, or None when it is. Fields that we have no word for stay as they are."""
    if value is None:
        spec = NodeSpec(bgp=NodeBGPSpec(ipv4_address=config.address, ipv6_address=config.address6))
        return encode_json(Node(metadata=stamped(Metadata(name=config.host), SystemClock()), spec=spec))
    what = f"node {config.host}"
    known = decode_json(Node, value, what=what).spec.bgp or NodeBGPSpec()
    wrong = {
        name: wanted
        for name, wanted, is_there in (
            ("ipv4Address", config.address, known.ipv4_address),
            ("ipv6Address", config.address6, known.ipv6_address),
        )
        if wanted not in ("", is_there)
    }
    for name, wanted in wrong.items():
        value = with_field(value, ("spec", "bgp", name), wanted, what=what)
    return value if wrong else None


def interface_mtu(host_address: Addr) -> int:
    """The MTU of the interface that holds the host's address. Errors: UserError when none does."""
    with RouteSocket() as kernel:
        for held in kernel.dump(address.dump()):
            if held.address == host_address.pack():
                return kernel.get(link.get(held.index)).mtu
    raise UserError(
        f"no interface of this host has the address {host_address}",
        hint="give the host's own as --address and --address6",
    )


def own_interfaces(prefix: str) -> frozenset[str]:
    """The host's sides of containers' interfaces that exist now; those that are only waiting to be deleted do not."""
    with RouteSocket() as kernel:
        links = kernel.dump(link.dump())
    return frozenset(found.name for found in links if found.name.startswith(prefix) and found.alias != DETACHED)
