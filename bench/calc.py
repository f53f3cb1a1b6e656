"""How fast the calculation graph is: `python bench/calc.py [ENDPOINTS] [GROUPS] [LOCAL] [POLICIES]`.

First a cluster of groups that each allow themselves and the next group: load, then endpoints that are renumbered, move between
groups, go and come, and a profile that is edited. Then a cluster of applications under policies, ten for each, every fourth with a
named port: load, endpoints that change, policies that are edited, one of which selects a tenth of all endpoints and every local
one. Prints one line for each; every figure includes decoding and a flush for each update.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from itertools import pairwise
from statistics import median
from time import perf_counter

from ocicat.calc import Graph
from ocicat.model import keys
from ocicat.model.net import Addr, Cidr
from ocicat.model.v3.kinds import KINDS
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


def member(index: int, apps: int, *, address: int, local: int, version: int = 0) -> Update:
    """An endpoint of an application. Every local one and a tenth of the others are wide."""
    labels = {"app": f"a{index % apps}", "wide": str(index < local or index % 10 == 0), "version": f"v{version}"}
    value = {
        "metadata": {"name": f"e{index}", "labels": labels},
        "spec": {
            "orchestrator": "mesos",
            "node": HOST if index < local else f"host{1 + index // HOST_SIZE}",
            "ipNetworks": [f"{Addr(4, address)}/32"],
            "interfaceName": f"oci{index}",
            "ports": [{"name": "http", "protocol": "TCP", "port": 8000 + index % 100}],
        },
    }
    return keys.workload("mesos", f"e{index}"), json.dumps(value).encode()


def policy(number: int, apps: int, *, selector: str = "", order: int = 0) -> Update:
    app = number % apps
    port = "http" if number % 4 == 0 else 80
    source = {"selector": f"app in {{'a{(app + 1) % apps}', 'a{(app + number // apps) % apps}'}}"}
    value = {
        "metadata": {"name": f"default.p{number}", "namespace": "mesos"},
        "spec": {
            "order": order or number % 7,
            "selector": selector or f"app == 'a{app}'",
            "ingress": [
                {"action": "Allow", "protocol": "TCP", "source": source, "destination": {"ports": [port]}},
                {"action": "Deny", "source": {"nets": ["192.0.2.0/24"]}},
            ],
            "egress": [{"action": "Allow", "destination": source}],
            "types": ["Ingress", "Egress"],
        },
    }
    return KINDS["NetworkPolicy"].key(f"default.p{number}", "mesos"), json.dumps(value).encode()


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
    took = [perf_counter()]
    for revision, (key, value) in enumerate(prepared, start=1):
        graph.update(key, value)
        if each:
            messages += said(graph, revision)
            took.append(perf_counter())
    if not each:
        messages = said(graph, revision)
        took.append(perf_counter())
    elapsed = took[-1] - took[0]
    steps_ms = sorted((after - before) * 1000 for before, after in pairwise(took))
    print(
        f"{what:44} {len(prepared):7} updates {elapsed * 1000:9.1f} ms {len(prepared) / elapsed:8.0f}/s {messages:7} messages"
        + (f"  each {median(steps_ms):6.2f} ms, at most {steps_ms[-1]:6.2f}" if each else "")
    )


def main(count: int = 10_000, groups: int = 200, local: int = 100, policies: int = 2_000) -> None:
    under_groups(count, groups, local)
    gc.collect()
    under_policies(count, policies, local)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'peak of the process, with its inputs':44} {peak_mib:7.1f} MiB")


def under_policies(count: int, policies: int, local: int) -> None:
    base, moved, apps = (10 << 24) + 1, (11 << 24) + 1, max(1, policies // 10)
    snapshot = [
        *(policy(number, apps) for number in range(policies)),
        *(member(index, apps, address=base + index, local=local) for index in range(count)),
    ]
    graph = loaded("load, under policies", snapshot)
    some = range(0, count, max(1, count // 20_000))
    renumbered = [member(index, apps, address=moved + index, local=local) for index in some]
    timed("endpoints get another address", graph, renumbered)
    relabelled = [member(index, apps, address=moved + index, local=local, version=1) for index in some]
    timed("endpoints get a label nobody asks for", graph, relabelled)
    regrouped = [member(index + 1, apps, address=moved + index, local=local) for index in some]
    pairs = zip(relabelled, regrouped, strict=True)
    timed("endpoints go to another application", graph, [(key, value) for (key, _), (_, value) in pairs])
    timed("local endpoints go", graph, [(key, None) for key, _ in snapshot[policies : policies + local]])
    timed("local endpoints come", graph, snapshot[policies : policies + local])
    wide = "wide == 'True'"
    timed("a policy selects all local ones, and no more", graph, [policy(7, apps, selector=wide), policy(7, apps)] * 10)
    graph.update(*policy(7, apps, selector=wide))
    timed("its order is edited", graph, [policy(7, apps, selector=wide, order=one % 3) for one in range(20)])
    edits = [rules_edited(policy(7, apps, selector=wide), f"wide == '{one % 2 == 0}'") for one in range(20)]
    timed("its peers are edited: a tenth, the others", graph, edits)
    timed("every policy is edited", graph, [policy(number, apps, order=9) for number in range(policies)])
    measure_memory(lambda: load(snapshot))


def rules_edited(update: Update, selector: str) -> Update:
    key, value = update
    resource = json.loads(value or b"")
    resource["spec"]["ingress"].append({"action": "Allow", "source": {"selector": selector}})
    return key, json.dumps(resource).encode()


def under_groups(count: int, groups: int, local: int) -> None:
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
    graph.in_sync()
    for key, value in snapshot:
        graph.update(key, value)
    graph.flush(1)
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
