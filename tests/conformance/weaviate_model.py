"""Indexes in a real Weaviate, each in collections of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import weaviate
from weaviate.classes.init import Auth

from memoir_server.adapters.index.weaviate import WeaviateAddress, WeaviateIndex
from stores.weaviate import Weaviate

_numbers = itertools.count(1)


def where(store: Weaviate) -> WeaviateAddress:
    address = store.address
    return WeaviateAddress(address.host, address.http_port, address.grpc_port, address.api_key)


@asynccontextmanager
async def opened(store: Weaviate, prefix: str, seconds: float = 30.0) -> AsyncIterator[WeaviateIndex]:
    index = WeaviateIndex(where(store), prefix=prefix, seconds=seconds)
    await index.open()
    try:
        yield index
    finally:
        await index.close()


@asynccontextmanager
async def plain_client(store: Weaviate) -> AsyncIterator[weaviate.WeaviateAsyncClient]:
    """The store as others see it."""
    address = store.address
    client = weaviate.use_async_with_custom(
        http_host=address.host,
        http_port=address.http_port,
        http_secure=False,
        grpc_host=address.host,
        grpc_port=address.grpc_port,
        grpc_secure=False,
        auth_credentials=Auth.api_key(address.api_key),
        skip_init_checks=True,
    )
    await client.connect()
    try:
        yield client
    finally:
        await client.close()


async def collections_of(store: Weaviate, prefix: str) -> list[str]:
    async with plain_client(store) as client:
        return sorted(name for name in await client.collections.list_all() if name.startswith(f"{prefix}_Entries_"))


def new_prefix() -> str:
    """Collections of a test's own."""
    return f"Test{next(_numbers)}"


@asynccontextmanager
async def opened_anew(store: Weaviate) -> AsyncIterator[WeaviateIndex]:
    """An empty index whose collections go with it."""
    prefix = new_prefix()
    async with opened(store, prefix) as index:
        yield index
    async with plain_client(store) as client:
        for name in await client.collections.list_all():
            if name.startswith(f"{prefix}_"):
                await client.collections.delete(name)
