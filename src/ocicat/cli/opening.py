"""Opening the datastore for one command of the command line, and reading what is in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from ocicat.cli.defaults import shared, store_url
from ocicat.cli.talk import say
from ocicat.errors import UserError
from ocicat.model.codec import decode_json
from ocicat.store.base import Datastore
from ocicat.store.open import open_store
from ocicat.store.schema import mark
from ocicat.store.schema.steps import CURRENT

T = TypeVar("T")

store_option = click.option(
    "--store",
    default=store_url,
    envvar="OCICAT_STORE",
    show_default=shared("store.url"),
    help="URL of the datastore.",
)


def with_store(
    url: str, action: Callable[[Datastore], Awaitable[T]], *, create: bool = False, any_schema: bool = False
) -> T:
    """Runs `action` on the open store and closes it. NotFound when there is none; `create` makes it instead.

    Refused when its schema is one that we must not work with; `any_schema`: what is done does not depend on it.
    """

    # What a task itself returns, asyncio puts into words at the end: seconds, for all endpoints of a cluster.
    results: list[T] = []

    async def opened() -> None:
        store = await open_store(url, create=create)
        try:
            if not any_schema:
                found = await store.get(mark.KEY)
                mark.check(found.value if found else None, CURRENT)
            results.append(await action(store))
        finally:
            await store.close()

    asyncio.run(opened())
    return results[0]


async def read_all(store: Datastore, prefix: str, wanted: type[T]) -> list[T]:
    """All objects under the prefix, in the order of their keys. One that cannot be read is told, and never hides the others."""
    found: list[T] = []
    for item in (await store.range(prefix)).items:
        try:
            found.append(decode_json(wanted, item.value, what=item.key))
        except UserError as error:
            say(f"left out: {error}")
    return found
