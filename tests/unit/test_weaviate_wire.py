"""Questions to Weaviate's gRPC interface: what is asked again, and what failures mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import grpc
import pytest
from weaviate.proto.v1 import search_get_pb2, weaviate_pb2_grpc

from memoir_server.adapters.index.weaviate.connection import NothingThere, WeaviateRefused, meaning
from memoir_server.adapters.index.weaviate.wire import Wire, searching
from memoir_server.domain.errors import StoreUnavailable

Context: TypeAlias = "grpc.aio.ServicerContext[search_get_pb2.SearchRequest, search_get_pb2.SearchReply]"
REQUEST = searching("Things", "ns", condition=None, limit=1, properties=["columns"])


class Store(weaviate_pb2_grpc.WeaviateServicer):
    """Says what it is told to, one thing after the other, and then answers."""

    def __init__(self, *says: grpc.StatusCode) -> None:
        self.says = list(says)
        self.asked: list[tuple[str, str]] = []

    async def Search(  # noqa: N802  # the contract's name
        self, request: search_get_pb2.SearchRequest, context: Context
    ) -> search_get_pb2.SearchReply:
        self.asked.append((request.collection, request.tenant))
        if self.says:
            await context.abort(self.says.pop(0), "tenant not found")
        return search_get_pb2.SearchReply(took=1.0)


@asynccontextmanager
async def asking(store: Store, seconds: float = 10.0) -> AsyncIterator[Wire]:
    server = grpc.aio.server()
    weaviate_pb2_grpc.add_WeaviateServicer_to_server(store, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    wire = Wire(f"127.0.0.1:{port}", api_key="key", secure=False, options=(), seconds=seconds)
    try:
        yield wire
    finally:
        await wire.close()
        await server.stop(0)


async def test_a_connection_that_broke_is_asked_once_more() -> None:
    store = Store(grpc.StatusCode.UNAVAILABLE)
    async with asking(store) as wire:
        assert (await wire.search(REQUEST)).took == 1.0
    assert store.asked == [("Things", "ns")] * 2


@pytest.mark.parametrize(
    ("says", "times"),
    [((grpc.StatusCode.UNAVAILABLE,) * 2, 2), ((grpc.StatusCode.UNKNOWN,), 1), ((grpc.StatusCode.UNAUTHENTICATED,), 1)],
)
async def test_other_failures_are_told(says: tuple[grpc.StatusCode, ...], times: int) -> None:
    store = Store(*says)
    async with asking(store) as wire:
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await wire.search(REQUEST)
    assert told.value.code() is says[-1]
    assert len(store.asked) == times


async def test_nobody_who_answers_is_waited_for_no_longer_than_said() -> None:
    wire = Wire("127.0.0.1:1", api_key="", secure=False, options=(), seconds=0.2)
    async with asyncio.timeout(20):
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await wire.search(REQUEST)
    assert isinstance(meaning(told.value), StoreUnavailable)
    await wire.close()


async def test_a_closed_channel_is_an_outage() -> None:
    async with asking(Store()) as wire:
        await wire.close()
        with pytest.raises(grpc.aio.UsageError) as told:
            await wire.search(REQUEST)
    assert isinstance(meaning(told.value), StoreUnavailable)


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (grpc.StatusCode.UNKNOWN, "could not find class Things in schema", NothingThere),
        (grpc.StatusCode.UNKNOWN, "tenant not found: ns", NothingThere),
        (grpc.StatusCode.UNKNOWN, "no such property", WeaviateRefused),
        (grpc.StatusCode.INTERNAL, "store is read-only", StoreUnavailable),
        (grpc.StatusCode.UNAUTHENTICATED, "wrong key", StoreUnavailable),
        (grpc.StatusCode.PERMISSION_DENIED, "not yours", StoreUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "too late", StoreUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too much", StoreUnavailable),
    ],
)
def test_what_a_status_means(code: grpc.StatusCode, details: str, expected: Callable[[str], Exception]) -> None:
    told = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
    understood = meaning(told)
    assert type(understood) is expected
    assert details in str(understood)
