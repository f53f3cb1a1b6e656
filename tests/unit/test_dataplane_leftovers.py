"""Addresses that went with their container while no agent ran."""

from ocicat.dataplane.flows import leftovers
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import LocalBlock, RemoteBlock
from ocicat.netlink.conntrack import Direction, Flow
from ocicat.netlink.inet import Prefix

OURS, OURS6 = Cidr.parse("10.65.0.0/26"), Cidr.parse("fd65::/122")
BORROWED, FURTHER = Cidr.parse("10.65.0.9/32"), Cidr.parse("10.65.0.64/26")


def prefix(cidr):
    return Prefix(cidr.address.pack(), cidr.length)


GATEWAY = Addr.parse("10.0.0.7")
BLOCKS = {prefix(each): LocalBlock(each) for each in (OURS, OURS6)}
BLOCKS |= {prefix(each): RemoteBlock(each, GATEWAY) for each in (BORROWED, FURTHER)}


def flow(source, target, answers=""):
    one, two = Addr.parse(source).pack(), Addr.parse(target).pack()
    back = Addr.parse(answers or target).pack()
    return Flow(Direction(one, two, 17), Direction(back, one, 17), 0, 0, 0, 1, b"")


def left(*flows, local=()):
    found = leftovers.addresses(flows, BLOCKS, lambda address: str(Addr.unpack(address)) in local)
    return {str(Addr.unpack(each)) for each in found}


def test_where_to_look():
    assert leftovers.nets(BLOCKS) == (prefix(OURS), prefix(OURS6))


def test_addresses_of_own_blocks_whichever_end_of_a_flow_they_are():
    assert left(flow("10.65.0.2", "10.1.1.1"), flow("10.1.1.1", "10.65.0.3")) == {"10.65.0.2", "10.65.0.3"}
    assert left(flow("10.1.1.1", "10.0.0.1", answers="10.65.0.4")) == {"10.65.0.4"}
    assert left(flow("fd65::2", "fd00::1")) == {"fd65::2"}


def test_what_is_the_hosts_own_or_another_hosts_is_not_left():
    assert left(flow("10.65.0.9", "10.65.0.70")) == set()
    assert left(flow("10.65.0.2", "10.65.0.1"), local={"10.65.0.1"}) == {"10.65.0.2"}
    assert leftovers.addresses([flow("10.65.0.2", "10.65.0.63")], BLOCKS, lambda address: None) == set()
