"""What the tests of `ocicat.resources` share: documents in few words, and a store that somebody else writes to."""

from __future__ import annotations

import asyncio
import json

import pytest
from ipam_bed import Meddled

from ocicat.clock import ManualClock
from ocicat.model.v3.document import parse
from ocicat.model.v3.kinds import KINDS
from ocicat.resources import Apply, Author, Create, Delete, Rejected, Replace, commit, get
from ocicat.store.base import Put

SHOP = "shop"
CREATED = "1970-01-12T13:46:40Z"  # what a manual clock says at the start


def run(coroutine):
    async def bounded():
        async with asyncio.timeout(20):
            return await coroutine

    return asyncio.run(bounded())


def manifest(kind, name, spec=None, *, namespace=None, **metadata):
    """As it comes from a file."""
    if namespace is None and KINDS[kind].namespaced:
        namespace = SHOP
    own = {"name": name, **({"namespace": namespace} if namespace else {})} | metadata
    return {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": own, "spec": spec or {}}


def doc(kind, name, spec=None, **metadata):
    return parse(manifest(kind, name, spec, **metadata))


def create(kind, name, spec=None, *, where="", skip_existing=False, **metadata):
    return Create(document=doc(kind, name, spec, **metadata), where=where, skip_existing=skip_existing)


def apply(kind, name, spec=None, *, where="", **metadata):
    return Apply(document=doc(kind, name, spec, **metadata), where=where)


def replace(kind, name, spec=None, **metadata):
    return Replace(document=doc(kind, name, spec, **metadata))


def delete(kind, name, **options):
    options.setdefault("namespace", SHOP if KINDS[kind].namespaced else "")
    return Delete(kind=KINDS[kind], name=name, **options)


def put(key, value):
    """What another tool writes."""
    return Put(key, value if isinstance(value, bytes) else json.dumps(value).encode())


class Bed:
    """A store with somebody else in it, and an author whose uids are u1, u2 ..."""

    def __init__(self):
        self.store = Meddled()
        self.uids = 0

    def _uid(self):
        self.uids += 1
        return f"u{self.uids}"

    async def commit(self, *changes, **options):
        return await commit(self.store, changes, author=Author(ManualClock(), self._uid), **options)

    async def rejected(self, *changes):
        """The reasons, one line each."""
        before = (await self.store.real.status()).revision
        lines = await self.rejected_late(*changes)
        assert (await self.store.real.status()).revision == before, "something was written"
        return lines

    async def rejected_late(self, *changes):
        """The same where somebody else writes in between."""
        with pytest.raises(Rejected) as caught:
            await self.commit(*changes)
        lines = [str(one) for one in caught.value.rejections]
        assert all("\n" not in line for line in [*lines, str(caught.value)])
        return lines

    async def raw(self, key):
        found = await self.store.get(key)
        return json.loads(found.value) if found else None

    async def get(self, kind, name):
        return await get(self.store, KINDS[kind], name, SHOP if KINDS[kind].namespaced else "")


def actions(outcomes):
    return [outcome.action for outcome in outcomes]
