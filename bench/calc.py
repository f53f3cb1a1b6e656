"""How fast the calculation graph is: `python bench/calc.py [ENDPOINTS] [GROUPS] [LOCAL]`.

A cluster of groups that each allow themselves and the next group: load, then endpoints that are renumbered, move between groups,
go and come, and a profile that is edited. Prints one line for each; every figure includes decoding and a flush for each update.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from time import perf_counter

from ocicat.calc import Graph
from ocicat.model import keys
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import InSync, Revision

HOST = "host0"
HOST_SIZE = 100
Update = tuple[str, bytes | None]


def endpoint(index: int, group: int, *, address: int, local: int) -> Update:
    host = HOST if index < local else f"host{1 + index // HOST_SIZE}"
    value = {
        "metadata": {
            "name": f"e{index}",
            "labels": {
                "projectcalico.org/namespace": "mesos",
                "projectcalico.org/orchestrator": "mesos",
                "task": f"t{index}",
            },
        },
        "spec": {
            "orchestrator": "mesos",
            "node": host,
            "ipNetworks": [f"{Addr(4, address)}/32"],
            "profiles": [f"group{group}"],
            "interfaceName": f"oci{index}",
        },
    }
    return keys.workload("mesos", f"e{index}"), json.dumps(value).encode()


def profile(group: int, groups: int, *, label: str = "") -> Update:
    sources = [f"group == 'g{group}'", f"group == 'g{(group + 1) % groups}'"]
    value = {
        "metadata": {"name": f"group{group}"},
        "spec": {
            "ingress": [{"action": "Allow", "source": {"selector": source}} for source in sources],
            "egress": [{"action": "Allow"}],
            "labelsToApply": {"group": label or f"g{group}"},
        },
    }
    return keys.profile(f"group{group}"), json.dumps(value).encode()


def node(number: int) -> Update:
    value = {
        "metadata": {"name": f"host{number}"},
        "spec": {"bgp": {"ipv4Address": f"{Addr(4, (192 << 24) + number)}/8"}},
    }
    return keys.node(f"host{number}"), json.dumps(value).encode()


def block(number: int) -> Update:
    cidr = Cidr(4, (10 << 24) + number * 64, 26)
    value = {
        "cidr": str(cidr),
        "affinity": f"host:host{number // 2}",
        "allocations": [None] * 64,
        "unallocated": list(range(64)),
        "attributes": [],
    }
    return keys.block(cidr), json.dumps(value).encode()


def said(graph: Graph, revision: int) -> int:
    """How many messages of the next batch are about an object."""
    return sum(not isinstance(message, InSync | Revision) for message in graph.flush(revision))


def timed(what: str, graph: Graph, updates: Iterable[Update], *, each: bool = True) -> None:
    """`each`: with a flush after every update."""
    prepared, messages, revision = list(updates), 0, 0
    start = perf_counter()
    for revision, (key, value) in enumerate(prepared, start=1):
        graph.update(key, value)
        if each:
            messages += said(graph, revision)
    if not each:
        messages = said(graph, revision)
    elapsed = perf_counter() - start
    rate = len(prepared) / elapsed
    print(f"{what:44} {len(prepared):7} updates {elapsed * 1000:9.1f} ms {rate:10.0f} updates/s {messages:7} messages")


def main(count: int = 10_000, groups: int = 200, local: int = 100) -> None:
    base, moved = (10 << 24) + 1, (11 << 24) + 1
    hosts = count // HOST_SIZE + 1
    snapshot = [
        *(block(number) for number in range(2 * hosts)),
        *(node(number) for number in range(hosts)),
        *(profile(group, groups) for group in range(groups)),
        *(endpoint(index, index % groups, address=base + index, local=local) for index in range(count)),
    ]

    graph = loaded("load, keys in order", snapshot)
    renumbered = (endpoint(index, index % groups, address=moved + index, local=local) for index in range(count))
    timed("every endpoint gets another address", graph, renumbered)
    regrouped = (endpoint(index, (index + 1) % groups, address=moved + index, local=local) for index in range(count))
    timed("every endpoint goes to another group", graph, regrouped)
    gone = [(key, None) for key, _ in snapshot[-count:]]
    timed("every endpoint goes", graph, gone)
    timed("every endpoint comes", graph, snapshot[-count:])
    timed("one profile gives another label and back", graph, [profile(7, groups, label="x"), profile(7, groups)] * 10)
    timed("every block is written, nothing changes", graph, [block(number) for number in range(2 * hosts)])
    loaded("load, keys in reversed order", snapshot[::-1])
    measure_memory(lambda: load(snapshot))


def load(snapshot: list[Update]) -> Graph:
    graph = Graph(HOST)
    for key, value in snapshot:
        graph.update(key, value)
    return graph


def loaded(what: str, snapshot: list[Update]) -> Graph:
    graph = Graph(HOST)
    graph.in_sync()
    timed(what, graph, snapshot, each=False)
    return graph


def measure_memory(make: Callable[[], Graph]) -> None:
    gc.collect()
    tracemalloc.start()
    graph = make()
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{'memory of the loaded graph':44} {used / 1e6:7.1f} MB")
    del graph


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
