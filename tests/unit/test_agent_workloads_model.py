"""Random sequences of ADD, DEL, CHECK and GC: what was attached stays as it is until its DEL, what failed leaves nothing, and
nothing is lost."""

from __future__ import annotations

import pytest
from agent_bed import request
from sequences_bed import ROUNDS, SEED, Sequences, played

from ocicat.agent.attachments import Attachments
from ocicat.model.base import Struct
from ocicat.model.net import Addr

CONTAINERS, INTERFACES, NETWORKS = ("c1", "c2", "c3"), ("eth0", "eth1"), ("n1", "n2")
STATIC = tuple(f"192.168.0.{n}" for n in range(4))


class Gc(Struct, frozen=True):
    network: str
    valid: frozenset[tuple[str, str]]


class Calls(Sequences):
    async def perform(self, call):
        workloads = self.one.workloads
        if isinstance(call, Gc):
            for each in self.stale(call):
                await workloads.delete(each)
            return None
        return await {"ADD": workloads.add, "DEL": workloads.delete, "CHECK": workloads.check}[call.command](call)

    def stale(self, call):
        return Attachments(self.one.allocator, self.one.local, lambda: None).stale(call.network, call.valid)

    def request(self):
        every = [(container, interface) for container in CONTAINERS for interface in INTERFACES]
        container, interface = self.random.choice(every)
        network = self.random.choice(NETWORKS)
        if self.random.random() < 0.05:
            return Gc(network, frozenset(self.random.sample(every, 4)))
        command = self.random.choices(("ADD", "DEL", "CHECK"), (5, 4, 1))[0]
        fields = {"args": {}} if self.random.random() < 0.5 else {}
        if self.random.random() < 0.3:
            fields["assign_ipv6"] = True
        elif self.random.random() < 0.2:
            fields["address"] = self.random.choice(STATIC)
        return request(command, container, interface, network, groups=("g",) if not fields else (), **fields)

    def concerns(self, call, handle):
        if isinstance(call, Gc):
            return handle in {f"{each.container_id}:{each.interface}" for each in self.stale(call)} | self.swept(call)
        return call.command != "CHECK" and handle == f"{call.container_id}:{call.interface}"

    def swept(self, call):
        """Whoever is not valid may be stale: of which network he is, and who asked for him, is not known once he is gone."""
        return {handle for handle in self.kept if tuple(handle.split(":")) not in call.valid}

    def check_success(self, call, found, before):
        now = self.owned()
        for handle in {*before, *now}:
            if not self.concerns(call, handle):
                assert now.get(handle, set()) == before.get(handle, set()), handle
        if isinstance(call, Gc):
            assert self.stale(call) == ()
            return
        handle = f"{call.container_id}:{call.interface}"
        match call.command:
            case "ADD":
                assert now[handle] == set(found.addresses)
                assert before.get(handle, now[handle]) == now[handle]  # what was there is given again
                assert {Addr.parse(str(one)) for one in call.wishes.addresses} <= now[handle]
            case "DEL":
                assert handle not in now

    def check_failure(self, call, before):
        if not isinstance(call, Gc) and call.command == "ADD":
            handle = f"{call.container_id}:{call.interface}"
            assert self.owned().get(handle) == before.get(handle)

    async def give_back(self):
        for container in CONTAINERS:
            for interface in INTERFACES:
                await self.one.workloads.delete(request("DEL", container, interface))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_what_is_attached_stays_until_its_del_and_nothing_is_lost(number):
    played(Calls(SEED + number), SEED + number)
