"""Random sequences of the network isolator module's steps: an address has one owner, who keeps it until he gives it back; and
nothing is lost."""

from __future__ import annotations

import pytest
from sequences_bed import ROUNDS, SEED, Sequences, played

from ocicat.agent import netmodules as module
from ocicat.mesos.netmodules.protocol import Allocate, Cleanup, Isolate, ReleaseAddresses, ReleaseOwner, Reserve
from ocicat.model.net import Addr

UIDS, CONTAINERS = ("u1", "u2", "u3", "u4"), ("c1", "c2", "c3", "c4")
STATIC = tuple(Addr.parse(f"192.168.0.{n}") for n in range(6))
OWNER = "net-modules::"


class Steps(Sequences):
    async def perform(self, request):
        return await self.net.perform(request)

    def request(self):
        uid, container = self.random.choice(UIDS), self.random.choice(CONTAINERS)
        owned = self.owned()
        mine = tuple(owned.get(OWNER + uid, ()))
        some = tuple(self.random.sample(STATIC, self.random.randint(1, 2)))
        others = tuple(address for addresses in owned.values() for address in addresses)
        stray = tuple(self.random.sample(others, min(2, len(others)))) or some
        return self.random.choices(
            (
                Reserve(uid, some),
                Allocate(uid, self.random.randint(0, 2), self.random.randint(0, 1)),
                Isolate(container, 7, mine or stray),
                Isolate(container, 7, stray),
                ReleaseAddresses(stray),
                ReleaseOwner(uid),
                Cleanup(container),
            ),
            (3, 4, 5, 1, 3, 1, 3),
        )[0]

    def concerns(self, request, handle):
        match request:
            case Reserve() | Allocate() | ReleaseOwner():
                return handle == OWNER + request.uid
            case Isolate():
                mine = handle == f"{request.container_id}:eth0"
                return mine or bool(self.kept.get(handle, set()) & set(request.addresses))
            case Cleanup():
                return handle == f"{request.container_id}:eth0"
            case ReleaseAddresses():
                return handle.startswith(OWNER) and bool(self.kept.get(handle, set()) & set(request.addresses))

    def check_success(self, request, found, before):
        now = self.owned()
        for handle in {*before, *now}:
            if not self.concerns(request, handle):
                assert now.get(handle, set()) == before.get(handle, set()), handle
        match request:
            case Reserve():
                assert set(request.addresses) <= now[OWNER + request.uid]
            case Allocate():
                assert sum(address.family == 4 for address in found) >= request.ipv4
                assert sum(address.family == 6 for address in found) >= request.ipv6
                assert set(found) <= now.get(OWNER + request.uid, set())
            case Isolate():
                assert now[f"{request.container_id}:eth0"] == set(request.addresses)
            case ReleaseAddresses():
                free = {a for handle, kept in now.items() if handle.startswith(OWNER) for a in kept}
                assert not free & set(request.addresses)
            case ReleaseOwner():
                assert OWNER + request.uid not in now
            case Cleanup():
                assert f"{request.container_id}:eth0" not in now

    async def give_back(self):
        for container in CONTAINERS:
            await self.net.perform(Cleanup(container))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_an_address_has_one_owner_who_keeps_it_and_nothing_is_lost(number, monkeypatch):
    monkeypatch.setattr(module, "_network_of", lambda pid: f"/proc/{pid}/ns/net")
    played(Steps(SEED + number), SEED + number)
