"""A web server on a free port of the loopback interface, in a thread of its own, for as long as its block."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Self

from aiohttp import web

_START_SECONDS: Final = 20.0
_LARGEST: Final = 64 * 1024 * 1024


class LoopbackServer(ABC):
    """Answers every POST by `handle`. `with` starts and ends it."""

    def __init__(self, name: str) -> None:
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        """http://127.0.0.1:port."""
        return f"http://127.0.0.1:{self.port}"

    @abstractmethod
    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers a request. Cancelled when the client is gone, and when the server ends."""

    async def opened(self) -> None:  # noqa: B027 - most have nothing to open
        """Runs before the first request, on the server's loop."""

    async def closed(self) -> None:  # noqa: B027
        """Runs after the last request, on the server's loop."""

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise TimeoutError(f"{self._thread.name} did not start")
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the server; connections break. Nobody listens on the port afterwards."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_START_SECONDS)

    async def until_stopped(self) -> None:
        """Waits for the end of the server."""
        assert self._stopping is not None
        await self._stopping.wait()

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001 - told to whoever started it
            self._failure = error
            self._started.set()

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application(client_max_size=_LARGEST)
        application.router.add_post("/{path:.*}", self.handle)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self.opened()
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self.port)
            await site.start()
            self.port = runner.addresses[0][1]
            self._started.set()
            await self._stopping.wait()
        finally:
            await runner.cleanup()
            await self.closed()
