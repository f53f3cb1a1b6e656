"""Versions of Mesos, and what each of them has that matters here. Pure.

Source: apache/mesos, the CHANGELOG and src/slave/flags.cpp of the tags 0.24 to 1.11; mesosphere/net-modules, its branches.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ocicat.errors import Refused, UserError

_NUMBER = re.compile(r"(?:mesos )?v?(\d+)\.(\d+)(?:\.(\d+))?(?![\d.])")


class Version(NamedTuple):
    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return ".".join(map(str, self))

    @property
    def runs_plugins(self) -> bool:
        """Has the isolator network/cni; the versions before load the network isolator module."""
        return self >= (1, 0)

    @property
    def keeps_networks(self) -> bool:
        """Has --network_cni_root_dir_persist: after a reboot of the host its containers are detached all the same."""
        return self >= (1, 8)

    @property
    def has_network_info(self) -> bool:
        """Tasks, and so the agent's default for them, can ask for an address."""
        return self >= (0, 25)


def parse(text: str) -> Version:
    """Of `1.11.0`, or of what `mesos-agent --version` prints. UserError (no version), Refused (older than any that is served)."""
    found = _NUMBER.match(text.strip())
    if not found:
        raise UserError(f"{text.strip()[:60]!r} is not a version of Mesos", hint="for example --mesos-version 1.11.0")
    version = Version(*(int(part or 0) for part in found.groups()))
    if version < (0, 24):
        raise Refused(
            f"Mesos {version} has no network isolator that ocicat serves", hint="0.24 is the oldest that has one"
        )
    return version
