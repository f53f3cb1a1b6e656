"""The whole answer computed from the whole datastore by plain loops: slow, and nothing to go wrong in it."""

from __future__ import annotations

from functools import partial

from calc_mock import Picture, named_sets
from calc_world import HOST, Content

from ocicat.calc import records
from ocicat.calc.rules import resolve
from ocicat.errors import UserError
from ocicat.model import keys, wanted


def picture_of(content: Content) -> tuple[Picture, set[str]]:
    """What `HOST` should be asked for, and the keys that have a problem."""
    problems: set[str] = set()
    endpoints = _read(content, keys.WORKLOADS, partial(records.read_endpoint, HOST), problems)
    profiles = {
        keys.name_of(key): spec for key, spec in _read(content, keys.PROFILES, records.read_profile, problems).items()
    }
    nodes = {keys.name_of(key): found for key, found in _read(content, keys.NODES, records.read_node, problems).items()}
    blocks = _read(content, keys.BLOCKS, records.read_block, problems).values()

    picture = Picture()
    selectors = {}
    for key, found in endpoints.items():
        if found.interface is not None:
            picture.endpoints[key] = wanted.Endpoint(key, found.interface, found.addresses, found.profiles)
    for name in {name for found in picture.endpoints.values() for name in found.profiles} & profiles.keys():
        picture.profiles[name], named = _rules(name, profiles[name])
        selectors.update(named)
        if any(rule.problem for rule in (*picture.profiles[name].ingress, *picture.profiles[name].egress)):
            problems.add(keys.profile(name))
    for set_id, selector in selectors.items():
        matching = [found for found in endpoints.values() if selector.matches(_labels(found, profiles))]
        picture.sets[set_id] = {address for found in matching for address in found.addresses}
    picture.blocks.update(_routes(blocks, nodes))
    assert set(selectors) == {set_id for rules in picture.profiles.values() for set_id in named_sets(rules)}
    return picture, problems


def _read(content, prefix, read, problems):
    found = {}
    for key, value in content.items():
        if key.startswith(prefix):
            try:
                found[key] = read(key, value)
            except (UserError, ValueError, RecursionError):
                problems.add(key)
    return found


def _rules(name, spec):
    ingress, egress = [resolve(rule) for rule in spec.ingress], [resolve(rule) for rule in spec.egress]
    rules = wanted.ProfileRules(name, tuple(rule for rule, _ in ingress), tuple(rule for rule, _ in egress))
    return rules, {selector.uid: selector for _, named in (*ingress, *egress) for selector in named}


def _labels(endpoint, profiles):
    labels = dict(endpoint.labels)
    for name in endpoint.profiles:
        for label, value in profiles[name].labels_to_apply.items() if name in profiles else ():
            labels.setdefault(label, value)
    return labels


def _routes(blocks, nodes):
    for block in blocks:
        if block.host == HOST:
            yield block.cidr, wanted.LocalBlock(block.cidr)
        elif block.host in nodes:
            for address in nodes[block.host].addresses:
                if address.family == block.cidr.family:
                    yield block.cidr, wanted.RemoteBlock(block.cidr, address)
