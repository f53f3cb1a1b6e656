"""A lab on paper: names, addresses, and what is refused before anything is made."""

from __future__ import annotations

import pytest

from ocicat.errors import UserError
from ocicat.lab.processes import master_address, processes
from ocicat.lab.spec import LabSpec, is_entry, is_name

SPEC = LabSpec(directory="/run/ocicat/lab")


def test_the_defaults_are_valid() -> None:
    assert SPEC.check() is SPEC


def test_hosts_are_numbered_from_one_and_have_addresses_after_the_master() -> None:
    assert [(host.name, host.namespace, host.address) for host in (SPEC.master, *SPEC.nodes)] == [
        ("master", "oclab-master", "172.30.77.10/24"),
        ("h1", "oclab-h1", "172.30.77.11/24"),
        ("h2", "oclab-h2", "172.30.77.12/24"),
        ("h3", "oclab-h3", "172.30.77.13/24"),
    ]


def test_several_masters_have_a_host_each_and_a_zookeeper() -> None:
    several = LabSpec(directory="/run/ocicat/lab", masters=3)
    assert [(host.name, host.address) for host in several.check().master_hosts] == [
        ("master", "172.30.77.10/24"),
        ("master2", "172.30.77.9/24"),
        ("master3", "172.30.77.8/24"),
    ]
    assert [len(LabSpec(masters=n, zookeepers=z).zookeeper_hosts) for n, z in ((1, 0), (1, 1), (3, 0), (3, 3))] == [
        0,
        1,
        1,
        3,
    ]
    assert master_address(LabSpec()) == "172.30.77.10:5050"
    assert master_address(LabSpec(masters=3, zookeepers=2)) == "zk://172.30.77.10:2181,172.30.77.9:2181/mesos"


def test_every_master_takes_part_in_the_election_and_every_agent_follows_it() -> None:
    several = LabSpec(directory="/run/ocicat/lab", masters=3, hosts=1, master_flags={"agent_ping_timeout": "1secs"})
    listed = {process.name: process.argv for process in processes(several, "/lib.so")}
    assert list(listed) == ["zk1", "master", "master2", "master3", "agent-h1", "mesos-h1"]
    zk = "zk://172.30.77.10:2181/mesos"
    for master in ("master", "master2", "master3"):
        assert given(listed[master], "--zk") == zk
        assert given(listed[master], "--quorum") == "2"
        assert given(listed[master], "--flag") == "agent_ping_timeout=1secs"
    assert given(listed["mesos-h1"], "--master") == zk
    assert given(listed["mesos-h1"], "--ask") == "172.30.77.10:5050,172.30.77.9:5050,172.30.77.8:5050"


def given(argv: tuple[str, ...], option: str) -> str:
    return argv[argv.index(option) + 1]


def test_a_hosts_files_lie_in_its_own_directory() -> None:
    host = SPEC.nodes[0]
    assert host.socket == "/run/ocicat/lab/h1/agent.sock"
    assert host.cni_config_dir == "/run/ocicat/lab/h1/cni/conf"
    assert host.plugin_dir == "/run/ocicat/lab/h1/cni/bin"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Lab"}, "not a name for a lab"),
        ({"name": "lab-"}, "not a name for a lab"),
        ({"name": ""}, "not a name for a lab"),
        ({"name": "a" * 17}, "not a name for a lab"),
        ({"hosts": 0}, "0 hosts"),
        ({"hosts": 201}, "201 hosts"),
        ({"masters": 0}, "0 masters"),
        ({"masters": 6}, "6 masters"),
        ({"masters": 3, "zookeepers": 4}, "4 ZooKeeper servers"),
        ({"zookeepers": -1}, "-1 ZooKeeper servers"),
        ({"directory": "lab"}, "not an absolute path"),
        ({"directory": "/" + "x" * 80}, "at most 80 characters"),
        ({"pool": "10.77.0.1/16"}, "host bits"),
        ({"pool": "nonsense"}, "pool"),
        ({"pool": "fd00::/64"}, "not IPv4"),
        ({"pool6": "10.77.0.0/16"}, "not IPv6"),
        ({"pool6": "fd77:30::/48"}, "overlaps fd77:30::/64"),
        ({"pool6": "x"}, "for example --pool6 fd77::/64"),
        ({"pool": "172.30.0.0/16"}, "overlaps 172.30.77.0/24"),
        ({"pool": "172.30.77.128/25"}, "overlaps 172.30.77.0/24"),
        ({"block_size": 19}, "not in 20 to 32"),
        ({"block_size": 33}, "not in 20 to 32"),
        ({"pool": "10.77.0.0/28"}, "do not fit into pool"),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, str | int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LabSpec(**{"directory": "/run/lab", **change}).check()  # type: ignore[arg-type]  # each case is right for its field


