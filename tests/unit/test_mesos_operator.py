"""What masters and agents answer (as a real Mesos 1.11.0 did), and what we make of it."""

from __future__ import annotations

import asyncio
import json

import pytest
from test_mesos_http import serving

from ocicat.errors import Refused, Unavailable
from ocicat.mesos.credential import Credential
from ocicat.mesos.identity import executors, identities
from ocicat.mesos.operator import AgentClient, MasterClient
from ocicat.mesos.tasks import AgentSummary, FrameworkSummary
from ocicat.mesos.types import Discovery, DiscoveryPort, NetworkStatus, PortRange, TaskState

FRAMEWORK = "ab87-0000"
CONTAINER = "e274a99d"


def wrapped(value):
    return {"value": value}


NETWORK_INFO = {
    "ip_addresses": [{"protocol": "IPv4", "ip_address": "10.79.0.17"}],
    "name": "net1",
    "groups": ["a"],
    "labels": {"labels": [{"key": "x", "value": "y"}]},
}
NETWORK = NetworkStatus("net1", ("a",), {"x": "y"}, ("10.79.0.17",))
CONTAINER_STATUS = {
    "container_id": wrapped(CONTAINER),
    "network_infos": [NETWORK_INFO],
    "executor_pid": 29741,
}


def status(state):
    return {
        "task_id": wrapped("net.1"),
        "state": state,
        "message": "",
        "source": "SOURCE_EXECUTOR",
        "agent_id": wrapped("S0"),
        "executor_id": wrapped("net.1"),
        "timestamp": 1795384041.5,
        "uuid": "Dowao3JER1S7/og9wl/NvQ==",
        "container_status": CONTAINER_STATUS,
    }


def task(name="net.1", state="TASK_RUNNING", **more):
    return {
        "name": "net",
        "task_id": wrapped(name),
        "framework_id": wrapped(FRAMEWORK),
        "agent_id": wrapped("S0"),
        "state": state,
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.05}}],
        "statuses": [status("TASK_STARTING"), status(state)],
        "labels": {"labels": [{"key": "tier", "value": "db"}]},
        **more,
    }


AGENTS = {
    "agents": [
        {
            "agent_info": {"hostname": "h1", "port": 5051, "id": wrapped("S0"), "checkpoint": True},
            "active": True,
            "deactivated": False,
            "version": "1.11.0",
            "pid": "slave(1)@10.78.0.1:5051",
            "registered_time": {"nanoseconds": 1795384024469530112},
        }
    ],
    "recovered_agents": [],
}
FRAMEWORKS = {
    "frameworks": [
        {
            "framework_info": {"user": "root", "name": "demo", "id": wrapped(FRAMEWORK), "roles": ["*"]},
            "active": True,
            "connected": False,
        }
    ],
    "completed_frameworks": [{"framework_info": {"name": "old", "id": wrapped("old")}}],
}
TASKS = {
    "tasks": [task(), task("done", "TASK_FINISHED")],
    "unreachable_tasks": [task("away", "TASK_UNREACHABLE")],
    "completed_tasks": [task("old", "TASK_FAILED")],
}


def asked(question, kind, **members):
    """What the client makes of the one answer of a server; and the JSON it asked with."""

    async def run():
        body = json.dumps({"type": kind, **members}).encode()
        async with serving(b"HTTP/1.1 200 OK\r\n\r\n" + body) as (endpoint, requests):
            answer = await question(endpoint)
            line, _, sent = requests[0]
            assert line == "POST /api/v1 HTTP/1.1"
            assert json.loads(sent)["type"] == kind
            return answer, json.loads(sent)

    return asyncio.run(run())


def master(endpoint):
    return MasterClient(str(endpoint))


def agent(endpoint):
    return AgentClient(endpoint.host, endpoint.port)


def test_agents_and_where_they_listen():
    answer, _ = asked(lambda here: master(here).agents(), "GET_AGENTS", get_agents=AGENTS)
    assert answer == (AgentSummary("S0", "h1", "10.78.0.1", 5051, active=True, version="1.11.0"),)


def test_an_agent_on_ipv6():
    (one,) = AGENTS["agents"]
    agents = {"agents": [{**one, "pid": "slave(1)@[fd00::1]:5052"}]}
    answer, _ = asked(lambda here: master(here).agents(), "GET_AGENTS", get_agents=agents)
    assert (answer[0].address, answer[0].port) == ("fd00::1", 5052)


