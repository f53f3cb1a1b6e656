"""Translation: what the ledger wants of maps, nets and chains."""

import pytest

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.managers.nat import elements
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.objects import Chain, Rule, Shape
from ocicat.model.base import replace
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import Endpoint, EndpointGone, FloatingAddress, InSync, OutgoingNat, PortMapping
from ocicat.netlink import inet
from ocicat.netlink.nftset import Element

A, A2, A6 = map(Addr.parse, ("10.65.0.2", "10.65.0.9", "fd65::2"))
ENDPOINT = Endpoint("/a", "ocia", (A, A2, A6), ())
POOL = Cidr.parse("10.65.0.0/16")
TCP = 6


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def managers(ledger):
    return Managers(DataplaneConfig(), ledger)


def apply(managers, *messages):
    for message in messages:
        managers.apply(message)


def chain(ledger, name):
    return [rule.text for rule in ledger.chain(name).rules] if name in ledger.chains.updates() else None


def test_a_mapping_leads_to_the_first_address_of_each_family():
    listed = elements(replace(ENDPOINT, port_mappings=(PortMapping(TCP, 8080, 80),)))
    found = dict(listed)
    assert found["host-ports4"] == Element(bytes.fromhex("06000000 1f900000"), A.pack() + bytes.fromhex("00500000"))
    assert found["host-ports6"] == Element(bytes.fromhex("06000000 1f900000"), A6.pack() + bytes.fromhex("00500000"))
    assert [element.key for name, element in listed if name == "own-ports4"] == [A.pack() * 2, A2.pack() + A.pack()]
    assert found["own-ports6"] == Element(A6.pack() * 2)


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("10.0.0.1", {"address-ports4", "own-ports4"}),
        ("0.0.0.0", {"host-ports4", "own-ports4"}),
        ("fd00::1", {"address-ports6", "own-ports6"}),
        ("::", {"host-ports6", "own-ports6"}),
    ],
)
def test_a_host_address_limits_a_mapping(host, names):
    found = dict(elements(replace(ENDPOINT, port_mappings=(PortMapping(TCP, 8080, 80, Addr.parse(host)),))))
    assert found.keys() == names
    if "address-ports4" in names:
        key = Addr.parse(host).pack() + bytes.fromhex("06000000 1f900000")
        assert found["address-ports4"] == Element(key, A.pack() + bytes.fromhex("00500000"))


def test_who_speaks_to_himself_does_so_by_the_first_of_his_floating_addresses():
    outside = [Addr.parse(f"192.0.2.{last}") for last in (9, 7, 8)]
    found = elements(replace(ENDPOINT, floating=tuple(FloatingAddress(each, A) for each in outside)))
    assert [element for name, element in found if name == "floating4"] == [
        Element(each.pack(), A.pack()) for each in outside
    ]
    assert [element for name, element in found if name == "own-floating4"] == [
        Element(source.pack() + A.pack(), outside[1].pack()) for source in (A, A2)
    ]


def test_entries_come_with_the_interface_and_go_with_the_endpoint(managers, ledger):
    maps = lambda: [name for name in ("floating4", "host-ports4", "own-ports4") if ledger.elements[name].updates()]  # noqa: E731
    one = replace(
        ENDPOINT, port_mappings=(PortMapping(TCP, 80, 80),), floating=(FloatingAddress(Addr.parse("192.0.2.1"), A),)
    )
    apply(managers, one)
    assert maps() == []
    managers.endpoints.link_there("ocia", 7)
    assert maps() == ["floating4", "host-ports4", "own-ports4"]
    apply(managers, ENDPOINT)
    assert maps() == []
    apply(managers, one, EndpointGone("/a"))
    assert maps() == []


def test_a_floating_address_is_routed_to_the_workload_unless_it_is_anothers_own(managers, ledger):
    dst = inet.host(A2.pack())
    apply(managers, Endpoint("/b", "ocib", (A,), (), floating=(FloatingAddress(A2, A),)))
    managers.endpoints.link_there("ocib", 8)
    assert ledger.routes.wanted(dst).oif == 8
    apply(managers, Endpoint("/c", "ocic", (A2,), ()))
    managers.endpoints.link_there("ocic", 9)
    assert ledger.routes.wanted(dst).oif == 9
    assert managers.endpoints.fault("/c") == managers.endpoints.fault("/b") == ""
    apply(managers, EndpointGone("/c"))
    assert ledger.routes.wanted(dst).oif == 8
    apply(managers, EndpointGone("/b"))
    assert ledger.routes.wanted(dst) is None
    assert managers.endpoints.held == {A.pack(), A2.pack()}  # a floating address of b's, but c's own


