"""The agent's container: what Docker is told to make it, and to replace one by another. Pure.

1. It has of root's power what the agent's work needs, and no more: no `--privileged`, nothing of the host's file system but its own
   folders, its own root read-only.
2. It sees the host's network and the host's processes: what it sets up is the host's, and containers' namespaces are found through
   the host's first process (`agent.hostroot`).
3. A replaced one is kept until the new one serves, and comes back when that does not.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.settings.table import setting

SOCKET_VARIABLE = setting("agent.socket").variable
NAME = "ocicat-agent"
LABEL = "ocicat.node"  # on the container: a digest of all that it was made from

# Interfaces, routes, rules; port 53; entering namespaces; those of any user's process, by way of the host's first.
CAPABILITIES = ("NET_ADMIN", "NET_BIND_SERVICE", "SYS_ADMIN", "SYS_PTRACE")
# A profile of the host's for common containers forbids what the last two of these are for.
_SECURITY = ("no-new-privileges", "apparmor=unconfined", "label=disable")
_READ = ("/etc/ocicat",)
PLUGINS = "/run/docker/plugins"  # where the engine looks for the agent, if it is to serve Docker's own networks
_WRITTEN = ("/run/ocicat", "/var/lib/ocicat", "/var/log/ocicat", PLUGINS)


class Asked(Struct, frozen=True):
    """`arguments`: for `ocicat agent`; what it is not told there it reads from /etc/ocicat/ocicat.toml. `volumes`: further ones.
    `socket`: the agent's where the arguments name it, for the health check; "": the file does, for both."""

    image: str
    arguments: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    name: str = NAME
    socket: str = ""


class Present(Struct, frozen=True):
    """A container as it is. `image`: the id; `digest`: of what it was made from, "" if we did not make it."""

    image: str
    digest: str
    running: bool


class Plan(Struct, frozen=True):
    """Arguments of `docker`, one command each: `steps` in this order, and `after` when the agent serves. `makes`: a new container,
    in place of another one if `replaces`."""

    steps: tuple[tuple[str, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()
    makes: bool = False
    replaces: bool = False


def folders() -> dict[str, bool]:
    """Of the host, that every container of ours has; may it write there?"""
    return {**dict.fromkeys(_READ, False), **dict.fromkeys(_WRITTEN, True)}


def former(name: str) -> str:
    return f"{name}-former"


def coming(name: str) -> str:
    return f"{name}-next"


def check(asked: Asked) -> Asked:
    """The same, or a UserError."""
    for volume in asked.volumes:
        if not volume.startswith("/") or ":/" not in volume:
            raise UserError(
                f"volume {volume!r} is not HOST:CONTAINER with absolute paths", hint="/etc/mesos:/etc/mesos:ro"
            )
    return asked


def create(asked: Asked, name: str) -> tuple[str, ...]:
    """How the container is made, under that name."""
    return (
        "create",
        "--name",
        name,
        "--label",
        f"{LABEL}={digest(asked)}",
        *_options(asked),
        asked.image,
        *_command(asked),
    )


def digest(asked: Asked) -> str:
    """The same for all that is the same but the name."""
    return sha256("\0".join((*_options(asked), "", *_command(asked))).encode()).hexdigest()[:16]


def _options(asked: Asked) -> tuple[str, ...]:
    volumes = (*(f"{each}:{each}:ro" for each in _READ), *(f"{each}:{each}" for each in _WRITTEN), *asked.volumes)
    return (
        *("--network", "host", "--pid", "host", "--userns", "host"),
        *("--restart", "unless-stopped", "--stop-timeout", "30"),
        *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
        *(word for each in CAPABILITIES for word in ("--cap-add", each)),
        *(word for each in _SECURITY for word in ("--security-opt", each)),
        *(word for each in volumes for word in ("--volume", each)),
        *(("--env", f"{SOCKET_VARIABLE}={asked.socket}") if asked.socket else ()),
    )


def _command(asked: Asked) -> tuple[str, ...]:
    return ("agent", *asked.arguments)


def plan(asked: Asked, image: str, here: dict[str, Present]) -> Plan:
    """What makes the container that was asked for the one that runs. `image`: the id of its image, "" where that is not known;
    `here`: what there is under its name, `former` and `coming` of it. Nothing to do: an empty plan."""
    name, old, new = asked.name, former(asked.name), coming(asked.name)
    tidy: list[tuple[str, ...]] = [("rm", "--force", new)] if new in here else []
    now = here.get(name)
    if old in here and now and _is(now, asked, image):  # broken off at the end: the way back is left until it serves
        return Plan((*tidy, *_started(name, now)), after=_without(old), makes=True, replaces=True)
    if old in here and now and now.running:
        tidy += _without(old)
    elif old in here:  # broken off in between, or by one that does not run and that nobody wants any more
        tidy += [*(_without(name) if now else ()), ("rename", old, name)]
        now = here[old]
    if now is None:
        steps = (*tidy, create(asked, name), ("start", name))
        return Plan(steps, makes=True)
    if not _is(now, asked, image):
        return _replacing(asked, tidy)
    return Plan((*tidy, *_started(name, now)))


def _is(now: Present, asked: Asked, image: str) -> bool:
    return (now.digest, now.image) == (digest(asked), image)


def _started(name: str, now: Present) -> tuple[tuple[str, ...], ...]:
    return () if now.running else (("start", name),)


def _without(name: str) -> tuple[tuple[str, ...], ...]:
    return (("rm", "--force", name),)


def _replacing(asked: Asked, tidy: list[tuple[str, ...]]) -> Plan:
    name, old, new = asked.name, former(asked.name), coming(asked.name)
    return Plan(
        (*tidy, create(asked, new), ("stop", name), ("rename", name, old), ("rename", new, name), ("start", name)),
        after=_without(old),
        makes=True,
        replaces=True,
    )


def back(name: str, what: Plan, here: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """What undoes a plan that was broken off somewhere, or whose agent does not serve. `here`: the names that there are."""
    old, new = former(name), coming(name)
    if not what.makes:
        return ()
    if not what.replaces:
        return (("rm", "--force", name),) if name in here else ()
    if old in here:
        return (*([("rm", "--force", name)] if name in here else []), ("rename", old, name), ("start", name))
    return (*([("rm", "--force", new)] if new in here else []), ("start", name))