def test_frameworks_that_have_not_ended():
    answer, _ = asked(lambda here: master(here).frameworks(), "GET_FRAMEWORKS", get_frameworks=FRAMEWORKS)
    assert answer == (FrameworkSummary(FRAMEWORK, "demo", active=True, connected=False, roles=("*",)),)


def test_tasks_that_have_not_ended():
    answer, _ = asked(lambda here: master(here).tasks(), "GET_TASKS", get_tasks=TASKS)
    assert [one.id for one in answer] == ["net.1", "away"]
    first = answer[0]
    assert (first.executor_id, first.state, first.labels) == ("net.1", TaskState.RUNNING, {"tier": "db"})
    assert (first.container_id, first.networks, first.ip_addresses) == (CONTAINER, (NETWORK,), ("10.79.0.17",))


def test_the_state_of_a_task_is_its_own_and_not_that_of_an_older_status():
    ahead = task(state="TASK_RUNNING", statuses=[status("TASK_STARTING")])
    fresh = task("fresh", "TASK_STAGING", statuses=[])
    answer, _ = asked(lambda here: master(here).tasks(), "GET_TASKS", get_tasks={"tasks": [ahead, fresh]})
    assert [one.state for one in answer] == [TaskState.RUNNING, TaskState.STAGING]


def test_how_a_task_is_found_and_what_it_has():
    ports = {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}, {"number": 53, "visibility": "EXTERNAL"}]}
    labels = {"labels": [{"key": "zone", "value": "a"}, {"key": "bare"}]}
    rich = task(
        discovery={"visibility": "CLUSTER", "name": "shop", "version": "2", "ports": ports, "labels": labels},
        health_check={"type": "HTTP", "http": {"port": 80}},
        resources=[
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}, "allocation_info": {"role": "web"}},
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31002}]}},
        ],
        statuses=[{**status("TASK_RUNNING"), "healthy": False, "labels": labels}],
    )
    (answer,), _ = asked(lambda here: master(here).tasks(), "GET_TASKS", get_tasks={"tasks": [rich]})
    assert answer.discovery == Discovery(
        "CLUSTER",
        "shop",
        version="2",
        ports=(DiscoveryPort(80, "http", "tcp"), DiscoveryPort(53, visibility="EXTERNAL")),
        labels={"zone": "a", "bare": ""},
    )
    assert (answer.role, answer.ports, answer.ports[0].numbers()) == (
        "web",
        (PortRange(31000, 31002),),
        range(31000, 31003),
    )
    assert (answer.health_checked, answer.healthy, answer.status_labels) == (True, False, {"zone": "a", "bare": ""})


def test_the_state_of_the_cluster_is_one_answer_in_which_tasks_know_their_places():
    state = {"get_agents": AGENTS, "get_frameworks": FRAMEWORKS, "get_tasks": TASKS, "get_executors": {}}
    answer, _ = asked(lambda here: master(here).state(), "GET_STATE", get_state=state)
    assert [len(answer.agents), len(answer.frameworks), len(answer.tasks)] == [1, 1, 2]
    one = answer.tasks[FRAMEWORK, "net.1"]
    assert (one.framework, one.role, one.host, one.host_address) == ("demo", "*", "h1", "10.78.0.1")


def test_the_state_of_an_agent_is_what_it_runs_and_what_it_will():
    tasks = {
        "pending_tasks": [{"name": "p", "task_id": wrapped("p"), "agent_id": wrapped("S0")}],
        "queued_tasks": [task("queued", "TASK_STAGING", statuses=[])],
        "launched_tasks": [task(executor_id=wrapped("custom"))],
        "terminated_tasks": [task("ended", "TASK_FINISHED")],
    }
    state = {"get_tasks": tasks, "get_frameworks": FRAMEWORKS, "get_executors": {}}
    answer, _ = asked(lambda here: agent(here).state(), "GET_STATE", get_state=state)
    assert [(one.id, one.executor_id) for one in answer.tasks.values()] == [("queued", "queued"), ("net.1", "custom")]
    assert [one.container_id for one in answer.tasks.values()] == ["", CONTAINER]
    assert [one.command for one in answer.tasks.values()] == [True, False]
    assert [one.name for one in answer.frameworks.values()] == ["demo"]


