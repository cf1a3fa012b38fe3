"""The synchronous client: the asynchronous one, run in a background thread."""

import os
from collections.abc import Mapping
from typing import Self

import grpc

from memoir.background import background_loop
from memoir.client_async import DEFAULT_TARGET, AsyncMemoir
from memoir.sync.admin import Admin
from memoir.sync.graph import Graph
from memoir.sync.history import History
from memoir.sync.reads import Reads
from memoir.sync.resets import Resets
from memoir.sync.search import Search
from memoir.sync.transfer import Transfer
from memoir.sync.writes import Writes


class Memoir(Writes, Reads, Search, Graph, History, Resets, Transfer, Admin):
    """Client for ordinary Python.

        with Memoir() as memoir:
            memoir.add([{"role": "user", "content": "I moved to Lisbon."}], user_id="ana")
            result = memoir.search("Where does Ana live?", user_id="ana")

    Safe to use from any thread, also in a notebook or inside a running event loop (where it blocks, as any synchronous
    call). After a fork, create a new one in the child; in a server that forks, create it after the fork.
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
        """Create a client; it connects with the first call.

        Args:
            target: host:port, or any gRPC target.
            namespace: namespace of all calls; see `in_namespace`.
            api_key: sent as a bearer token.
            timeout: seconds of each call, retries included, unless the call says otherwise.
            credentials: for TLS, `grpc.ssl_channel_credentials(...)`; None means plain text.
            headers: further headers of every call.
        """
        self._core = AsyncMemoir(target, namespace, api_key, timeout, credentials=credentials, headers=headers)
        self._background = background_loop()
        self._pid = os.getpid()

    @property
    def namespace(self) -> str:
        """Namespace of all calls."""
        return self._core.namespace

    def in_namespace(self, namespace: str) -> Self:
        """Return a client for another namespace that shares this one's connections. Closing it has no effect."""
        other = self.__class__.__new__(self.__class__)
        other._core = self._core.in_namespace(namespace)
        other._background = self._background
        other._pid = self._pid
        return other

    def close(self) -> None:
        """Close the connections; calls under way fail."""
        self._run(self._core.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
