"""The connection to Weaviate: bounded calls, and what their failures mean."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import grpc
import httpx
import weaviate
from weaviate import WeaviateAsyncClient
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.config import GrpcConfig
from weaviate.exceptions import (
    UnexpectedStatusCodeError,
    WeaviateBaseError,
    WeaviateClosedClientError,
    WeaviateConnectionError,
    WeaviateGRPCUnavailableError,
    WeaviateRetryError,
    WeaviateStartUpError,
    WeaviateTimeoutError,
)

from memoir_server.adapters.index.weaviate.wire import Wire
from memoir_server.domain.errors import StoreUnavailable

T = TypeVar("T")

STORE: Final = "index"
_PATIENCE_SECONDS: Final = 0.3
"""After this long without an answer it is asked whether anybody listens: the client itself tries for half a minute."""
_PROBE_SECONDS: Final = 1.0
_OUTAGES: Final = (
    WeaviateClosedClientError,
    WeaviateConnectionError,
    WeaviateGRPCUnavailableError,
    WeaviateRetryError,
    WeaviateStartUpError,
    WeaviateTimeoutError,
    httpx.HTTPError,
    grpc.RpcError,
    # What a channel says that was closed under a question.
    grpc.aio.UsageError,
    OSError,
)
_BUSY_STATUS: Final = (401, 403, 408, 429)
_BUSY_CODES: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
_RECONNECTING: Final = (
    # By default a channel waits up to two minutes before it looks for a store that is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)
_PASSING: Final = re.compile(
    r"unavailable|deadline|time(d)? ?out|failed to connect|connection|context canceled|shut(ting)? ?down|read-?only"
    r"|not ready|no leader|leader not found|memory pressure|not enough memory|disk|resource.?exhausted",
    re.IGNORECASE,
)
"""Words of refusals that are the store's condition and not the item's fault."""
_ABSENT: Final = re.compile(
    r"tenant not found|could not find class|class not found|not present in schema"
    r"|multi-tenancy disabled, but request was with tenant"
)
"""How the several interfaces say that there is no such tenant or collection."""

# The client logs every refused object whole, and with it what users said.
logging.getLogger("weaviate-client").setLevel(logging.CRITICAL)


class WeaviateRefused(Exception):
    """The store answered, and will not take this item or query. Trying again does not help."""


class NothingThere(Exception):
    """The object, its tenant or its collection does not exist."""


class Moved(Exception):
    """Another server has cut over to another collection."""


@dataclass(frozen=True, slots=True)
class WeaviateAddress:
    """REST and gRPC interface of one Weaviate; `api_key` goes with every call, empty where none is asked for."""

    host: str
    http_port: int
    grpc_port: int
    api_key: str = field(default="", repr=False)
    secure: bool = False


@dataclass(frozen=True, slots=True)
class _Connected:
    """The client, and the channel beside it for what is asked with every search."""

    client: WeaviateAsyncClient
    wire: Wire


class Connection:
    """A client that finds the store again when it is back, and connects late when it was away at the start.

    Args:
        address: Where the store is.
        seconds: The longest one call may take.
        doubted: Called when the store did not answer, or begins anew.
    """

    def __init__(self, address: WeaviateAddress, *, seconds: float, doubted: Callable[[], None] = lambda: None) -> None:
        if not seconds > 0:
            raise ValueError(f"seconds={seconds}: give a time above 0")
        self._address = address
        self._seconds = seconds
        self._doubted = doubted
        self._live: _Connected | None = None
        self._connecting = asyncio.Lock()
        self._closed = True
        self._health: httpx.AsyncClient | None = None
        self._doubtful = False
        """Whether the store was away since it was last known to be ready."""

    async def open(self) -> None:
        """Connects. Raises StoreUnavailable; a later call then tries again by itself."""
        self._closed = False
        await self._connected()

    async def close(self) -> None:
        """Lets go of the client."""
        self._closed = True
        await self._let_go()

    async def call(self, work: Callable[[WeaviateAsyncClient], Awaitable[T]]) -> T:
        """Runs one call of the client, which must be idempotent. Raises StoreUnavailable, NothingThere,
        WeaviateRefused."""
        return await self._guarded(lambda live: work(live.client))

    async def ask(self, work: Callable[[Wire], Awaitable[T]]) -> T:
        """The same of a question that goes past the client."""
        return await self._guarded(lambda live: work(live.wire))

    async def _guarded(self, work: Callable[[_Connected], Awaitable[T]]) -> T:
        if self._doubtful:
            await self.require_ready()
        try:
            return await self._call(work)
        except StoreUnavailable:
            self._doubtful = True
            self._doubted()
            raise
        except (NothingThere, WeaviateRefused):
            # A store that is starting says so of everything that it has not loaded yet.
            await self.require_ready()
            return await self._call(work)

    async def require_ready(self) -> None:
        """Raises StoreUnavailable while the store is starting: it answers then, and knows of nothing."""
        self._doubtful = True
        scheme = "https" if self._address.secure else "http"
        if self._health is None:
            # The client's own question prints what goes wrong.
            self._health = httpx.AsyncClient(trust_env=False, timeout=self._seconds)
        try:
            answer = await self._health.get(
                f"{scheme}://{self._address.host}:{self._address.http_port}/v1/.well-known/ready"
            )
        except (httpx.HTTPError, AttributeError) as failure:
            raise meaning(failure) from failure
        if answer.status_code != httpx.codes.OK:
            raise StoreUnavailable(STORE, f"{self._where} is not ready")
        self._doubtful = False

    async def _call(self, work: Callable[[_Connected], Awaitable[T]]) -> T:
        live = await self._connected()
        task = asyncio.ensure_future(work(live))
        try:
            async with asyncio.timeout(self._seconds):
                done, _ = await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)
                if not done and not await self._listening():
                    raise StoreUnavailable(STORE, f"nobody listens at {self._where}")
                return await task
        except TimeoutError as silence:
            raise StoreUnavailable(STORE, f"{self._where} did not answer within {self._seconds:g} s") from silence
        except (*_OUTAGES, WeaviateBaseError, AttributeError) as failure:
            raise meaning(failure) from failure
        finally:
            task.cancel()

    @property
    def _where(self) -> str:
        return f"Weaviate at {self._address.host}:{self._address.http_port}"

    async def _connected(self) -> _Connected:
        if self._closed:
            raise StoreUnavailable(STORE, "it is closed")
        live = self._live
        if live is not None:
            return live
        async with self._connecting:
            if self._live is None:
                self._live = await self._connect()
            return self._live

    async def _connect(self) -> _Connected:
        address = self._address
        client = weaviate.use_async_with_custom(
            http_host=address.host,
            http_port=address.http_port,
            http_secure=address.secure,
            grpc_host=address.host,
            grpc_port=address.grpc_port,
            grpc_secure=address.secure,
            auth_credentials=Auth.api_key(address.api_key) if address.api_key else None,
            # Its checks ask a package registry for newer versions.
            skip_init_checks=True,
            additional_config=AdditionalConfig(
                timeout=Timeout(init=self._seconds, query=self._seconds, insert=self._seconds),
                grpc_config=GrpcConfig(channel_options=list(_RECONNECTING)),
            ),
        )
        try:
            async with asyncio.timeout(self._seconds):
                await client.connect()
        except (*_OUTAGES, WeaviateBaseError, TimeoutError, AttributeError) as failure:
            await client.close()
            if isinstance(failure, AttributeError):
                raise meaning(failure) from failure
            raise StoreUnavailable(STORE, f"cannot connect to {self._where}: {failure}") from failure
        wire = Wire(
            f"{address.host}:{address.grpc_port}",
            api_key=address.api_key,
            secure=address.secure,
            options=_RECONNECTING,
            seconds=self._seconds,
        )
        return _Connected(client, wire)

    async def _let_go(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            await live.wire.close()
            await live.client.close()
        health, self._health = self._health, None
        if health is not None:
            await health.aclose()

    async def _listening(self) -> bool:
        """Whether both ports take connections; a host that does not say is given the benefit of the doubt."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                for port in (self._address.http_port, self._address.grpc_port):
                    _, writer = await asyncio.open_connection(self._address.host, port)
                    writer.close()
        except TimeoutError:
            return True
        except OSError:
            return False
        return True


def meaning(failure: Exception) -> Exception:
    """What a failure of the client says about the store, or about the item."""
    text = str(failure)
    if isinstance(failure, AttributeError):
        # What httpx makes, on uvloop, of a connection that is reset in the moment in which it is made.
        return StoreUnavailable(STORE, "the connection was reset") if failure.name == "getpeername" else failure
    if isinstance(failure, grpc.aio.AioRpcError):
        said = failure.details() or failure.code().name
        return StoreUnavailable(STORE, said) if failure.code() in _BUSY_CODES else refusal(said)
    if isinstance(failure, _OUTAGES):
        return StoreUnavailable(STORE, text or type(failure).__name__)
    if _ABSENT.search(text):
        return NothingThere(text)
    if isinstance(failure, UnexpectedStatusCodeError):
        if failure.status_code == 404:
            return NothingThere(text)
        if failure.status_code >= 500 or failure.status_code in _BUSY_STATUS:
            return StoreUnavailable(STORE, text)
        return WeaviateRefused(text)
    return refusal(text)


def refusal(text: str) -> Exception:
    """The same, of the words the store used."""
    if _ABSENT.search(text):
        return NothingThere(text)
    return StoreUnavailable(STORE, text) if _PASSING.search(text) else WeaviateRefused(text)
