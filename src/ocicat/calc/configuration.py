"""What FelixConfiguration objects say, for this host and for any other.

Promise: `of(host)` is what `policy.settings` makes of the host's own object and `default`. What cannot be used leaves Calico's
defaults in force, and is a problem of the object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ocicat.calc.problems import Problem
from ocicat.calc.sequencer import Sequencer
from ocicat.errors import UserError
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.v3.kinds import KINDS
from ocicat.model.wanted import HostSettings, OpenPort
from ocicat.policy.settings import OpenPort as ResolvedPort
from ocicat.policy.settings import Settings, settings

CONFIGURATIONS = KINDS["FelixConfiguration"].prefix()
_DEFAULT = "default"
_OF_NODE = "node."
_LOG_PREFIX = re.compile(r"[a-zA-Z0-9%: /_-]*")  # it becomes part of the ruleset's text
_LOG_PREFIX_HINT = "it may hold letters, digits, spaces and % : / _ -"
_NOT_APPLIED = "only the objects default and node.HOST are applied"


class Configuration:
    __slots__ = ("_host", "_problems", "_sequencer", "_settings", "_specs")

    def __init__(self, host: str, sequencer: Sequencer) -> None:
        self._host = host
        self._sequencer = sequencer
        self._specs: dict[str, FelixConfigurationSpec] = {}  # by name
        self._settings: dict[str, Settings] = {}  # by the name of the most special object
        self._problems: dict[str, Problem] = {}  # likewise
        self._tell()

    def of(self, host: str) -> Settings:
        return self._settings.get(_OF_NODE + host) or self._settings.get(_DEFAULT) or Settings()

    def set(self, name: str, spec: FelixConfigurationSpec | None) -> bool:
        """Did anything change, for any host?"""
        if spec == self._specs.get(name):
            return False
        if spec is None:
            del self._specs[name]
        else:
            self._specs[name] = spec
        for affected in list(self._specs) if name == _DEFAULT else []:
            self._resolve(affected)
        self._resolve(name)
        self._tell()
        return True

    def problems(self) -> Iterable[Problem]:
        return self._problems.values()

    def _resolve(self, name: str) -> None:
        self._settings.pop(name, None)
        self._problems.pop(name, None)
        if name not in self._specs:
            return
        if name != _DEFAULT and not name.startswith(_OF_NODE):
            self._problems[name] = Problem(CONFIGURATIONS + name, _NOT_APPLIED)
            return
        if not _LOG_PREFIX.fullmatch(self._specs[name].log_prefix):
            self._problems[name] = Problem(CONFIGURATIONS + name, f"logPrefix is passed over: {_LOG_PREFIX_HINT}")
        try:
            self._settings[name] = settings(self._overlay(name))
        except UserError as error:
            self._settings[name] = Settings()
            self._problems[name] = Problem(CONFIGURATIONS + name, f"Calico's defaults are used: {error}")

    def _overlay(self, name: str) -> list[FelixConfigurationSpec]:
        """The most special first."""
        return [self._specs[one] for one in dict.fromkeys((name, _DEFAULT)) if one in self._specs]

    def _tell(self) -> None:
        found = self.of(self._host)
        prefixes = [spec.log_prefix for spec in self._overlay(_OF_NODE + self._host)]
        usable = [prefix for prefix in prefixes if prefix and _LOG_PREFIX.fullmatch(prefix)]
        self._sequencer.settings(
            HostSettings(
                failsafe_inbound=_ports(found.failsafe_inbound),
                failsafe_outbound=_ports(found.failsafe_outbound),
                endpoint_to_host=found.endpoint_to_host,
                vxlan_port=found.vxlan_port,
                vxlan_from_workloads=found.vxlan_from_workloads,
                ipip_from_workloads=found.ipip_from_workloads,
                log_prefix=usable[0] if usable else HostSettings().log_prefix,
            )
        )


def _ports(ports: Iterable[ResolvedPort]) -> tuple[OpenPort, ...]:
    return tuple(OpenPort(one.protocol, one.port, one.net) for one in ports)
