"""What is wrong with a cluster, and whether it can do without a member: facts in, findings out."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_services_spec import service

from ocicat.errors import Refused
from ocicat.model.base import replace
from ocicat.services import health, upgrade, zookeeper_api, zookeeper_backup
from ocicat.services.etcd_api import Alarm
from ocicat.services.etcd_config import QUOTA_BYTES
from ocicat.services.health import LAG_ENTRIES, Facts, MemberHealth, judge
from ocicat.services.pki import openssl
from ocicat.services.pki.authority import Authority
from ocicat.services.pki.request import Request, request_text
from ocicat.services.spec import Service
from ocicat.services.zookeeper_api import Status

GOOD = Facts(
    service=service("etcd"),
    members=tuple(
        MemberHealth(
            member=f"h{n}",
            endpoint=f"h{n}:2379",
            role="leader" if n == 1 else "follower",
            version="3.4.23",
            cluster="c",
        )
        for n in (1, 2, 3)
    ),
    free_bytes=50 << 30,
    disk_bytes=100 << 30,
)


def changed(number: int, facts: Facts = GOOD, **fields: object) -> Facts:
    members = list(facts.members)
    members[number - 1] = replace(members[number - 1], **fields)
    return replace(facts, members=tuple(members))


def abouts(facts: Facts) -> list[str]:
    return [one.about for one in judge(facts).findings]


def test_nothing_is_wrong_with_a_good_one() -> None:
    found = judge(GOOD)
    assert (found.is_healthy, found.leader, found.cluster, found.findings) == (True, "h1", "c", ())


@pytest.mark.parametrize(
    ("facts", "about"),
    [
        (changed(3, problem="connection refused"), "member"),
        (changed(2, lag=LAG_ENTRIES + 1), "lag"),
        (changed(2, remarks=("memberID:1 alarm:NOSPACE",)), "remark"),
        (changed(1, role="follower"), "leader"),
        (changed(2, cluster="d"), "cluster"),
        (replace(GOOD, alarms=(Alarm("17", "NOSPACE"),)), "alarm"),
        (replace(GOOD, alarms=(Alarm("17", "CORRUPT"),)), "alarm"),
        (changed(2, size_bytes=int(0.81 * QUOTA_BYTES)), "size"),
        (replace(GOOD, free_bytes=900 << 20), "disk"),
    ],
)
def test_each_thing_that_is_wrong_is_told_alone(facts: Facts, about: str) -> None:
    found = judge(facts)
    assert not found.is_healthy
    assert [one.about for one in found.findings] == [about]
    assert all((one.problem, one.breaks, one.mend) != ("", "", "") for one in found.findings)


def test_a_small_disk_may_be_nearly_as_full_as_a_large_one() -> None:
    assert abouts(replace(GOOD, disk_bytes=2 << 30, free_bytes=600 << 20)) == []
    assert abouts(replace(GOOD, disk_bytes=2 << 30, free_bytes=300 << 20)) == ["disk"]


def test_how_much_more_may_be_lost() -> None:
    def breaks(facts: Facts) -> str:
        return judge(facts).findings[0].breaks

    one = changed(3, problem="x")
    assert breaks(one) == "the cluster goes on, and bears no further loss"
    assert breaks(changed(2, one, problem="x")) == "nobody can write: 1 of 3 members serve, 2 are needed"


@pytest.mark.parametrize(
    "facts", [changed(3, problem="refused"), changed(1, lag=LAG_ENTRIES + 1), changed(1, role="learner")]
)
def test_no_member_goes_that_the_others_need(facts: Facts) -> None:
    with pytest.raises(Refused, match="would lose its quorum without h2"):
        upgrade.check_quorum(facts)


def test_a_member_may_go_that_the_others_can_do_without() -> None:
    upgrade.check_quorum(GOOD)
    upgrade.check_quorum(changed(2, problem="it is the one that goes"))


def test_a_quorum_that_is_not_there_cannot_be_lost() -> None:
    ended = changed(1, changed(2, changed(3, problem="certificate has expired"), problem="x"), problem="x")
    upgrade.check_quorum(ended)
    upgrade.check_quorum(changed(3, changed(1, problem="x"), problem="x"))
    upgrade.check_quorum(changed(3, changed(1, problem="x"), role="learner"))
    assert upgrade.check_serves(GOOD).member == "h2"
    for facts, words in (
        (ended, "h2 does not serve: x"),
        (changed(3, changed(1, problem="x"), problem="x"), "no quorum"),
    ):
        with pytest.raises(Refused, match=words) as told:
            upgrade.check_serves(facts)
        assert "ocicat services up" in told.value.hint


@pytest.mark.parametrize(
    ("old", "new", "may"),
    [
        ((3, 4, 23), (3, 5, 1), True),
        ((3, 4, 23), (3, 4, 23), True),
        ((3, 4, 23), (3, 4, 24), True),
        ((3, 4, 23), (3, 4, 22), False),
        ((3, 5, 1), (3, 4, 23), False),
        ((3, 4, 23), (3, 6, 0), False),
        ((2, 3, 8), (3, 4, 0), False),
    ],
)
def test_which_version_may_follow(old: upgrade.Version, new: upgrade.Version, may: bool) -> None:
    assert upgrade.may_follow(old, new) is may


MNTR = "zk_version\t3.8.0-${mvngit}, built on x\nzk_server_state\tleader\nzk_znode_count\t7\nzk_approximate_data_size\t211\n"


def test_zookeeper_is_read() -> None:
    found = zookeeper_api.parse(MNTR, "Zookeeper version: 3.8.0\nZxid: 0x10000000a\n", "h")
    assert found == Status(version="3.8.0", role="leader", zxid=0x10000000A, nodes=7, size_bytes=211)


def status(zxid: int, nodes: int) -> Status:
    return Status(version="3.8.0", role="leader", zxid=zxid, nodes=nodes, size_bytes=0)


def test_a_certificate_is_good_for_as_long_as_its_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, directory = Authority(tmp_path / "ca"), tmp_path / "etcd.tls"
    authority.init(days=5)
    request = Request("h2", "server", ("10.0.0.2",))
    authority.issue(request, directory)
    key = (directory / "tls.key").read_bytes()
    longer = openssl.signed(key, request_text(request), 300, authority.certificate, authority.key)
    (directory / "tls.crt").write_bytes(longer)
    monkeypatch.setattr(Service, "tls_directory", str(directory))
    days, wrong = health._certificate(service("etcd", tls="/t"))
    assert days == 4
    assert [one.problem.partition(" ends")[0] for one in wrong] == ["the authority of h2"]


def test_a_copy_has_all_that_was_acknowledged_before_it() -> None:
    check = zookeeper_backup.check
    check(status(0x100000005, 9), status(0x100000005, 9), status(0x100000005, 9))
    check(status(0x100000007, 9), status(0x100000005, 8), status(0x100000009, 11))
    check(status(0x100000007, 9), status(0x200000000, 9), status(0x200000000, 9))  # a leader has just been elected
    with pytest.raises(Refused, match="ends at transaction 0x100000004"):
        check(status(0x100000004, 9), status(0x100000005, 9), status(0x100000005, 9))
    with pytest.raises(Refused, match="holds 8 nodes"):
        check(status(0x100000005, 8), status(0x100000005, 9), status(0x100000005, 9))
