"""Addresses of stores."""

from __future__ import annotations

import asyncio

import pytest

from ocicat.errors import NotFound, Unavailable, UserError
from ocicat.store.open import open_store


def opened_url(url):
    async def scenario():
        store = await open_store(url)
        try:
            return (await store.status()).url
        finally:
            await store.close()

    return asyncio.run(scenario())


def test_memory():
    assert opened_url("memory://") == "memory://"


def test_sqlite(tmp_path):
    url = f"sqlite://{tmp_path}/a folder/100%#?.db"
    assert opened_url(url) == url
    assert (tmp_path / "a folder" / "100%#?.db").exists()


def test_etcd_that_is_not_there_is_named():
    with pytest.raises(
        Unavailable, match=r"store etcd://127\.0\.0\.1:1: no member of etcd answers: .*: connection refused"
    ):
        opened_url("etcd://127.0.0.1:1")


@pytest.mark.parametrize("url", ["", "/var/lib/store.db", "sqlite://store.db", "sqlite:", "http://x", "memory://x"])
def test_anything_else_is_answered_with_the_forms_there_are(url):
    with pytest.raises(UserError, match=r"is no address of a store \(use sqlite:///.* or memory://"):
        opened_url(url)


def test_an_existing_store_only(tmp_path):
    url = f"sqlite://{tmp_path}/a/store.db"
    with pytest.raises(NotFound, match=f"store {tmp_path}/a/store.db: there is no such file"):
        asyncio.run(open_store(url, create=False))
    assert not (tmp_path / "a").exists()
    opened_url(url)

    async def scenario():
        await (await open_store(url, create=False)).close()

    asyncio.run(scenario())


def test_an_existing_store_is_a_file(tmp_path):
    with pytest.raises(UserError, match="is not a file"):
        asyncio.run(open_store(f"sqlite://{tmp_path}", create=False))


def test_memory_is_always_new():
    async def scenario():
        await (await open_store("memory://", create=False)).close()

    asyncio.run(scenario())
