"""Control groups, mounts and directories that Mesos or ocicat cannot work with. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ocicat.changes.finding import Finding
from ocicat.host.facts.places import RUNTIME, Directory, Places
from ocicat.host.roles import Asked

_MIB = 1 << 20
_LEAST_FILES = 1000
_BY_ISOLATOR = {
    "cgroups/cpu": ("cpu", "cpuacct"),
    "cgroups/mem": ("memory",),
    "cgroups/devices": ("devices",),
    "cgroups/blkio": ("blkio",),
    "cgroups/pids": ("pids",),
    "cgroups/cpuset": ("cpuset",),
}


def findings(asked: Asked, places: Places, isolation: str) -> Iterator[Finding]:
    """`isolation`: of the Mesos agent, as configured."""
    if asked.runs_containers:
        yield from _cgroups(places, isolation)
    if places.mesos_apart:
        yield Finding(
            "mount-namespace",
            f"the Mesos agent runs in a mount namespace of its own, and what it mounts below {RUNTIME} is not seen outside",
            "the ocicat agent cannot enter the network namespaces of containers: no task joins a network",
            "take PrivateTmp=, ProtectSystem= and the like out of its unit, or set MountFlags=shared",
        )
    for one in places.directories:
        yield from _directory(one)


def _cgroups(places: Places, isolation: str) -> Iterator[Finding]:
    """Mesos (up to 1.11) knows version 1 only."""
    mounted = {option for one in places.mounts if one.kind == "cgroup" for option in one.options}
    unified = any(one.kind == "cgroup2" and one.at == "/sys/fs/cgroup" for one in places.mounts)
    wanted = {"freezer": "the Mesos agent's linux launcher, which holds and ends containers by it, does not start"} | {
        name: f"the Mesos agent does not start with the isolator {isolator}"
        for isolator, names in _BY_ISOLATOR.items()
        if isolator in isolation.split(",")
        for name in names
    }
    for name, breaks in wanted.items():
        if name not in mounted:
            mend = f"mkdir -p /sys/fs/cgroup/{name} && mount -t cgroup -o {name} {name} /sys/fs/cgroup/{name}"
            if unified and name != "freezer":  # version 2 has no freezer of this kind, but holds all others
                mend = "boot with systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1"
            yield Finding(
                "cgroups", f"no hierarchy of cgroup v1 has {name}", f"{breaks}, unless it can mount that itself", mend
            )


def _directory(one: Directory) -> Iterator[Finding]:
    if not one.writable:
        yield Finding(
            "directory",
            f"{one.path} lies on a file system that cannot be written",
            "what ocicat keeps there cannot be kept",
            "mount it for reading and writing",
        )
    elif one.free_bytes < one.wanted_bytes or one.free_files < _LEAST_FILES:
        left = (
            f"{one.free_bytes // _MIB} MiB" if one.free_bytes < one.wanted_bytes else f"room for {one.free_files} files"
        )
        yield Finding(
            "room",
            f"{left} left for {one.path}; {one.wanted_bytes // _MIB} MiB and {_LEAST_FILES} files are wanted",
            "what is written last is lost, and services that cannot write stop",
            "make room there",
        )
    if one.runs_programs and not one.executable:
        yield Finding(
            "directory",
            f"{one.path} lies on a file system that is mounted noexec",
            "Mesos cannot run the plugin there: no task joins a network",
            "mount it without noexec",
        )
    if one.open_to_all:
        yield Finding(
            "directory",
            f"{one.path} may be written by everybody",
            "any user of this host can replace the agent's socket or data by his own",
            f"chmod 755 {one.path} (or 700)",
        )
