"""Namespaces: entering, and coming back whatever happens; making and removing named ones, as iproute2 does."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from ocicat.errors import Bug, Conflict, NotFound, Refused, UserError
from ocicat.netlink import link, namespace
from ocicat.netlink.link import End
from ocicat.netlink.socket import RouteSocket

pytestmark = pytest.mark.netns


def here():
    """The network namespace of this thread."""
    return str(Path("/proc/thread-self/ns/net").readlink())


def where(path):
    return Path(path).stat().st_ino


@pytest.fixture
def ns():
    fd = namespace.unnamed()
    yield fd
    os.close(fd)


@pytest.fixture
def name():
    """A name with this process's number in it; those of processes that are no more were left by a crash."""
    for left in namespace.names():
        if left.startswith("oct-nl-") and not Path(f"/proc/{left.split('-')[2]}").exists():
            namespace.delete(left)
    name = f"oct-nl-{os.getpid()}"
    yield name
    if name in namespace.names():
        namespace.delete(name)


def test_inside_is_there_and_afterwards_here(ns):
    home = here()
    with namespace.inside(ns):
        assert here() == f"net:[{os.fstat(ns).st_ino}]"
    assert here() == home


def test_an_exception_inside_leaves_the_thread_at_home(ns):
    home = here()
    with pytest.raises(ZeroDivisionError), namespace.inside(ns):
        1 / 0  # noqa: B018 - the point is what it raises
    assert here() == home


def test_only_the_calling_thread_enters(ns):
    home = here()
    seen, entered, done = [], threading.Event(), threading.Event()

    def other():
        entered.wait(5)
        seen.append(here())
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with namespace.inside(ns):
        entered.set()
        assert done.wait(5)
    thread.join()
    assert seen == [home]


def lose_the_way_and_raise(ns, monkeypatch):
    with namespace.inside(ns):
        monkeypatch.setattr(namespace._libc, "setns", lambda *_: -1)
        raise KeyError("lost")


def test_a_thread_that_cannot_return_is_a_bug_even_when_something_else_went_wrong(ns, monkeypatch):
    with namespace.opened("/proc/thread-self/ns/net") as home:
        with pytest.raises(Bug, match="cannot return") as caught:
            lose_the_way_and_raise(ns, monkeypatch)
        monkeypatch.undo()
        assert namespace._libc.setns(home, 0) == 0
    assert isinstance(caught.value.__cause__, OSError)
    assert any(isinstance(e, KeyError) for e in chain(caught.value))


def chain(error):
    while error is not None:
        yield error
        error = error.__context__


def test_a_descriptor_that_is_no_namespace_is_refused(tmp_path):
    home = here()
    (tmp_path / "plain").touch()
    with namespace.opened(tmp_path / "plain") as fd, pytest.raises(Refused, match="plain file"), namespace.inside(fd):
        raise AssertionError("not to be reached")
    assert here() == home


@pytest.mark.parametrize("path", ["/run/netns/oct-nowhere", namespace.of_process(2**22 + 1)])
def test_a_namespace_that_is_not_there_is_not_found(path):
    with pytest.raises(NotFound, match="no network namespace"):
        namespace.open_namespace(path)


def test_a_socket_lives_where_it_was_opened(ns):
    with RouteSocket(ns) as there, RouteSocket() as at_home:
        there.request(link.create_bridge(End("oct-br")))
        assert there.get(link.get("oct-br")).kind == "bridge"
        assert "oct-br" not in [found.name for found in at_home.dump(link.dump())]


def test_a_named_namespace_is_that_of_iproute2(name):
    path = namespace.create(name)
    assert name in namespace.names()
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert name in listed.split()
    command = ["ip", "netns", "exec", name, "stat", "-Lc", "%i", "/proc/self/ns/net"]
    seen = subprocess.run(command, capture_output=True, check=True).stdout
    assert int(seen) == where(path) != where("/proc/self/ns/net")
    namespace.delete(name)
    assert name not in namespace.names()


def test_one_made_by_iproute2_is_removed(name):
    subprocess.run(["ip", "netns", "add", name], check=True)
    namespace.delete(name)
    assert name not in namespace.names()


def test_a_taken_name_is_a_conflict_and_stays(name):
    before = where(namespace.create(name))
    with pytest.raises(Conflict, match="already"):
        namespace.create(name)
    assert where(namespace.named(name)) == before


def test_removing_what_is_not_there_is_not_found(name):
    with pytest.raises(NotFound):
        namespace.delete(name)


def test_a_name_whose_namespace_a_crash_kept_from_being_made_can_be_removed(name):
    namespace.create(name)
    namespace.delete(name)
    namespace.named(name).touch()
    namespace.delete(name)
    assert name not in namespace.names()


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a\0b"])
def test_a_name_that_is_no_file_name_is_refused(bad):
    with pytest.raises(UserError, match="not a name"):
        namespace.named(bad)


def test_making_many_at_once_is_safe(name):
    made = [f"{name}-{i}" for i in range(8)]
    threads = [threading.Thread(target=namespace.create, args=(one,)) for one in made]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({where(namespace.named(one)) for one in made}) == 8
    finally:
        for one in set(made) & set(namespace.names()):
            namespace.delete(one)


def test_making_one_leaves_the_caller_at_home_and_no_thread_behind():
    home, before = here(), threading.active_count()
    os.close(namespace.unnamed())
    assert here() == home
    assert threading.active_count() == before
