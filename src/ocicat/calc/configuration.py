"""What FelixConfiguration objects say, for this host and for any other; and what this host itself says, which goes before them.

Promise: `of(host)` is what `policy.settings` makes of the host's own object and `default`; for this host, of what it says itself
before both. What cannot be used is passed over, and is a problem of the object.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.calc import flow_log_settings, log_settings, nat_settings
from ocicat.calc.problems import Problem
from ocicat.calc.sequencer import Sequencer
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.v3.kinds import KINDS
from ocicat.model.wanted import HostSettings, OpenPort
from ocicat.policy.settings import OpenPort as ResolvedPort
from ocicat.policy.settings import Settings, setting_problems, settings

CONFIGURATIONS = KINDS["FelixConfiguration"].prefix()
THIS_HOST = "the settings of this host"
"""Stands for a key, where they have a problem."""

_DEFAULT = "default"
_OF_NODE = "node."
_PARTS = (nat_settings, flow_log_settings, log_settings)
_NOT_APPLIED = "only the objects default and node.HOST are applied"


class Configuration:
    __slots__ = ("_fault", "_host", "_local", "_own", "_problems", "_sequencer", "_settings", "_specs")

    def __init__(self, host: str, sequencer: Sequencer, local: FelixConfigurationSpec | None = None) -> None:
        self._host = host
        self._sequencer = sequencer
        self._local = local or FelixConfigurationSpec()
        self._fault = _texts(self._local)
        self._own = Settings()
        self._specs: dict[str, FelixConfigurationSpec] = {}  # by name
        self._settings: dict[str, Settings] = {}  # by the name of the most special object
        self._problems: dict[str, Problem] = {}  # likewise
        self._tell()

    def of(self, host: str) -> Settings:
        if host == self._host:
            return self._own
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

    def override(self, local: FelixConfigurationSpec) -> bool:
        """What this host says itself, from now on. Did anything change?"""
        if local == self._local:
            return False
        self._local, self._fault = local, _texts(local)
        self._tell()
        return True

    def overlay(self) -> list[FelixConfigurationSpec]:
        """What there is for our host, the most special first."""
        return [self._local, *self._overlay(_OF_NODE + self._host)]

    def flow_log_interval_s(self) -> float | None:
        """How often our host's flows are written; None: never."""
        return flow_log_settings.interval_s(self.overlay())

    def log_severity(self) -> str:
        """Of our host's agent, in Felix's words; empty: nobody says."""
        return next((spec.log_severity_screen for spec in self.overlay() if spec.log_severity_screen), "")

    def problems(self) -> Iterable[Problem]:
        yield from self._problems.values()
        if self._fault:
            yield Problem(THIS_HOST, self._fault)

    def _resolve(self, name: str) -> None:
        self._settings.pop(name, None)
        self._problems.pop(name, None)
        if name not in self._specs:
            return
        if name != _DEFAULT and not name.startswith(_OF_NODE):
            self._problems[name] = Problem(CONFIGURATIONS + name, _NOT_APPLIED)
            return
        self._settings[name] = settings(self._overlay(name))
        if texts := _texts(self._specs[name]):
            self._problems[name] = Problem(CONFIGURATIONS + name, texts)

    def _overlay(self, name: str) -> list[FelixConfigurationSpec]:
        """The most special first."""
        return [self._specs[one] for one in dict.fromkeys((name, _DEFAULT)) if one in self._specs]

    def _tell(self) -> None:
        found = self._own = settings(self.overlay())
        self._sequencer.settings(
            HostSettings(
                failsafe_inbound=_ports(found.failsafe_inbound),
                failsafe_outbound=_ports(found.failsafe_outbound),
                endpoint_to_host=found.endpoint_to_host,
                vxlan_port=found.vxlan_port,
                vxlan_from_workloads=found.vxlan_from_workloads,
                ipip_from_workloads=found.ipip_from_workloads,
                log_prefix=found.log_prefix,
                log_limit=log_settings.limit(self.overlay()),
                flow_logs=self.flow_log_interval_s() is not None,
                mark=found.mark,
            )
        )


def _texts(spec: FelixConfigurationSpec) -> str:
    parts = (setting_problems(spec), *(part.problems(spec) for part in _PARTS))
    return "; ".join(text for part in parts for text in part)


def _ports(ports: Iterable[ResolvedPort]) -> tuple[OpenPort, ...]:
    return tuple(OpenPort(one.protocol, one.port, one.net) for one in ports)
