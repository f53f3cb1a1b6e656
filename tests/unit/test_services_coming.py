"""How long a member is waited for: by the clock, and by who else is there."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner
from test_services_spec import service

from ocicat.cli.commands.services_health import health as health_command
from ocicat.cli.services_options import Patience, await_all, patience_options
from ocicat.clock import ManualClock
from ocicat.errors import Refused, Unavailable
from ocicat.services import bring
from ocicat.services.bring import ELECTED_IN_S, Coming
from ocicat.services.health import MemberHealth
from ocicat.services.running import Running
from ocicat.services.spec import Service

OTHERS = ["h1", "h3"]


class World:
    """What the member and its hosts answer; `asked`: when the other members were."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.serves, self.missing, self.asked = ManualClock(), False, OTHERS, []
        self.told: list[str] = []
        monkeypatch.setattr(bring.health, "ask", lambda service, member: self._health())
        monkeypatch.setattr(bring.running, "look", lambda service: Running(is_running=True, state="running"))
        monkeypatch.setattr(bring.running, "log_end", lambda service: "")
        monkeypatch.setattr(bring, "absent", self._absent)

    def _health(self) -> MemberHealth:
        return MemberHealth(member="h2", endpoint="", problem="" if self.serves else "no leader")

    def _absent(self, _: object) -> list[str]:
        self.asked.append(self.clock.monotonic())
        return list(self.missing)

    def coming(self, timeout_s: float = 60.0, **more: object) -> Coming:
        return Coming(service("etcd"), self.clock, timeout_s, patient=True, tell=self.told.append, **more)  # type: ignore[arg-type]

    def until(self, coming: Coming, end_s: float) -> bring.Outcome | None:
        while self.clock.monotonic() < end_s:
            if outcome := coming.look():
                return outcome
            self.clock.advance(0.1)
        return None


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_majority_that_comes_late_has_time_to_elect_a_leader(world: World) -> None:
    coming = world.coming()
    assert world.until(coming, 59.5) is None
    world.missing = ["h3"]
    assert world.until(coming, 70.0) is None
    world.serves = True
    assert world.until(coming, 71.0) == "serves"


def test_and_not_for_ever(world: World) -> None:
    coming = world.coming()
    world.until(coming, 59.5)
    world.missing = ["h3"]
    with pytest.raises(Refused, match="does not serve within 60 s, nor 15 s after a majority came: no leader"):
        world.until(coming, 60.0 + ELECTED_IN_S + 1)


def test_who_comes_and_goes_does_not_make_it_longer(world: World) -> None:
    coming = world.coming()
    for end_s in range(4, 100, 4):
        world.missing = ["h3"] if end_s % 8 else OTHERS
        try:
            if world.until(coming, float(end_s)):
                break
        except Refused:
            break
    assert 60 < world.clock.monotonic() <= 60 + ELECTED_IN_S + 0.2


def test_a_majority_that_is_there_from_the_beginning_gets_what_was_asked_for(world: World) -> None:
    world.missing = []
    with pytest.raises(Refused, match="does not serve within 5 s: no leader"):
        world.until(world.coming(5.0), 6.0)


def test_without_a_majority_it_ends_in_time(world: World) -> None:
    assert world.until(world.coming(5.0), 6.0) == "waits for a majority"
    (told,) = world.told
    assert told.startswith(
        "etcd h2 runs, and waits for a majority of its members: run the same command on h1, h3 (1 of"
    )


def test_the_others_are_not_asked_at_every_look(world: World) -> None:
    world.until(world.coming(), 60.0)
    assert len(world.asked) <= 31
    assert all(later - earlier >= 1.8 for earlier, later in zip(world.asked, world.asked[1:], strict=False))


def test_who_cannot_be_closed_now_is_closed_a_little_later(world: World) -> None:
    world.serves = True
    tries: list[float] = []

    def served(_: object) -> None:
        tries.append(world.clock.monotonic())
        if len(tries) < 5:
            raise Unavailable("no leader now")

    assert world.until(world.coming(served=served), 60.0) == "serves"
    assert len(tries) == 5
    tries.clear()
    with pytest.raises(Unavailable):
        world.until(world.coming(served=_never), 60.0)


def test_one_is_served_while_another_one_is_waited_for_and_all_errors_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[str] = []

    def ask(one: Service, _: object) -> MemberHealth:
        if one.service == "zookeeper" and served:
            raise Refused("zookeeper is broken")
        return MemberHealth(member="h2", endpoint="", problem="no leader" if one.service == "zookeeper" else "")

    def serve(one: Service) -> None:
        served.append(one.service)
        raise Refused("etcd takes no password")

    monkeypatch.setattr(bring.health, "ask", ask)
    monkeypatch.setattr(bring.running, "look", lambda service: Running(is_running=True, state="running"))
    with pytest.raises(Refused, match="etcd takes no password"):
        await_all([service("zookeeper"), service("etcd")], Patience(60.0), serve)
    assert "zookeeper is broken" in capsys.readouterr().err


def _never(_: object) -> None:
    raise Unavailable("no leader now")


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "x"])
@pytest.mark.parametrize("make", [lambda: health_command, lambda: _waiting])
def test_a_time_that_has_no_end_is_refused(make: Callable[[], click.Command], seconds: str) -> None:
    done = CliRunner().invoke(make(), ["--wait", seconds])
    assert done.exit_code == 2
    assert "--wait" in done.output


@click.command()
@patience_options
def _waiting(**_: object) -> None:
    """Takes --wait as `up` does."""
