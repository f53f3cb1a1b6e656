"""How long 100,000 workload endpoints take to decode and to validate, and how much memory they hold.

python bench/model.py [COUNT]
"""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr
from ocicat.model.v3.document import merged, parse
from ocicat.model.v3.endpoints import WorkloadEndpoint, WorkloadEndpointSpec
from ocicat.model.v3.metadata import Metadata
from ocicat.validate import validate

T = TypeVar("T")
HOSTS = 1000
FIRST = Addr.parse("10.0.0.0")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    texts = [encode_json(endpoint(number)) for number in range(count)]
    gc.collect()
    before = resident_mib()
    endpoints = timed("decode", count, lambda: [decode_json(WorkloadEndpoint, text) for text in texts])
    print(
        f"{'memory':10} {resident_mib() - before:8.1f} MiB for the decoded endpoints, {len(texts[0])} bytes of JSON each"
    )
    broken = timed("validate", count, lambda: sum(bool(validate(endpoint)) for endpoint in endpoints))
    assert broken == 0
    few = texts[: count // 10]
    documents = timed("parse", len(few), lambda: [parse(text) for text in few])
    timed("merge", len(few), lambda: [merged(document, document.resource) for document in documents])
    print(f"{'peak':10} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:8.1f} MiB of the whole process")


def endpoint(number: int) -> WorkloadEndpoint:
    host = f"host-{number % HOSTS}"
    container = f"{number:032x}"
    return WorkloadEndpoint(
        metadata=Metadata(
            name=f"{host.replace('-', '--')}-cni-{container}-eth0",
            namespace="mesos",
            uid=container,
            creation_timestamp="2026-01-02T03:04:05Z",
            labels={"role": f"role-{number % 50}", "mesos/framework": "marathon", "app": f"app-{number % 500}"},
        ),
        spec=WorkloadEndpointSpec(
            orchestrator="cni",
            node=host,
            container_id=container,
            endpoint="eth0",
            ip_networks=(f"{Addr(4, FIRST.value + number)}/32",),
            profiles=(f"group-{number % 50}",),
            interface_name=f"cali{number:011x}",
            mac="ee:ee:ee:ee:ee:ee",
        ),
    )


def timed(what: str, count: int, run: Callable[[], T]) -> T:
    start = time.perf_counter()
    result = run()
    took_s = time.perf_counter() - start
    print(f"{what:10} {took_s:8.2f} s for {count}, {took_s / count * 1e6:.1f} us each")
    return result


def resident_mib() -> float:
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - one line of the kernel's
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