@pytest.mark.parametrize("text", ["oclab-fabric", "oclab-master", "oclab-master5", "oclab-h1", "oclab-h200"])
def test_the_labs_own_names_are_recognised(text: str) -> None:
    assert is_name("lab", text)


@pytest.mark.parametrize(
    "text",
    [
        "oclab-x",
        "oclab-h1-x",
        "oclab2-h1",
        "oclab-lab-h1",
        "lab-h1",
        "oclab-h",
        "h1",
        "xoclab-h1",
        "oclab-master1",
        "oclab-master22",
    ],
)
def test_other_names_are_left_alone(text: str) -> None:
    assert not is_name("lab", text)


def test_a_dot_in_a_name_matches_nothing_else() -> None:
    assert not is_name("l.b", "oclab-h1")


@pytest.mark.parametrize(
    "text", ["state.json", "state.json.4711", "control.sock", "logs", "store", "master", "master3", "h12"]
)
def test_the_labs_own_files_are_recognised(text: str) -> None:
    assert is_entry(text)


@pytest.mark.parametrize("text", ["notes.txt", "state.json.bak", "h1.old", "home", ".ssh", "masters"])
def test_other_files_are_left_alone(text: str) -> None:
    assert not is_entry(text)


def test_each_host_has_its_agent_before_its_mesos_agent() -> None:
    names = [process.name for process in processes(LabSpec(hosts=2, directory="/run/lab"), "/lib.so")]
    assert names == ["master", "agent-h1", "mesos-h1", "agent-h2", "mesos-h2"]


def test_every_process_runs_in_its_hosts_namespace() -> None:
    for process in processes(SPEC, "/lib.so"):
        assert process.argv[:3] == ("nsenter", f"--net=/run/netns/oclab-{process.host}", "--")


def test_agent_and_plugin_agree_on_the_socket() -> None:
    agent = next(process for process in processes(SPEC, "/lib.so") if process.name == "agent-h2")
    assert agent.ready == SPEC.nodes[1].socket
    assert agent.argv[agent.argv.index("--socket") + 1] == agent.ready


def test_the_cgroups_of_a_host_carry_a_name_of_the_lab() -> None:
    mesos = next(process for process in processes(SPEC, "/lib.so") if process.name == "mesos-h3")
    assert is_name("lab", mesos.argv[mesos.argv.index("--cgroups-root") + 1])


def test_agents_serve_names_where_that_is_asked_for():
    plain, named = (
        next(process.argv for process in processes(spec, "/lib.so") if process.name == "agent-h1")
        for spec in (SPEC, LabSpec(directory="/run/ocicat/lab", dns=("--dns-only", "reachable")))
    )
    assert "--dns" not in plain
    assert named[: len(plain)] == plain
    assert named[len(plain) :] == (
        *("--dns", "172.30.77.11", "--mesos-master", "172.30.77.10:5050"),
        *("--dns-only", "reachable"),
    )


def test_hosts_have_ipv6_addresses_when_there_is_a_pool_for_it():
    hosts = LabSpec(directory="/run/x", pool6="fd77::/64").check().nodes
    assert [host.address6 for host in hosts] == ["fd77:30::b/64", "fd77:30::c/64", "fd77:30::d/64"]
    assert {host.address6 for host in LabSpec(directory="/run/x").nodes} == {""}
