"""The asynchronous client."""

from collections.abc import Mapping
from typing import Self

import grpc

from memoir.aio.admin import AsyncAdmin
from memoir.aio.graph import AsyncGraph
from memoir.aio.history import AsyncHistory
from memoir.aio.reads import AsyncReads
from memoir.aio.resets import AsyncResets
from memoir.aio.search import AsyncSearch
from memoir.aio.transfer import AsyncTransfer
from memoir.aio.writes import AsyncWrites
from memoir.transport import Transport

#: Where a server listens unless told otherwise.
DEFAULT_TARGET = "127.0.0.1:7600"


class AsyncMemoir(
    AsyncWrites, AsyncReads, AsyncSearch, AsyncGraph, AsyncHistory, AsyncResets, AsyncTransfer, AsyncAdmin
):
    """Client for asyncio.

        async with AsyncMemoir() as memoir:
            await memoir.add([{"role": "user", "content": "I moved to Lisbon."}], user_id="ana")
            result = await memoir.search("Where does Ana live?", user_id="ana")

    Cheap to create: it connects with the first call, and belongs to the event loop of that call. Safe to use from any
    number of tasks of that loop. Do not use it on both sides of a fork.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        namespace: str = "default",
        api_key: str | None = None,
        timeout: float = 10.0,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Create a client.

        Args:
            target: host:port, or any gRPC target.
            namespace: namespace of all calls; see `in_namespace`.
            api_key: sent as a bearer token.
            timeout: seconds of each call, retries included, unless the call says otherwise.
            credentials: for TLS, `grpc.ssl_channel_credentials(...)`; None means plain text.
            headers: further headers of every call.
        """
        self._transport = Transport(
            target, api_key=api_key, timeout=timeout, credentials=credentials, headers=headers or {}
        )
        self._namespace = namespace
        self._owns_transport = True

    @property
    def namespace(self) -> str:
        """Namespace of all calls."""
        return self._namespace

    def in_namespace(self, namespace: str) -> Self:
        """Return a client for another namespace that shares this one's connections. Closing it has no effect."""
        other = self.__class__.__new__(self.__class__)
        other._transport = self._transport
        other._namespace = namespace
        other._owns_transport = False
        return other

    async def close(self) -> None:
        """Close the connections; calls under way fail."""
        if self._owns_transport:
            await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
