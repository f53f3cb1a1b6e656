"""Opening the datastore for one command of the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from ocicat.agent.config import DEFAULT_STORE
from ocicat.store.base import Datastore
from ocicat.store.open import open_store

T = TypeVar("T")

store_option = click.option(
    "--store", default=DEFAULT_STORE, envvar="OCICAT_STORE", show_default=True, help="URL of the datastore."
)


def with_store(url: str, action: Callable[[Datastore], Awaitable[T]]) -> T:
    """Runs `action` on the open store and closes it."""

    async def opened() -> T:
        store = await open_store(url)
        try:
            return await action(store)
        finally:
            await store.close()

    return asyncio.run(opened())
