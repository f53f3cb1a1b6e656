"""Addresses of stores."""

from __future__ import annotations

import asyncio

import pytest

from ocicat.errors import Refused, UserError
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


def test_etcd_says_that_it_is_not_built_yet():
    with pytest.raises(Refused, match=r"store etcd://10\.0\.0\.1:2379: etcd is not built yet"):
        opened_url("etcd://10.0.0.1:2379")


@pytest.mark.parametrize("url", ["", "/var/lib/store.db", "sqlite://store.db", "sqlite:", "http://x", "memory://x"])
def test_anything_else_is_answered_with_the_forms_there_are(url):
    with pytest.raises(UserError, match=r"is no address of a store \(use sqlite:///.* or memory://"):
        opened_url(url)
