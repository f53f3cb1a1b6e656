"""The limits that a task asks for: labels of its NetworkInfo, under the names that Calico gives annotations of pods. Pure.

They become the endpoint's `qosControls`, and not labels of it: what is in force may be changed later, by `ocicat patch`. Values are
quantities ("10M", "1.5Gi"), but for the DSCP. As in Calico two names of Kubernetes count too, where Calico's own are not given.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.cni.config import Label
from ocicat.errors import UserError
from ocicat.model.base import fields, replace
from ocicat.model.quantity import parse_quantity
from ocicat.model.v3.endpoints import QoSControls
from ocicat.model.v3.numbers import parse_dscp
from ocicat.validate import validate_part

_PREFIX = "qos.projectcalico.org/"
_KUBERNETES = {f"kubernetes.io/{way}-bandwidth": f"{_PREFIX}{way}Bandwidth" for way in ("ingress", "egress")}
_FIELDS = {f"{_PREFIX}{field.encode_name}": field.name for field in fields(QoSControls)}


def is_limit(key: str) -> bool:
    """Is it a label that says a limit, or tries to?"""
    return key.startswith(_PREFIX) or key in _KUBERNETES


def controls(labels: Iterable[Label]) -> QoSControls | None:
    """None if there is no limit. UserError names the label."""
    given = {label.key: label.value for label in labels if is_limit(label.key)}
    values = {_KUBERNETES[key]: text for key, text in given.items() if key in _KUBERNETES} | {
        key: text for key, text in given.items() if key not in _KUBERNETES
    }
    if not values:
        return None
    found = replace(QoSControls(), **{_field(key): _value(key, text) for key, text in values.items()})
    for problem in validate_part(found, ""):
        raise UserError(f"label {_PREFIX}{problem}")
    return found


def _field(key: str) -> str:
    if key not in _FIELDS:
        raise UserError(f"label {key}: there is no such limit", hint=f"there are {', '.join(_names())}")
    return _FIELDS[key]


def _names() -> Iterable[str]:
    return (key.removeprefix(_PREFIX) for key in _FIELDS)


def _value(key: str, text: str) -> int | str:
    if key.endswith("/dscp"):
        return parse_dscp(text)
    try:
        value = parse_quantity(text)
    except UserError as error:
        raise UserError(f"label {key}: {error.message}", hint=error.hint) from error
    if value <= 0:
        raise UserError(f"label {key} = {text!r}: must be greater than 0", hint="leave it out for no limit")
    return value
