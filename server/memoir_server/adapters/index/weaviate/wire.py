"""Questions to Weaviate's gRPC interface, in the messages of weaviate-client and without what it builds around them.

The client's own query makes some ten objects of every one found and a list of Python floats of every vector; of a
search that was most of the time spent on this side. Objects are put this way too (`putting.py`); what is rare goes
through the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import grpc
from weaviate.collections.filters import _FilterToGRPC
from weaviate.proto.v1 import aggregate_pb2, base_search_pb2, batch_pb2, search_get_pb2, weaviate_pb2_grpc

from memoir_server.adapters.index.weaviate.filters import Condition

T = TypeVar("T")

SearchReply: TypeAlias = search_get_pb2.SearchReply
SearchResult: TypeAlias = search_get_pb2.SearchResult
_LARGEST_BYTES: Final = 104_858_000
"""Of one answer; what Weaviate itself allows."""
_AGAIN: Final = (grpc.StatusCode.UNAVAILABLE,)


class Wire:
    """One channel to the gRPC interface of a Weaviate.

    Args:
        target: HOST:PORT.
        api_key: Sent with every call; empty for none.
        secure: Whether the channel is encrypted.
        options: Further options of the channel.
        seconds: The longest one call may take.
    """

    def __init__(
        self, target: str, *, api_key: str, secure: bool, options: Sequence[tuple[str, int]], seconds: float
    ) -> None:
        limits = [("grpc.max_send_message_length", _LARGEST_BYTES), ("grpc.max_receive_message_length", _LARGEST_BYTES)]
        chosen = [*limits, *options]
        self._channel = (
            grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=chosen)
            if secure
            else grpc.aio.insecure_channel(target, options=chosen)
        )
        self._stub: Any = weaviate_pb2_grpc.WeaviateStub(self._channel)  # type: ignore[no-untyped-call]
        self._metadata = (("authorization", f"Bearer {api_key}"),) if api_key else ()
        self._seconds = seconds

    async def close(self) -> None:
        """Ends the channel; calls under way fail."""
        await self._channel.close()

    async def search(self, request: search_get_pb2.SearchRequest) -> SearchReply:
        """Objects. Raises grpc.aio.AioRpcError."""
        reply: SearchReply = await self._asked(self._stub.Search, request)
        return reply

    async def aggregate(self, request: aggregate_pb2.AggregateRequest) -> aggregate_pb2.AggregateReply:
        """Counts and sums. Raises grpc.aio.AioRpcError."""
        reply: aggregate_pb2.AggregateReply = await self._asked(self._stub.Aggregate, request)
        return reply

    async def put(self, request: batch_pb2.BatchObjectsRequest) -> batch_pb2.BatchObjectsReply:
        """Puts objects by their ids; what is against single ones is in the answer. Raises grpc.aio.AioRpcError."""
        reply: batch_pb2.BatchObjectsReply = await self._asked(self._stub.BatchObjects, request)
        return reply

    async def _asked(self, method: Callable[..., Awaitable[T]], request: Any) -> T:
        def ask() -> Awaitable[T]:
            # A channel that is just being made anew is waited for; whether anybody listens at all, the caller asks.
            return method(request, metadata=self._metadata, timeout=self._seconds, wait_for_ready=True)

        try:
            return await ask()
        except grpc.aio.AioRpcError as lost:
            if lost.code() not in _AGAIN:
                raise
            # A store that was started anew is known by the connection that broke; to ask once more is harmless.
            await asyncio.sleep(0)
            return await ask()


def searching(
    collection: str,
    tenant: str,
    *,
    condition: Condition | None,
    limit: int,
    properties: Sequence[str],
    vector: str = "",
    ids: bool = False,
    by: base_search_pb2.BM25 | base_search_pb2.NearVector | search_get_pb2.SortBy | None = None,
) -> search_get_pb2.SearchRequest:
    """The first `limit` objects by words, by vector, in order or as they come; `vector` names the one to be returned,
    if any, `ids` asks for their ids. No `tenant`: of a collection without."""
    return search_get_pb2.SearchRequest(
        uses_123_api=True,
        uses_125_api=True,
        uses_127_api=True,
        collection=collection,
        tenant=tenant,
        limit=limit,
        filters=None if condition is None else _FilterToGRPC.convert(condition),
        properties=search_get_pb2.PropertiesRequest(non_ref_properties=properties),
        metadata=search_get_pb2.MetadataRequest(uuid=ids, vectors=[vector] if vector else []),
        bm25_search=by if isinstance(by, base_search_pb2.BM25) else None,
        near_vector=by if isinstance(by, base_search_pb2.NearVector) else None,
        sort_by=[by] if isinstance(by, search_get_pb2.SortBy) else [],
    )


def counting(
    collection: str, tenant: str, *, condition: Condition | None, total: str = ""
) -> aggregate_pb2.AggregateRequest:
    """How many objects meet the condition, and the sum of their property `total`, if one is named."""
    kinds = aggregate_pb2.AggregateRequest.Aggregation
    return aggregate_pb2.AggregateRequest(
        collection=collection,
        tenant=tenant,
        filters=None if condition is None else _FilterToGRPC.convert(condition),
        objects_count=True,
        aggregations=[kinds(property=total, int=kinds.Integer(sum=True))] if total else [],
    )
