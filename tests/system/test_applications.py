"""Applications on the real Mesos: `ocicat run -f` and `ocicat app`, as their users call them, on three hosts;
and a scheduler that others wrote.

The tests are one story: what one leaves running the next goes on with.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

import pytest
from lab_bed import MARKS, PATIENCE_S, on, opened, until, untouched

from ocicat.lab.demo import PORT, SERVER
from ocicat.mesos.apps import wishes
from ocicat.mesos.apps.book import read_all
from ocicat.mesos.apps.records import DEFAULT_NAME, Keys
from ocicat.mesos.types import TaskState
from ocicat.model.base import replace
from ocicat.model.codec import encode_json
from ocicat.store.base import Put

pytestmark = MARKS

LAB = "t-apps"
KEYS = Keys(DEFAULT_NAME)
LEASE_S = 2
APP = "/shop/web"
DEFINITION = {
    "id": APP,
    "cmd": SERVER,
    "instances": 3,
    "cpus": 0.05,
    "mem": 16,
    "ipAddress": {
        "networkName": "ocicat",
        "groups": ["public"],
        "labels": {"app": "web"},
        "discovery": {"ports": [{"number": PORT, "name": "http"}]},
    },
    "constraints": [["hostname", "GROUP_BY", "3"]],
    "healthChecks": [{"protocol": "TCP", "gracePeriodSeconds": 30, "intervalSeconds": 0.3, "timeoutSeconds": 2}],
    "upgradeStrategy": {"minimumHealthCapacity": 0.6, "maximumOverCapacity": 0},
    "backoffSeconds": 0.2,
}


@pytest.fixture(scope="module")
def user(lab):
    return User(lab)


class User:
    """At the shell of host h1, from where tasks can be reached."""

    def __init__(self, lab):
        self.lab = lab
        self._line = [
            *lab.enter("h1"),
            "env",
            f"OCICAT_STORE={lab.spec.store}",
            f"OCICAT_MASTER={lab.master}",
            sys.executable,
            "-m",
            "ocicat",
        ]

    def __call__(self, *words, stdin=""):
        done = subprocess.run([*self._line, *words], input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words, **more):
        return json.loads(self(*words, "-o", "json", **more))

    @contextmanager
    def resident(self):
        log = self.lab.spec.root / "logs" / "resident.log"
        with log.open("a") as said:
            process = subprocess.Popen([*self._line, "app", "run", "--lease", str(LEASE_S)], stderr=said)
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()

    def contents(self):
        return self.in_store(lambda store: read_all(store, KEYS, str))

    def scale(self, instances):
        self.in_store(lambda store: wishes.scale(store, KEYS, APP, instances))

    def put(self, key, record):
        self.in_store(lambda store: store.commit([], [Put(key, encode_json(record))]))

    def in_store(self, action):
        async def acted():
            async with opened(self.lab) as store:
                return await action(store)

        return asyncio.run(acted())

    def until(self, holds):
        until = time.monotonic() + PATIENCE_S
        while not holds(found := self.contents()):
            assert time.monotonic() < until, found
            time.sleep(0.05)
        return found

    def until_ready(self, number, *, but=()):
        """The instances, once there are so many, all of the version that is wanted and healthy, and none of `but`."""

        def holds(found):
            status = found.statuses.get(APP)
            return (
                status is not None
                and found.wanted[APP].version == status.version
                and (status.ready, status.old, len(found.tasks)) == (number, 0, number)
                and found.tasks.keys().isdisjoint(but)
            )

        return self.until(holds).tasks


@pytest.fixture(scope="module")
def running(user):
    """The application with three instances, and a leader."""
    with user.resident() as process:
        user("run", "-f", "-", "--detach", stdin=json.dumps(DEFINITION))
        user.until_ready(3)
        yield process


def definition(**more):
    return json.dumps(DEFINITION | more)


def executor_pids(lab):
    """Of every task's container, by the task's id."""
    found = {}
    for process in (entry for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        with suppress(OSError):
            environment = (process / "environ").read_bytes().split(b"\0")
            for task_id in (word[18:] for word in environment if word.startswith(b"MESOS_EXECUTOR_ID=")):
                found.setdefault(task_id.decode(), set()).add(int(process.name))
    return found


def test_a_dry_run_says_what_would_change_and_changes_nothing(user):
    (found,) = user.json("run", "-f", "-", "--dry-run", stdin=definition())
    assert (found["app"], found["change"], found["instances"]) == (APP, "new", 3)
    assert user.json("app", "list") == []


def test_three_instances_on_three_hosts_have_addresses_and_are_healthy(user, running):
    tasks = user.json("app", "show", APP)
    assert {task["place"]["hostname"] for task in tasks} == {"h1", "h2", "h3"}
    assert len({task["addresses"][0] for task in tasks}) == 3
    assert all(task["healthy"] and task["addresses"][0].startswith("10.77.") for task in tasks)
    (status,) = user.json("app", "list")
    assert (status["ready"], status["wanted"]) == (3, 3)


def test_an_instance_whose_process_dies_comes_back(user, running, lab):
    before = user.contents().tasks
    victim = min(before)
    for pid in executor_pids(lab)[victim]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    after = user.until_ready(3, but=[victim])
    assert len(before.keys() & after.keys()) == 2
    assert {task.place["hostname"] for task in after.values()} == {"h1", "h2", "h3"}


def test_it_scales_up_and_down_without_a_restart(user, running):
    three = user.until_ready(3).keys()
    user.scale(5)
    five = user.until_ready(5).keys()
    assert three < five
    user.scale(2)
    assert user.until_ready(2).keys() < five
    user.scale(3)
    user.until_ready(3)


async def watched(store, before, revision, version):
    """The numbers of healthy instances, revision by revision, until three of the version are."""
    healthy = {KEYS.task(task_id): task.version for task_id, task in before.items()}
    counts = []
    async with aclosing(store.watch(KEYS.tasks, revision + 1)) as batches:
        async for batch in batches:
            for event in batch.events:
                task = json.loads(event.value) if event.value else {}
                good = task.get("state") == TaskState.RUNNING and task.get("healthy")
                healthy[event.key] = task["version"] if good else None
            counts.append(sum(one is not None for one in healthy.values()))
            if list(healthy.values()).count(version) == 3:
                return counts
    return counts


def test_an_update_never_has_fewer_healthy_ones_than_it_may(user, running):
    before = user.until_ready(3)
    changed = definition(cmd=f"true; {SERVER}")

    async def update(store):
        revision = (await store.range(KEYS.tasks)).revision
        (found,) = await asyncio.to_thread(user.json, "run", "-f", "-", "--detach", stdin=changed)
        counts = await asyncio.wait_for(watched(store, before, revision, found["version"]), PATIENCE_S)
        return found, counts

    found, counts = user.in_store(update)
    assert (found["change"], found["fields"]) == ("replaced", ["command"])
    after = user.until_ready(3)
    assert before.keys().isdisjoint(after)
    assert min(counts) == 2  # of three: 0.6 and no more than three at a time


def test_an_instance_that_its_executor_finds_unhealthy_is_replaced(user, running, tmp_path):
    healthy = tmp_path / "healthy"
    check = {
        "protocol": "COMMAND",
        "command": {"value": f"test -f {healthy}"},
        "delaySeconds": 0,
        "gracePeriodSeconds": 30,
    }
    job = {
        "id": "/job",
        "cmd": f"touch {healthy}; exec sleep 600",
        "cpus": 0.05,
        "mem": 16,
        "portDefinitions": [],
        "healthChecks": [{**check, "intervalSeconds": 0.2, "maxConsecutiveFailures": 2}],
        "backoffSeconds": 0.1,
    }
    user("run", "-f", "-", "--detach", stdin=json.dumps(job))
    found = user.until(lambda found: "/job" in found.statuses and found.statuses["/job"].ready == 1)
    (first,) = [task_id for task_id, task in found.tasks.items() if task.app == "/job"]
    healthy.unlink()
    user.until(lambda found: first not in found.tasks and found.statuses["/job"].ready == 1)
    user.in_store(lambda store: wishes.remove(store, KEYS, "/job"))
    user.until(lambda found: "/job" not in found.statuses)


def test_a_leader_that_is_killed_is_followed_and_no_instance_restarts(user, running, lab):
    before = user.until_ready(3)
    processes = {task_id: executor_pids(lab)[task_id] for task_id in before}
    running.kill()
    running.wait()
    lost = replace(next(iter(before.values())), task_id="web.shop.lost", agent_id="", place={}, addresses=())
    user.put(KEYS.task(lost.task_id), lost)  # as if the leader had died just before it could tell Mesos
    with user.resident() as process:
        leader = json.dumps(process.pid).encode()
        user.until(lambda found: b'"pid":' + leader in found.leader)
        user.scale(4)
        after = user.until_ready(4)
        assert before.keys() < after.keys()
        assert {task_id: executor_pids(lab)[task_id] for task_id in before} == processes
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_S) == 0
    assert executor_pids(lab).keys() >= before.keys()


def test_what_is_removed_is_gone_for_good(user, running, lab):
    with user.resident():
        user("app", "remove", APP)
        user.until(lambda found: not found.tasks and not found.statuses and not found.versions)
    with on(lab, "master"):
        asyncio.run(until(lambda: clean(lab)))


async def clean(lab):
    return not await untouched(lab)


# --- others ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def pymesos():
    """Where pymesos can be imported from. One of its requirements, http-parser, has C that no Python since 3.11 compiles; the
    same package has the parser in Python too, which pymesos is written for as well."""
    folder = Path(sys.prefix) / "pymesos"
    if not (folder / "done").exists():
        try:
            fetch_pymesos(folder)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"pymesos cannot be fetched: {error.stderr.strip().splitlines()[-1:]}")
        (folder / "done").touch()
    return folder


def fetch_pymesos(folder):
    def pip(*words):
        line = [sys.executable, "-m", "pip", *words, "--no-deps", "--quiet"]
        subprocess.run(line, check=True, capture_output=True, text=True)

    pip(
        "install",
        "--no-build-isolation",
        "--upgrade",
        "--target",
        str(folder),
        "pymesos==0.3.15",
        "addict==2.4.0",
        "six",
    )
    with tempfile.TemporaryDirectory() as sources:
        pip("download", "--no-binary", "http-parser", "--dest", sources, "http-parser==0.9.0")
        (archive,) = Path(sources).glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            for member in packed:
                parts = Path(member.name).parts
                if parts[1:2] == ("http_parser",) and member.name.endswith(".py"):
                    target = folder.joinpath(*parts[1:])
                    target.parent.mkdir(exist_ok=True)
                    target.write_bytes(packed.extractfile(member).read())


def test_a_third_partys_scheduler_gets_an_address_for_its_task(lab, pymesos):
    script = Path(__file__).with_name("pymesos_scheduler.py")
    line = [*lab.enter("master"), "env", f"PYTHONPATH={pymesos}", sys.executable, str(script), lab.master, lab.network]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ended"] == "TASK_KILLED"
    (network,) = told["networks"]
    assert network["ip_addresses"][0]["ip_address"].startswith("10.77.")
    assert (network["name"], network["groups"]) == (lab.network, ["a"])
