"""The agent kept by Docker: started, replaced, stopped.

1. A new one that does not come to serve is removed, and the one before it is started again: its configuration is the operator's to
   mend, and the host is no worse off meanwhile.
2. Between the two the kernel stays as it is: containers notice nothing, and those that start wait for the new agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from ocicat.agent.status import AgentStatus
from ocicat.errors import NotFound, OcicatError, Refused
from ocicat.node import asking, engine, words
from ocicat.node.container import Asked, Plan, back, coming, former, plan

Tell = Callable[[str], None]


def planned(asked: Asked) -> Plan:
    """Errors: Unavailable (no engine), NotFound (no such image)."""
    names = (asked.name, former(asked.name), coming(asked.name))
    return plan(asked, engine.image_id(asked.image), engine.containers(names))


def pull(image: str) -> None:
    """Unless the engine has it. Refused."""
    try:
        engine.image_id(image)
    except NotFound:
        try:
            engine.run("pull", image, timeout_s=engine.PULL_S)
        except (NotFound, Refused) as error:
            hint = "build it with packaging/docker/build, or name one that can be had: --image"
            raise Refused(f"the engine has no image {image}, and cannot get it: {error.message}", hint=hint) from error


def carry_out(asked: Asked, what: Plan, socket: Path, patience_s: float, tell: Tell) -> AgentStatus:
    """The agent that serves now. Refused: it does not, `tell` has what it said, and what was there before is there again."""
    try:
        _do(what.steps)
        serving = asking.until_it_serves(socket, lambda: ended(asked.name), patience_s)
    except OcicatError as error:
        for line in engine.last_lines(asked.name):
            tell(line)
        _back(asked.name, what)
        again = "; the one before it runs again" if what.replaces else ""
        raise Refused(f"{error.message}{again}", hint=error.hint) from error
    _do(what.after)
    return serving


def stop(name: str) -> bool:
    """False: there was none. What is left over of a replacement goes too."""
    found = [each for each in (name, former(name), coming(name)) if engine.container(each)]
    for each in found:
        engine.run("stop", each)
        engine.run("rm", each)
    return bool(found)


def ended(name: str) -> str:
    """Why it will not serve; "" while it may."""
    found = engine.container(name)
    if found is None:
        return "its container is gone"
    if not found.restarts and found.state.status in {"running", "created"}:
        return ""
    # While it runs once more the engine does not tell by which status it has ended.
    status = engine.last_end(found) if found.running else found.state.exit_code
    return "it ended, and was started again" if status is None else words.ended(status)


def _back(name: str, what: Plan) -> None:
    """All of it, whatever fails."""
    here = engine.containers((name, former(name), coming(name)))
    for step in back(name, what, here.keys()):
        with suppress(OcicatError):
            engine.run(*step)


def _do(steps: Iterable[tuple[str, ...]]) -> None:
    for step in steps:
        engine.run(*step)
