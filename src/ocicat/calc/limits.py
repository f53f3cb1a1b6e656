"""An endpoint's QoSControls as limits that the kernel can be asked for.

Promise: what breaks a rule is passed over alone, and is a problem; the rest is in force. Pure.
"""

from __future__ import annotations

from typing import Literal

from ocicat.model.base import Struct, fields, replace
from ocicat.model.v3.endpoints import QoSControls
from ocicat.model.v3.numbers import dscp_value
from ocicat.model.wanted import Limits
from ocicat.validate import Problem, validate_part

_PATH = "spec.qosControls"


class Limited(Struct, frozen=True):
    ingress: Limits = Limits()
    egress: Limits = Limits()
    dscp: int | None = None
    problems: tuple[str, ...] = ()


UNLIMITED = Limited()


def limited(controls: QoSControls | None) -> Limited:
    if controls is None:
        return UNLIMITED
    faults = validate_part(controls, _PATH)
    sound = _without(controls, faults)
    return Limited(
        _side(sound, "ingress"),
        _side(sound, "egress"),
        None if sound.dscp is None else dscp_value(sound.dscp),
        tuple(f"{fault} (passed over)" for fault in faults),
    )


def _without(controls: QoSControls, faults: tuple[Problem, ...]) -> QoSControls:
    names = {fault.field.removeprefix(f"{_PATH}.") for fault in faults}
    unset = QoSControls()
    bad = {field.name: getattr(unset, field.name) for field in fields(QoSControls) if field.encode_name in names}
    return replace(controls, **bad)


def _side(controls: QoSControls, way: Literal["ingress", "egress"]) -> Limits:
    bandwidth, burst, peak, min_burst, packets, packet_burst, connections = (
        getattr(controls, f"{way}_{name}")
        for name in ("bandwidth", "burst", "peakrate", "minburst", "packet_rate", "packet_burst", "max_connections")
    )
    return Limits(bandwidth, burst, peak, min_burst, packets, packet_burst, connections)
