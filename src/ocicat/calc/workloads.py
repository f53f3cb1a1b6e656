"""The way of workload endpoints into the graph: read under the settings of their host, and again when settings change.

Few depend on them: those that may send from other addresses. Their values are kept, to be read again.
"""

from __future__ import annotations

from collections.abc import Callable

from ocicat.calc.dispatcher import feed
from ocicat.calc.problems import Problem
from ocicat.calc.records import EndpointRecord, endpoint_record, parse_endpoint
from ocicat.policy.settings import Settings


class Workloads:
    """`settings_of` tells the settings of a host."""

    __slots__ = ("_dependent", "_feed", "_host", "_settings_of")

    def __init__(
        self,
        host: str,
        settings_of: Callable[[str], Settings],
        sink: Callable[[str, EndpointRecord | None], None],
    ) -> None:
        self._host = host
        self._settings_of = settings_of
        self._feed = feed(self._read, sink)
        self._dependent: dict[str, bytes] = {}

    def deliver(self, key: str, value: bytes | None) -> Problem | None:
        """A `dispatcher.Feed`."""
        self._dependent.pop(key, None)
        return self._feed(key, value)

    def dependent(self) -> tuple[tuple[str, bytes], ...]:
        """(key, value) of the endpoints that must be delivered again when settings have changed."""
        return tuple(self._dependent.items())

    def _read(self, key: str, value: bytes) -> EndpointRecord:
        endpoint = parse_endpoint(key, value)
        spec = endpoint.spec
        if spec.allow_spoofed_source_prefixes or spec.ip_nats:
            self._dependent[key] = value
        return endpoint_record(self._host, endpoint, self._settings_of(spec.node))
