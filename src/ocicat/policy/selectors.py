"""Which endpoints a policy or one side of a rule means: its several selectors made one. Pure.

Labels of a namespace reach its endpoints with the prefix `pcns.`, those of a service account with `pcsa.`, both through profiles.
Source: projectcalico/calico libcalico-go/lib/backend/syncersv1/updateprocessors. One difference, on purpose: Calico rewrites all()
and global() in the text, also within quoted values; here the syntax tree is rewritten.

Errors of all functions: SelectorError.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from ocicat.model.base import replace
from ocicat.model.v3.policy import EntityRule, GlobalNetworkPolicySpec, NetworkPolicySpec, ServiceAccountMatch
from ocicat.selector import Selector, ast, parse, parser

NAMESPACE = "projectcalico.org/namespace"
ORCHESTRATOR = "projectcalico.org/orchestrator"
SERVICE_ACCOUNT = "projectcalico.org/serviceaccount"
NAMESPACE_PREFIX = "pcns."
SERVICE_ACCOUNT_PREFIX = "pcsa."

_Rewrites = Mapping[type[ast.Node], ast.Node]
_NAMESPACED: _Rewrites = {ast.All: ast.Has(NAMESPACE)}
_NAMESPACES: _Rewrites = {ast.All: ast.Has(NAMESPACE), ast.Global: ast.Not(ast.Has(NAMESPACE))}
_WITH_ACCOUNT: _Rewrites = {ast.All: ast.Has(SERVICE_ACCOUNT)}


class Peers(NamedTuple):
    """`selector` None: any address; `not_selector` is only there without it."""

    selector: Selector | None
    not_selector: Selector | None


def of_policy(spec: NetworkPolicySpec, namespace: str) -> Selector:
    """The endpoints that a namespaced policy applies to: of its own namespace."""
    parts = [_written(spec.selector), _is(NAMESPACE, namespace)]
    return _parse(_all_of([*parts, _prefixed(spec.service_account_selector, SERVICE_ACCOUNT_PREFIX)]))


def of_global_policy(spec: GlobalNetworkPolicySpec) -> Selector:
    """With a namespaceSelector, all() anywhere in the whole means what has a namespace; likewise with service accounts."""
    text = _written(spec.selector)
    if spec.namespace_selector:
        text = _rewritten(_all_of([text, _prefixed(spec.namespace_selector, NAMESPACE_PREFIX)]), _NAMESPACED)
    if spec.service_account_selector:
        text = _rewritten(
            _all_of([text, _prefixed(spec.service_account_selector, SERVICE_ACCOUNT_PREFIX)]), _WITH_ACCOUNT
        )
    return _parse(text)


def of_side(entity: EntityRule, namespace: str) -> Peers:
    """The peers that one side of a rule means. `namespace` is that of the policy, or empty.

    In a namespaced policy any selector, a negative one too, is limited to that namespace, unless the rule has a namespaceSelector.
    """
    positive = _all_of([_accounts(entity.service_accounts), _written(entity.selector)])
    negative = _written(entity.not_selector)
    if entity.namespace_selector:
        namespaces = _rewritten(_prefixed(entity.namespace_selector, NAMESPACE_PREFIX), _NAMESPACES)
        positive = _all_of([namespaces, positive])
    elif namespace and (positive or negative):
        positive = _all_of([_is(NAMESPACE, namespace), positive])
    if not positive:
        return Peers(None, _parse(negative) if negative else None)
    return Peers(_parse(_all_of([positive, f"!({negative})"] if negative else [positive])), None)


def _accounts(match: ServiceAccountMatch | None) -> str:
    if match is None:
        return ""
    names = ", ".join(f'"{name}"' for name in match.names)
    named = f"{SERVICE_ACCOUNT} in {{{names}}}" if names else ""
    return _all_of([_prefixed(match.selector, SERVICE_ACCOUNT_PREFIX), named])


def _all_of(texts: list[str]) -> str:
    """The conjunction of those that say anything."""
    said = [text for text in texts if text]
    return said[0] if len(said) == 1 else " && ".join(f"({text})" for text in said)


def _is(label: str, value: str) -> str:
    return f'{label} == "{value}"'


@lru_cache(maxsize=16_384)
def _parse(text: str) -> Selector:
    return parse(text)


def _written(text: str) -> str:
    """Checked on its own, so that no unbalanced text can reach beyond its parentheses. Absent stays absent: it is not all()."""
    return ast.canonical(parser.parse(text)) if text else ""


def _prefixed(text: str, prefix: str) -> str:
    """Every label with the prefix."""
    return ast.canonical(_rewrite(parser.parse(text), prefix, {})) if text else ""


def _rewritten(text: str, rewrites: _Rewrites) -> str:
    return ast.canonical(_rewrite(parser.parse(text), "", rewrites))


def _rewrite(node: ast.Node, prefix: str, rewrites: _Rewrites) -> ast.Node:
    match node:
        case ast.And(operands) | ast.Or(operands):
            return type(node)(tuple(_rewrite(operand, prefix, rewrites) for operand in operands))
        case ast.Not(operand):
            inner = _rewrite(operand, prefix, rewrites)
            return inner.operand if isinstance(inner, ast.Not) else ast.Not(inner)
        case ast.All() | ast.Global():
            return rewrites.get(type(node), node)
        case _:
            return replace(node, label=prefix + node.label)
