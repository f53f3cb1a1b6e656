"""Whether an agent suits the constraints of a task, and which ports of the host it gets. PURE.

The constraints are Marathon's, and mean what they mean there. A place is what is known of an agent: its attributes and its
"hostname"; the kin of a task are the places of the tasks that its constraints compare it with.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ocicat.mesos.types import Constraint, HostPort, NetworkRequest, Offer, PortRange, TaskSpec
from ocicat.model.base import replace

Place = Mapping[str, str]

HOSTNAME = "hostname"
BREAKS = "breaks"  # as a constraint's refusal begins
OPERATORS = ("UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER")


def place_of(offer: Offer) -> Place:
    return {**offer.attributes, HOSTNAME: offer.hostname}


def constraint_problem(constraint: Constraint) -> str:
    """What is wrong with it; "" when nothing."""
    operator, value = constraint.operator, constraint.value
    if operator not in OPERATORS:
        return f"{operator!r} is no operator: there are {', '.join(OPERATORS)}"
    if operator in ("LIKE", "UNLIKE") and not _is_pattern(value):
        return f"{operator} takes a regular expression, and {value!r} is none"
    if (operator == "MAX_PER" or (operator == "GROUP_BY" and value)) and not (value.isdecimal() and int(value)):
        return f"{operator} takes a number, and {value!r} is none"
    return ""


def _is_pattern(text: str) -> bool:
    try:
        return bool(text and re.compile(text))
    except re.error:
        return False


def misfit(constraints: Sequence[Constraint], place: Place, kin: Sequence[Place]) -> str:
    """Why a task may not go there; "" when it may."""
    return next((why for one in constraints if (why := _misfit(one, place, kin))), "")


def _misfit(constraint: Constraint, place: Place, kin: Sequence[Place]) -> str:
    name, operator, wanted = constraint.field, constraint.operator, constraint.value
    value = place.get(name)
    if value is None:
        return "" if operator == "UNLIKE" else f"{BREAKS} {name} {operator}: it has no such attribute"
    others = Counter(other[name] for other in kin if name in other)
    match operator:
        case "CLUSTER":
            fits = value == wanted if wanted else others.keys() <= {value}
        case "LIKE":
            fits = re.fullmatch(wanted, value) is not None
        case "UNLIKE":
            fits = re.fullmatch(wanted, value) is None
        case "MAX_PER":
            fits = others[value] < int(wanted)
        case "GROUP_BY":
            fits = others[value] <= _fewest(others, int(wanted or 0))
        case _:  # UNIQUE
            fits = not others[value]
    return "" if fits else " ".join(filter(None, (BREAKS, name, operator, wanted)))


def _fewest(others: Counter[str], groups: int) -> int:
    """How many tasks the smallest of the groups has; those that nobody has been seen of count as empty."""
    return 0 if len(others) < groups else min(others.values(), default=0)


# --- ports ---------------------------------------------------------------------------------------------------------


def granted(wanted: Sequence[HostPort], free: Sequence[PortRange]) -> tuple[int, ...] | None:
    """A port for each that is wanted; None when the free ones do not do."""
    named = {port.number for port in wanted if port.number}
    others = (number for ports in free for number in ports.numbers() if number not in named)
    numbers = [port.number or next(others, 0) for port in wanted]
    complete = all(numbers) and len(set(numbers)) == len(numbers)
    return tuple(numbers) if complete and all(_is_free(number, free) for number in named) else None


def _is_free(number: int, free: Sequence[PortRange]) -> bool:
    return any(ports.first <= number <= ports.last for ports in free)


def without(free: Sequence[PortRange], taken: Sequence[int]) -> tuple[PortRange, ...]:
    """What is left of `free`."""
    left = tuple(free)
    for number in taken:
        left = tuple(piece for ports in left for piece in _split(ports, number))
    return left


def _split(ports: PortRange, number: int) -> Iterator[PortRange]:
    if not ports.first <= number <= ports.last:
        yield ports
        return
    if ports.first < number:
        yield PortRange(ports.first, number - 1)
    if number < ports.last:
        yield PortRange(number + 1, ports.last)


def settled(spec: TaskSpec, numbers: Sequence[int], hostname: str) -> TaskSpec:
    """`spec` with the ports it got in all places that name them; its command finds them in HOST, PORTS, PORT0 and PORT_<NAME>."""
    if not spec.host_ports:
        return spec
    dynamic = iter([number for port, number in zip(spec.host_ports, numbers, strict=True) if not port.number])
    ports = tuple(HostPort(number, port.name) for port, number in zip(spec.host_ports, numbers, strict=True))
    check = spec.health_check
    if check and check.port_index >= 0:
        check = replace(check, port=numbers[check.port_index])
    discovery = spec.discovery
    if discovery:
        found = tuple(one if one.number else replace(one, number=next(dynamic)) for one in discovery.ports)
        discovery = replace(discovery, ports=found)
    return replace(
        spec,
        host_ports=ports,
        network=_mapped(spec.network, numbers) if spec.network else None,
        environment={**_told(ports, hostname), **spec.environment},
        health_check=check,
        discovery=discovery,
    )


def _mapped(network: NetworkRequest, numbers: Sequence[int]) -> NetworkRequest:
    pairs = zip(network.port_mappings, numbers, strict=False)
    mapped = tuple(replace(one, host_port=number, container_port=one.container_port or number) for one, number in pairs)
    return replace(network, port_mappings=(*mapped, *network.port_mappings[len(mapped) :]))


def _told(ports: Sequence[HostPort], hostname: str) -> dict[str, str]:
    numbered = {f"PORT{index}": str(port.number) for index, port in enumerate(ports)}
    named = {f"PORT_{_variable(port.name)}": str(port.number) for port in ports if port.name}
    return {"HOST": hostname, "PORT": numbered["PORT0"], "PORTS": ",".join(numbered.values()), **numbered, **named}


def _variable(name: str) -> str:
    return re.sub(r"[^A-Z0-9_]", "_", name.upper())
