"""The acceptance cases of the framework that Calico for Mesos was tested with (2015), as a table.

Sleepers run first; a pinger then asks each of `can` and `cannot` once, from a task of its own, on all of its addresses. `host`:
which of the hosts, 0 is the first. `static` and `automatic`: how many addresses of either kind a task asks for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    name: str
    host: int
    groups: tuple[str, ...] = ()
    static: int = 0
    automatic: int = 1
    can: tuple[str, ...] = ()
    cannot: tuple[str, ...] = ()
    networked: bool = True

    @property
    def pings(self):
        return bool(self.can or self.cannot)

    @property
    def addresses(self):
        return self.static + self.automatic


@dataclass(frozen=True)
class Case:
    """`executor`: the one of the original, "command" or "custom"; here it is that of the sleepers."""

    number: int
    title: str
    tasks: tuple[Task, ...]
    executor: str = "custom"

    def __str__(self):
        return f"{self.number} {self.title}"

    @property
    def sleepers(self):
        return [task for task in self.tasks if not task.pings]

    @property
    def pingers(self):
        return [task for task in self.tasks if task.pings]


def _opted_out(number, executor):
    tasks = (
        Task("sleeper", 0, networked=False),
        Task("here", 0, can=("sleeper",), networked=False),
        Task("there", 1, can=("sleeper",), networked=False),
    )
    return Case(number, f"tasks without a network talk ({executor} executor)", tasks, executor)


def _across(number, executor):
    tasks = (Task("sleeper", 0, ("a",)), Task("pinger", 1, ("a",), can=("sleeper",)))
    return Case(number, f"different hosts, same group ({executor} executor)", tasks, executor)


A, B, AB = ("a",), ("b",), ("a", "b")

CASES = (
    Case(1, "same host, same group", (Task("sleeper", 0, A), Task("pinger", 0, A, can=("sleeper",)))),
    Case(2, "same host, different groups", (Task("sleeper", 0, A), Task("pinger", 0, B, cannot=("sleeper",)))),
    _across(3, "custom"),
    _across(4, "command"),
    _opted_out(5, "custom"),
    _opted_out(6, "command"),
    Case(
        7,
        "a task in two groups reaches a task of each",
        (Task("in-a", 0, A), Task("in-b", 1, B), Task("pinger", 0, AB, can=("in-a", "in-b"))),
    ),
    Case(
        8,
        "a mesh of groups",
        (
            Task("in-a", 0, A),
            Task("in-b", 1, B),
            Task("in-ab", 0, AB),
            Task("from-a", 1, A, can=("in-a", "in-ab"), cannot=("in-b",)),
            Task("from-b", 0, B, can=("in-b", "in-ab"), cannot=("in-a",)),
            Task("from-ab", 1, AB, can=("in-a", "in-b", "in-ab")),
        ),
    ),
    Case(
        9,
        "several addresses, all answer",
        (
            Task("two", 0, A, automatic=2),
            Task("three", 1, A, automatic=3),
            Task("pinger", 0, A, automatic=2, can=("two", "three")),
        ),
    ),
    Case(
        10,
        "a static address beside automatic ones",
        (
            Task("more", 0, A, static=1, automatic=2),
            Task("one", 1, A, static=1),
            Task("pinger", 1, A, can=("more", "one")),
        ),
    ),
    Case(
        11,
        "static and automatic addresses, mixed",
        (Task("four", 0, A, static=2, automatic=2), Task("pinger", 1, A, static=2, automatic=2, can=("four",))),
    ),
)
