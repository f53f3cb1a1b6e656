"""What an agent says of itself, with parts of it that fail or hang; and what it finds below the root of its host."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from ocicat.agent import telling as module
from ocicat.agent.hostroot import on_host
from ocicat.agent.presence import Presence
from ocicat.agent.status import AgentStatus
from ocicat.agent.telling import status
from ocicat.errors import Unavailable
from ocicat.model.codec import decode_json
from ocicat.store.memory import MemoryStore

ME = Presence(host="h1", version="9.9", pid=7, started="2026-01-31T12:00:00Z")


class Dataplane:
    def __init__(self, error=None, *, hangs=False):
        self.future = Future()
        if error:
            self.future.set_exception(error)
        elif not hangs:
            self.future.set_result(None)

    def answers(self):
        return self.future


class Away(MemoryStore):
    async def get(self, key):
        raise Unavailable("etcd does not answer")


class Hanging(MemoryStore):
    async def get(self, key):
        await asyncio.Event().wait()


def told(store=None, dataplane=None):
    return decode_json(AgentStatus, asyncio.run(status(ME, store or MemoryStore(), dataplane or Dataplane(), 3)))


def test_an_agent_that_is_well_says_who_it_is():
    assert told() == AgentStatus(host="h1", version="9.9", pid=7, started=ME.started, endpoints=3)


def test_what_fails_is_named_and_the_rest_is_said_all_the_same():
    found = told(Away(), Dataplane(Unavailable("nft failed")))
    assert (found.store, found.dataplane, found.endpoints) == ("etcd does not answer", "nft failed", 3)


def test_what_hangs_is_named_in_time(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    found = told(Hanging(), Dataplane(hangs=True))
    assert found.store.startswith("no answer")
    assert found.dataplane.startswith("no answer")


# --- the host's files -------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path):
    (tmp_path / "run/mesos").mkdir(parents=True)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "var/relative").symlink_to("../run/./mesos")
    (tmp_path / "out").symlink_to("../../../../etc")
    (tmp_path / "round").symlink_to("/round")
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("/run/mesos/ns", "/run/mesos/ns"),
        ("/var/run/mesos/ns", "/run/mesos/ns"),  # an absolute link would lead out of the root
        ("/var/relative/ns", "/run/mesos/ns"),
        ("//run/../run/./mesos//ns", "/run/mesos/ns"),
        ("/out/passwd", "/etc/passwd"),  # the host's, never ours
        ("/../../etc", "/etc"),
        ("/none/at/all", "/none/at/all"),
    ],
)
def test_a_path_of_the_host_leads_where_it_leads_there(root, asked, found):
    assert on_host(str(root), asked) == f"{root}{found}"
    assert on_host(f"{root}/", asked) == f"{root}{found}"


def test_a_link_to_itself_ends(root):
    assert on_host(str(root), "/round/ns") == f"{root}/round/ns"


@pytest.mark.parametrize("path", ["", "/proc/77/ns/net", "/run/netns/x"])
def test_what_is_the_agents_own_stays_as_it_is(root, path):
    assert on_host("/", path) == path
    if not path.startswith("/run"):
        assert on_host(str(root), path) == path
