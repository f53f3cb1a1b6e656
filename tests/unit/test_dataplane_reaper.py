"""What the reaper does first, and what it makes of failures. Nothing here touches the kernel."""

import threading

import pytest

from ocicat.dataplane import reaper
from ocicat.dataplane.ownership import detached_addresses, detached_alias, is_detached
from ocicat.dataplane.reaper import Freed, Grave, Reaper
from ocicat.errors import Unavailable

GRAVE, FREED = Grave(7, "ocia"), Freed(bytes([10, 65, 0, 2]))


def reap(monkeypatch, work, items):
    """The ends that were told, in order, with `work` in place of the kernel's."""
    monkeypatch.setattr(reaper, "_reap", work)
    ends = []
    done = threading.Event()

    def ended(end):
        ends.append((end.item, end.text))
        if len(ends) == len(items):
            done.set()

    it = Reaper(ended)
    for item in items:
        it.put(item)
    it.start()
    assert done.wait(5)
    it.stop(5)
    return ends


def test_flows_are_cut_before_interfaces_are_deleted(monkeypatch):
    assert reap(monkeypatch, lambda item: (), [GRAVE, FREED]) == [(FREED, ""), (GRAVE, "")]


@pytest.mark.parametrize(
    ("error", "text"), [(Unavailable("no answer"), "no answer"), (ValueError("as planned"), "ValueError: as planned")]
)
def test_a_failure_is_told_and_the_next_item_goes_on(monkeypatch, caplog, error, text):
    def work(item):
        if item == FREED:
            raise error
        return ()

    assert reap(monkeypatch, work, [FREED, GRAVE]) == [(FREED, text), (GRAVE, "")]


def test_a_dying_interface_names_its_addresses():
    addresses = [bytes([10, 65, 0, 2]), b"\xfd" * 16]
    alias = detached_alias(addresses * 9)
    assert is_detached(alias)
    assert not is_detached("/calico/resources/v3/x")
    assert len(alias) < 256
    assert detached_addresses(alias)[:2] == addresses
    assert detached_addresses(alias + " nonsense 1.2.3") == detached_addresses(alias)