def test_there_are_no_chains_before_they_are_needed_and_then_they_stay(managers, ledger):
    names = ("dstnat", "dstnat-out", "host-ports", "srcnat")
    apply(managers, ENDPOINT, OutgoingNat(), InSync())
    assert [chain(ledger, name) for name in names] == [None] * 4
    apply(managers, OutgoingNat((POOL,), (POOL,)))
    assert [bool(chain(ledger, name)) for name in names] == [False, False, False, True]
    apply(managers, OutgoingNat())
    assert chain(ledger, "srcnat") == []
    apply(managers, replace(ENDPOINT, port_mappings=(PortMapping(TCP, 80, 80),)), ENDPOINT)
    assert [bool(chain(ledger, name)) for name in names] == [True] * 4


@pytest.mark.parametrize("found_first", [True, False])
def test_chains_that_were_found_stay_and_are_not_changed_before_it_is_known_how(managers, ledger, found_first):
    steps = [lambda: ledger.chains.found({"srcnat": Shape("", ("x",))}), managers.nat.keep]
    if found_first:
        for step in steps:
            step()
        assert "srcnat" not in ledger.chains.updates()
        apply(managers, InSync())
    else:
        for step in [lambda: apply(managers, InSync()), *steps]:
            step()
    assert chain(ledger, "srcnat") == []
    assert "dstnat" not in ledger.chains.updates()


def leaving(ledger):
    return [text.partition("nat-inside4 ")[2] for text in chain(ledger, "srcnat") if "nat-sources4" in text]


@pytest.mark.parametrize(
    ("wanted", "rules"),
    [
        (OutgoingNat((POOL,)), ["masquerade"]),
        (OutgoingNat((POOL,), interface="eth*"), ['oifname "eth*" masquerade']),
        (OutgoingNat((POOL,), addresses=(A6, A)), ["snat ip to 10.65.0.2"]),
        (
            OutgoingNat((POOL,), ports=(1, 9)),
            ["meta l4proto tcp masquerade to :1-9", "meta l4proto udp masquerade to :1-9", "masquerade"],
        ),
        (
            OutgoingNat((POOL,), ports=(1, 9), addresses=(A,)),
            [
                "meta l4proto tcp snat ip to 10.65.0.2:1-9",
                "meta l4proto udp snat ip to 10.65.0.2:1-9",
                "snat ip to 10.65.0.2",
            ],
        ),
        (OutgoingNat((Cidr.parse("fd65::/48"),), ports=(1, 9), addresses=(A6,)), []),
    ],
)
def test_how_packets_leave(managers, ledger, wanted, rules):
    apply(managers, wanted)
    assert leaving(ledger) == rules
    if any(cidr.family == 6 for cidr in wanted.sources):
        assert "snat ip6 to [fd65::2]:1-9" in chain(ledger, "srcnat")[0]


def test_nets_that_touch_or_overlap_are_one_range(managers, ledger):
    nets = tuple(map(Cidr.parse, ("10.0.0.0/25", "10.0.0.128/25", "10.0.0.7/32", "10.2.0.0/24", "fd00::/64")))
    apply(managers, OutgoingNat(nets, nets))
    ranges = [(each.key[-2:], each.key_end[-2:]) for each in ledger.elements["nat-sources4"].updates().values()]
    assert ranges == [(b"\0\0", b"\0\xff"), (b"\0\0", b"\0\xff")]
    assert len(ledger.elements["nat-inside6"].updates()) == 1
    apply(managers, OutgoingNat(nets[3:4], nets[3:4]))
    assert [each.key for each in ledger.elements["nat-sources4"].updates().values()] == [bytes([10, 2, 0, 0])]
    assert not ledger.elements["nat-inside6"].updates()


ACCEPT = (Rule("accept"),)


def test_a_chain_of_another_type_is_not_ours(ledger):
    ledger.want_chain(Chain("c", ACCEPT, hook="prerouting", priority="dstnat", kind="nat"))
    ledger.chains.found({"c": Chain("c", ACCEPT, hook="prerouting", priority="dstnat").shape})
    assert "c" in ledger.chains.updates()
    assert ledger.moved() == ["c"]
    assert not ledger.incompatible()


@pytest.mark.parametrize(
    ("there", "moved", "incompatible"),
    [
        (Chain("c", ACCEPT, hook="input", priority="filter"), [], False),
        (Chain("c", (), hook="input", priority="filter"), [], False),
        (Chain("c", ACCEPT, hook="input", priority="filter - 1"), ["c"], False),
        (Chain("c", ACCEPT), [], True),  # jumps may lead to it
    ],
)
def test_what_became_of_a_base_chain(ledger, there, moved, incompatible):
    ledger.want_chain(Chain("c", ACCEPT, hook="input", priority="filter"))
    ledger.chains.found({"c": there.shape})
    assert (ledger.moved(), ledger.incompatible()) == (moved, incompatible)


def test_a_base_chain_that_is_to_be_none_goes_first(ledger):
    ledger.want_chain(Chain("c", ACCEPT))
    ledger.chains.found({"c": Chain("c", ACCEPT, hook="input", priority="filter").shape})
    assert (ledger.moved(), ledger.incompatible()) == (["c"], False)
