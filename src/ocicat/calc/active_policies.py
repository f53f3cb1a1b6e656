"""Which profiles this host needs: those that its own endpoints name.

Promise: downstream sees exactly the profiles that exist *and* are named by a local endpoint, each with its newest rules. A
profile that is named and does not exist is not there: the dataplane denies what would have asked it.
"""

from __future__ import annotations

from collections import defaultdict

from ocicat.calc.rule_scan import RuleScanner
from ocicat.model.resources import ProfileSpec


class ActivePolicies:
    __slots__ = ("_named_by", "_profiles", "_profiles_of", "_scanner")

    def __init__(self, scanner: RuleScanner) -> None:
        self._scanner = scanner
        self._profiles: dict[str, ProfileSpec] = {}  # every one of the datastore
        self._profiles_of: dict[str, tuple[str, ...]] = {}  # of each local endpoint
        self._named_by: defaultdict[str, set[str]] = defaultdict(set)  # profile -> local endpoints

    def set_profile(self, name: str, profile: ProfileSpec | None) -> None:
        if profile is None:
            self._profiles.pop(name, None)
        else:
            self._profiles[name] = profile
        if name in self._named_by:
            self._scanner.scan(name, profile)

    def set_endpoint(self, key: str, profiles: tuple[str, ...]) -> None:
        """A local endpoint names these; none: it names nothing any more, or is no local endpoint."""
        before = self._profiles_of.get(key, ())
        if profiles == before:
            return
        if profiles:
            self._profiles_of[key] = profiles
        else:
            del self._profiles_of[key]
        for name in profiles:
            self._name(name, key)
        for name in set(before).difference(profiles):
            self._unname(name, key)

    def _name(self, name: str, key: str) -> None:
        endpoints = self._named_by[name]
        if not endpoints:
            self._scanner.scan(name, self._profiles.get(name))
        endpoints.add(key)

    def _unname(self, name: str, key: str) -> None:
        endpoints = self._named_by[name]
        endpoints.remove(key)
        if not endpoints:
            del self._named_by[name]
            self._scanner.scan(name, None)
