"""A server whose time stands still until a test moves it, in a thread of its own, for tests without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import grpc

from memoir.v1 import history_pb2_grpc, memory_pb2_grpc, reset_pb2_grpc
from memoir_server.app import composition
from memoir_server.app.server import Server
from memoir_server.app.testing import BEGIN, CountingEntropy, CountingIds
from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock
from memoir_server.service import expiry
from tests.integration.harness import settings_for

START_SECONDS = 60.0
NO_SWEEP_SECONDS = 86_400.0

T = TypeVar("T")


class SteeredClock(Clock):
    """Shows what it is set to. `time` in microseconds since the epoch."""

    def __init__(self) -> None:
        self.time = BEGIN

    def now(self) -> Instant:
        return self.time


class SteeredServer:
    """Stubs of a running server, its clock, and its sweeper, which sweeps only here."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, clock: SteeredClock) -> None:
        self._server = server
        self._loop = loop
        self.clock = clock
        self._channel = grpc.insecure_channel(server.address)
        self.memory = memory_pb2_grpc.MemoryServiceStub(self._channel)
        self.history = history_pb2_grpc.HistoryServiceStub(self._channel)
        self.reset = reset_pb2_grpc.ResetServiceStub(self._channel)

    def sweep(self) -> int:
        """Records what has expired, in every namespace; returns how many memories that were."""
        total = 0
        while batch := self._run(self._server.composition.sweeper.sweep()):
            total += batch
        return total

    def close(self) -> None:
        self._channel.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_SECONDS)


@contextmanager
def steered(directory: Path) -> Iterator[SteeredServer]:
    """A server of its own directory, on a free port."""
    clock = SteeredClock()
    sources = (clock, clock, CountingIds(), CountingEntropy())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="steered-server", daemon=True)
    with (
        patch.object(composition, "_sources", lambda settings: sources),
        patch.object(expiry, "SWEEP_SECONDS", NO_SWEEP_SECONDS),
    ):
        thread.start()
        try:
            server = Server(settings_for(directory))
            asyncio.run_coroutine_threadsafe(server.start(), loop).result(START_SECONDS)
            client = SteeredServer(server, loop, clock)
            try:
                yield client
            finally:
                client.close()
                asyncio.run_coroutine_threadsafe(server.stop(), loop).result(START_SECONDS)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(START_SECONDS)
            loop.close()
