"""A small cluster for tests of names, written as briefly as it can be."""

from __future__ import annotations

import struct

from ocicat.dns import names
from ocicat.dns.wire import Type
from ocicat.mesos.tasks import AgentSummary, Task
from ocicat.mesos.types import Discovery, DiscoveryPort, NetworkStatus, PortRange, TaskState
from ocicat.model.net import Addr

HOST, HOST2 = "172.30.0.1", "172.30.0.2"


def task(name="web", *addresses, network_labels=None, **fields):
    """Of framework "marathon", on agent S1 of h1; with `addresses` it has a network of its own, else its host's."""
    settings = {
        "id": f"{name}.1",
        "framework_id": "F-0000",
        "framework": "marathon",
        "agent_id": "0123-S1",
        "host": "h1",
        "host_address": HOST,
        "state": TaskState.RUNNING,
        "networks": (NetworkStatus("ocicat", (), network_labels or {}, addresses or (HOST,)),),
    }
    return Task(name=name, **(settings | fields))


def discovery(name="", *ports, visibility="CLUSTER"):
    """Ports as "80/tcp/http": the protocol and the name may be left out."""
    made = [(*port.split("/"), "", "")[:3] for port in ports]
    return Discovery(visibility, name, ports=tuple(DiscoveryPort(int(n), title, p) for n, p, title in made))


def ports(*ranges):
    return tuple(PortRange(first, last) for first, last in ranges)


def agent(id_="0123-S1", address=HOST, hostname="h1", *, active=True):
    return AgentSummary(id_, hostname, address, 5051, active, "1.11.0")


def shown(entries):
    """As lines of a zone file, without TTL and class: "web.marathon.mesos A 10.77.0.3"."""
    return sorted(f"{names.text(one.name)} {Type(one.type).name} {data_text(one.type, one.data)}" for one in entries)


def data_text(type_, data):
    if type_ in (Type.A, Type.AAAA):
        return str(Addr.unpack(data))
    if type_ == Type.SRV:
        return f"{names.text(data[6:])}:{struct.unpack('!3H', data[:6])[2]}"
    return names.text(data)