def test_containers_of_every_kind_are_asked_for():
    _, sent = asked(lambda here: agent(here).containers(), "GET_CONTAINERS", get_containers={})
    assert sent == {"type": "GET_CONTAINERS", "get_containers": {"show_nested": True, "show_standalone": True}}


def test_containers_of_every_kind_are_told():
    running = {
        "framework_id": wrapped(FRAMEWORK),
        "executor_id": wrapped("net.1"),
        "executor_name": "Command Executor",
        "container_id": wrapped(CONTAINER),
        "container_status": CONTAINER_STATUS,
        "resource_statistics": {"timestamp": 1.5},
    }
    nested = {"container_id": {"value": "n", "parent": wrapped(CONTAINER)}}
    answer, _ = asked(
        lambda here: agent(here).containers(), "GET_CONTAINERS", get_containers={"containers": [running, nested]}
    )
    assert [(one.container_id, one.framework_id) for one in answer] == [(CONTAINER, FRAMEWORK), (f"{CONTAINER}.n", "")]
    assert (answer[0].networks, answer[0].pid, answer[0].executor_id) == ((NETWORK,), 29741, "net.1")
    assert (answer[1].networks, answer[1].pid) == ((), 0)


OLD_STATE = {  # in the words of src/slave/http.cpp of those versions
    "version": "0.28.2",
    "frameworks": [
        {
            "id": FRAMEWORK,
            "name": "marathon",
            "role": "web",
            "executors": [
                {
                    "id": "t",
                    "name": "Command Executor (Task: t) (Command: sh -c 'sleep 9')",
                    "source": "t",
                    "container": "c",
                    "tasks": [
                        {
                            "id": "t",
                            "name": "shop",
                            "executor_id": "",
                            "state": "TASK_RUNNING",
                            "slave_id": "S0",
                            "labels": [{"key": "tier", "value": "db"}],
                        },
                        {"id": "ended", "executor_id": "", "state": "TASK_FINISHED"},
                    ],
                    "queued_tasks": [],
                    "completed_tasks": [{"id": "old", "state": "TASK_FAILED"}],
                },
                {
                    "id": "e",
                    "name": "my own",
                    "container": "d",
                    "tasks": [],
                    "queued_tasks": [{"id": "q", "name": "q", "executor_id": "e", "slave_id": "S0"}],
                },
            ],
        }
    ],
    "completed_frameworks": [],
}


def test_an_agent_before_the_operator_api_tells_the_same():
    async def run():
        missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        state = b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(OLD_STATE).encode()
        async with serving(missing, state, missing, state) as (endpoint, requests):
            client = AgentClient(endpoint.host, endpoint.port, credential=Credential("me", "x"))
            answer = await client.state(), await client.containers()
            assert [line for line, _, _ in requests][1] == "GET /state.json HTTP/1.1"
            assert all("authorization" in headers for _, headers, _ in requests)
            return answer

    cluster, containers = asyncio.run(run())
    found = identities({"c", "d"}, executors(containers), cluster)
    assert [(one.container_id, one.executor_id) for one in containers] == [("c", "t"), ("d", "e")]
    told = {name: (one.framework, one.role, [task.id for task in one.tasks]) for name, one in found.items()}
    assert told == {"c": ("marathon", "web", ["t"]), "d": ("marathon", "web", ["q"])}
    assert [one.executor.command for one in found.values()] == [found["c"] is one for one in found.values()]
    assert cluster.tasks[FRAMEWORK, "t"].labels == {"tier": "db"}


def test_a_master_that_does_not_answer_is_passed_over():
    answer, _ = asked(lambda here: MasterClient(f"127.0.0.1:1,{here}").agents(), "GET_AGENTS", get_agents=AGENTS)
    assert len(answer) == 1


def test_when_no_master_answers_all_are_named():
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1: Connection refused; 127\.0\.0\.1:2: Connection refused"):
        asyncio.run(MasterClient("127.0.0.1:1,127.0.0.1:2").agents())


def test_an_answer_nobody_can_read_is_refused_with_its_place():
    with pytest.raises(Refused, match=r"GET_AGENTS of 127\.0\.0\.1:\d+: get_agents\.agents"):
        asked(lambda here: master(here).agents(), "GET_AGENTS", get_agents={"agents": 1})
