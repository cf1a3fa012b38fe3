"""Starts servers in this process and calls them over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from memoir.v1 import (
    admin_pb2_grpc,
    common_pb2,
    graph_pb2_grpc,
    history_pb2_grpc,
    memory_pb2,
    memory_pb2_grpc,
    reset_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    transfer_pb2_grpc,
)
from memoir_server.app.server import Server
from memoir_server.app.settings import Settings
from memoir_server.app.telemetry import Telemetry

TIMEOUT = 10.0
ANA = common_pb2.Scope(user_id="ana")


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call failed. `details` by message name."""

    code: grpc.StatusCode
    reason: str
    metadata: Mapping[str, str]
    details: Mapping[str, Any]

    @property
    def fields(self) -> list[str]:
        """Fields of the BadRequest detail."""
        return [v.field for v in self.details["BadRequest"].field_violations]


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """Decodes the rich error; fails unless it carries exactly one ErrorInfo of ours."""
    [packed_status] = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed_status)
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    unpacked: dict[str, Any] = {}
    for packed in status.details:
        name = packed.type_url.rpartition(".")[2]
        assert name not in unpacked, f"two {name} details"
        message = getattr(error_details_pb2, name)()
        assert packed.Unpack(message)
        unpacked[name] = message
    info = unpacked["ErrorInfo"]
    assert info.domain == "memoir.dev"
    return Refusal(error.code(), info.reason, dict(info.metadata), unpacked)


async def refused(call: Awaitable[object]) -> Refusal:
    """The failure of a unary call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)


class Client:
    """Stubs of every service on one channel."""

    def __init__(self, server: Server, channel: grpc.aio.Channel) -> None:
        self.server = server
        self.channel = channel
        self.memory = memory_pb2_grpc.MemoryServiceStub(channel)
        self.search = search_pb2_grpc.SearchServiceStub(channel)
        self.graph = graph_pb2_grpc.GraphServiceStub(channel)
        self.history = history_pb2_grpc.HistoryServiceStub(channel)
        self.reset = reset_pb2_grpc.ResetServiceStub(channel)
        self.transfer = transfer_pb2_grpc.TransferServiceStub(channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)

    async def create(
        self, text: str, memory_id: str = "", *, scope: common_pb2.Scope = ANA, **fields: Any
    ) -> memory_pb2.CreateMemoryResponse:
        """Creates a memory with these fields of Memory, and of the request where it has the name."""
        own = {name: fields.pop(name) for name in ("supersedes", "request_id", "durability") if name in fields}
        return await self.memory.CreateMemory(
            memory_pb2.CreateMemoryRequest(
                memory_id=memory_id, memory=memory_pb2.Memory(text=text, scope=scope, **fields), **own
            ),
            timeout=TIMEOUT,
        )

    async def get(self, memory_id: str, **fields: Any) -> memory_pb2.Memory:
        """Reads a memory."""
        request = memory_pb2.GetMemoryRequest(memory_id=memory_id, **fields)
        return (await self.memory.GetMemory(request, timeout=TIMEOUT)).memory

    async def find(self, query: str, **fields: Any) -> search_pb2.SearchMemoriesResponse:
        """Searches; without a scope, in ana's memories."""
        spec = search_pb2.SearchSpec(query=query, **{"scope": ANA, **fields})
        return await self.search.SearchMemories(search_pb2.SearchMemoriesRequest(spec=spec), timeout=TIMEOUT)

    async def health_of(self, service: str) -> str:
        """Health of a service, by its name."""
        answer = await self.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    async def until_health_of(self, service: str, wanted: str) -> None:
        """Watches a service until its health is as wanted."""
        watch = self.health.Watch(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT)
        async for answer in watch:
            if health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == wanted:
                watch.cancel()
                return


def settings_for(directory: Path, **overrides: str) -> Settings:
    """Settings of a test server; `section__key` overrides `section.key`."""
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    base = {"server.listen": "127.0.0.1:0", "server.data": str(directory / "data"), "embedder.model": "hash"}
    return Settings.load(None, {}, {**base, "server.drain_seconds": "2", **given})


@asynccontextmanager
async def serving(
    directory: Path, *, telemetry: Telemetry | None = None, key: str = "", **overrides: str
) -> AsyncIterator[Client]:
    """A server on a free port, and a client of it that sends `key`."""
    server = Server(settings_for(directory, **overrides), telemetry=telemetry)
    async with server, grpc.aio.insecure_channel(server.address, interceptors=_bearer(key)) as channel:
        yield Client(server, channel)


class _Bearer(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, key: str) -> None:
        self._key = key

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata.add("authorization", f"Bearer {self._key}")
        return await continuation(details._replace(metadata=metadata), request)


def _bearer(key: str) -> list[Any]:
    return [_Bearer(key)] if key else []
