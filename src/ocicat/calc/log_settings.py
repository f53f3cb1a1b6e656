"""How much Log rules may write, by FelixConfiguration. Pure.

Promise: what is no limit is passed over as if it were not there, and `problems` tells it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, cast

from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.wanted import LogLimit

_RATE = re.compile(r"(?P<rate>[1-9][0-9]{0,3})/(?P<per>second|minute|hour|day)")
_BURSTS = range(10_000)
_PASSED_OVER = "{} is passed over: {!r} is none ({})"


def limit(specs: Iterable[FelixConfigurationSpec]) -> LogLimit | None:
    """`specs`: the most special first. None: they write whatever they match."""
    given = list(specs)
    rate = next((found for spec in given if (found := _RATE.fullmatch(spec.log_action_rate_limit))), None)
    if rate is None:
        return None
    bursts = (spec.log_action_rate_limit_burst for spec in given)
    burst = next((found for found in bursts if found is not None and found in _BURSTS), None)
    return LogLimit(int(rate["rate"]), cast('Literal["second", "minute", "hour", "day"]', rate["per"]), burst)


def problems(spec: FelixConfigurationSpec) -> Iterable[str]:
    rate, burst = spec.log_action_rate_limit, spec.log_action_rate_limit_burst
    if rate and not _RATE.fullmatch(rate):
        yield _PASSED_OVER.format("logActionRateLimit", rate, "1 to 9999 per second, minute, hour or day: 10/minute")
    if burst is not None and burst not in _BURSTS:
        yield _PASSED_OVER.format("logActionRateLimitBurst", burst, "0 to 9999")
