"""Settings of an interface: what differs is written, one that is gone meanwhile needs nothing, and what failed is what is said."""

import pytest

from ocicat.dataplane.drivers import sysctl
from ocicat.dataplane.drivers.sysctl import Trust
from ocicat.errors import Refused

WRONG = {"proxy_arp": "0", "forwarding": "0", "route_localnet": "1", "rp_filter": "1", "accept_local": "0"}


@pytest.fixture
def net(tmp_path, monkeypatch):
    """A tree of settings as the kernel shows it, all of ocia's wrong."""
    monkeypatch.setattr(sysctl, "_NET", str(tmp_path))
    for name, value in WRONG.items():
        write(tmp_path / "ipv4/conf/ocia" / name, value)
    write(tmp_path / "ipv4/neigh/ocia/proxy_delay", "8")
    return tmp_path


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value)


def mend():
    return sysctl.mend_workload_interface("ocia", ipv6=False, guard=Trust.ALONE)


def gone_once_read(monkeypatch, net, setting):
    """The interface goes between the read of that setting and whatever comes next."""
    found = sysctl._found

    def read(path):
        value = found(path)
        if path == setting:
            (net / path).unlink()
        return value

    monkeypatch.setattr(sysctl, "_found", read)


def test_only_what_differs_is_written(net):
    write(net / "ipv4/conf/ocia/proxy_arp", "1")
    assert mend() == [
        "net.ipv4.neigh.ocia.proxy_delay",
        "net.ipv4.conf.ocia.forwarding",
        "net.ipv4.conf.ocia.route_localnet",
        "net.ipv4.conf.ocia.rp_filter",
        "net.ipv4.conf.ocia.accept_local",
    ]
    assert sysctl.faults("ocia", ipv6=False, guard=Trust.ALONE) == []


def test_one_that_goes_while_it_is_mended_needs_nothing(net, monkeypatch):
    gone_once_read(monkeypatch, net, "ipv4/conf/ocia/forwarding")
    assert "net.ipv4.conf.ocia.forwarding" not in mend()
    assert (net / "ipv4/conf/ocia/rp_filter").read_text() == "0"


def test_one_that_goes_while_its_guard_is_trusted_needs_nothing(net, monkeypatch):
    gone_once_read(monkeypatch, net, "ipv4/conf/ocia/rp_filter")
    sysctl.trust_guard("ocia", Trust.ALONE)
    sysctl.trust_guard("ocib", Trust.ALONE)


@pytest.mark.parametrize(
    ("guard", "checks"), [(Trust.NONE, ["1", "1"]), (Trust.ALONE, ["0", "1"]), (Trust.BESIDE, ["0", "0"])]
)
def test_what_the_kernel_checks_beside_a_guard(net, guard, checks):
    settings = [net / "ipv4/conf/ocia" / name for name in ("rp_filter", "accept_local")]
    for each in settings:
        each.write_text("1")
    sysctl.trust_guard("ocia", guard)
    assert [each.read_text() for each in settings] == checks
    asked = {"net.ipv4.conf.ocia.rp_filter", "net.ipv4.conf.ocia.accept_local"}

    def wrong(trust):
        return asked & {each.split()[0] for each in sysctl.faults("ocia", ipv6=False, guard=trust)}

    assert wrong(guard) == set()
    for each in settings:
        each.write_text("2")
    assert wrong(guard) == (set() if guard is Trust.NONE else asked)


def test_the_hosts_addresses_are_refused_again_and_nothing_else_is_touched(net):
    (net / "ipv4/conf/ocia/accept_local").write_text("1")
    sysctl.refuse_host_addresses("ocia")
    sysctl.refuse_host_addresses("ocib")
    assert [(net / "ipv4/conf/ocia" / each).read_text() for each in ("accept_local", "rp_filter")] == ["0", "1"]


def test_one_that_is_made_must_have_its_settings(net):
    with pytest.raises(Refused, match=r"net\.ipv4\.conf\.ocib\.proxy_arp is not there"):
        sysctl.workload_interface("ocib", ipv6=False)


def test_what_cannot_be_read_is_not_said_to_be_written(net):
    (net / "ipv4/conf/ocia/forwarding").unlink()
    (net / "ipv4/conf/ocia/forwarding").mkdir()
    with pytest.raises(Refused, match=r"net\.ipv4\.conf\.ocia\.forwarding cannot be read: Is a directory"):
        mend()
