"""What FelixConfiguration says about flow logs, for one host. Pure.

A field that the host's own object has goes before that of `default`. Promise: a value that cannot be used is passed over, as if it
were not there; `problems` tells it, and what flow logs of ours do not do. Nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ocicat.model.v3.felix import FelixConfigurationSpec

USUAL_INTERVAL_S = 300.0
_SHORTEST_S = 1.0
_LONGEST_S = 24 * 3600.0
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")  # as Go writes it
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def interval_s(specs: Iterable[FelixConfigurationSpec]) -> float | None:
    """How often flows are written; None: never. `specs` from the most special to the most general."""
    overlay = tuple(specs)
    switch = next((spec.flow_logs_local_reporter for spec in overlay if spec.flow_logs_local_reporter), "")
    if switch != "Enabled":
        return None
    intervals = (_seconds(spec.flow_logs_flush_interval or "") for spec in overlay)
    return next((found for found in intervals if found is not None), USUAL_INTERVAL_S)


def problems(spec: FelixConfigurationSpec) -> tuple[str, ...]:
    """What in one object is passed over, and why."""
    return tuple(_problems(spec))


def _problems(spec: FelixConfigurationSpec) -> Iterator[str]:
    if spec.flow_logs_local_reporter not in ("", "Enabled", "Disabled"):
        written = spec.flow_logs_local_reporter
        yield f"flowLogsLocalReporter is passed over: {written!r} is neither (Enabled or Disabled)"
    if spec.flow_logs_flush_interval and _seconds(spec.flow_logs_flush_interval) is None:
        written = spec.flow_logs_flush_interval
        yield f"flowLogsFlushInterval is passed over: {written!r} is no interval of 1s to 24h (for example 300s)"
    if spec.flow_logs_goldmane_server:
        yield "flowLogsGoldmaneServer is passed over: flows are written to a file of the host (see `ocicat flows`)"
    if spec.flow_logs_policy_evaluation_mode == "Continuous":
        yield "flowLogsPolicyEvaluationMode Continuous is passed over: flows are told as they were decided when they began"


def _seconds(text: str) -> float | None:
    """None: it is none, or not one that can be kept to."""
    if not _DURATION.fullmatch(text):
        return None
    found = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    return found if _SHORTEST_S <= found <= _LONGEST_S else None
