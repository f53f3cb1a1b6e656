"""Rules across the fields of Felix's settings. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ocicat.model.v3.felix import (
    FelixConfiguration,
    FelixConfigurationSpec,
    HealthTimeoutOverride,
    RouteTableIDRange,
    RouteTableRange,
)
from ocicat.validate.problem import Checks, Problem, on, problem

ROUTE_TABLE_MAX = 0xFFFFFFFF
ROUTE_TABLES_MAX = 0xFFFF
"""How many tables an agent may be given."""


def _selected(resource: FelixConfiguration) -> Iterator[Problem]:
    name = resource.metadata.name
    if resource.spec.node_selector and (name == "default" or name.startswith("node.")):
        yield problem(
            "spec.nodeSelector", resource.spec.node_selector, f"must not be set on {name!r}, which says whom it is for"
        )


def _route_tables(spec: FelixConfigurationSpec) -> Iterator[Problem]:
    if spec.route_table_range is not None and spec.route_table_ranges:
        yield problem("routeTableRange", spec.route_table_range, "cannot stand beside routeTableRanges: use the latter")
    count = sum(max(0, tables.max - tables.min + 1) for tables in spec.route_table_ranges)
    if count > ROUTE_TABLES_MAX:
        yield problem(
            "routeTableRanges", spec.route_table_ranges, f"name {count} tables, {ROUTE_TABLES_MAX} are allowed"
        )


def _old_range(tables: RouteTableRange) -> Iterator[Problem]:
    if not 1 <= tables.min <= tables.max <= 250:
        yield problem("", tables, "must be 1 <= min <= max <= 250")


def _table_range(tables: RouteTableIDRange) -> Iterator[Problem]:
    if not 1 <= tables.min <= tables.max <= ROUTE_TABLE_MAX:
        yield problem("", tables, f"must be 1 <= min <= max <= {ROUTE_TABLE_MAX}")


def _named(override: HealthTimeoutOverride) -> Iterator[Problem]:
    if not override.name:
        yield problem("name", None, "is missing: the component whose timeout it is")


RULES: Checks = dict(
    [
        on(FelixConfiguration, _selected),
        on(FelixConfigurationSpec, _route_tables),
        on(RouteTableRange, _old_range),
        on(RouteTableIDRange, _table_range),
        on(HealthTimeoutOverride, _named),
    ]
)
