"""The life of a server: open, recover, serve, drain, close."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

from memoir_server.app.composition import Composition, compose
from memoir_server.app.health import Health
from memoir_server.app.settings import Settings, SettingsError
from memoir_server.app.telemetry import Telemetry, configure
from memoir_server.app.version import VERSION
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.ports.embedder import EmbedderMismatch

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_COLLECT_AFTER = 50_000
"""Objects made, and not freed, between two looks for cycles among them."""


class Server:
    """One server on one address. `start`, then `stop`, once each; or `async with`."""

    def __init__(self, settings: Settings, *, telemetry: Telemetry | None = None) -> None:
        self._settings = settings
        self._telemetry = configure(settings.telemetry, version=VERSION) if telemetry is None else telemetry
        self._closing = AsyncExitStack()
        self._grpc: grpc.aio.Server | None = None
        self._health: Health | None = None
        self._composition: Composition | None = None
        self.address = ""
        """host:port, once started."""

    @property
    def composition(self) -> Composition:
        """What the server is made of, once started."""
        if self._composition is None:
            raise RuntimeError("the server has not been started")
        return self._composition

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Opens the stores, recovers, binds, and reports healthy. What was opened is closed again when a step fails.

        Raises ValidatorBroken, StoreUnavailable, SettingsError (for an address that cannot be bound), ModelError.
        """
        try:
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise

    async def _start(self) -> None:
        closing = self._closing
        closing.callback(self._telemetry.close)
        parts = self._composition = compose(self._settings, self._telemetry)
        closing.push_async_callback(parts.embedder.close)
        try:
            await parts.embedder.open()
        except EmbedderMismatch as mismatch:
            raise SettingsError(mismatch.key, mismatch.value, f"is not so: {mismatch.reason}", mismatch.fix) from None
        if parts.inference is not None:
            closing.push_async_callback(parts.inference.reasoner.close)
        parts.validator.self_test(parts.contract)
        # Closed even when opening fails half-way.
        closing.push_async_callback(parts.ledger.close)
        await parts.ledger.open()
        for projection in (parts.index, parts.graph):
            closing.push_async_callback(projection.close)
            try:
                await projection.open()
            except StoreUnavailable as outage:
                if not projection.may_return:
                    raise
                logger.warning("starting without it: %s", outage)
        closing.push_async_callback(parts.projector.stop)
        await parts.projector.start()
        closing.push_async_callback(parts.resets.stop)
        await parts.resets.start()
        if parts.inference is not None:
            closing.push_async_callback(parts.inference.ingesting.stop)
            await parts.inference.ingesting.start()
        closing.push_async_callback(parts.sweeper.stop)
        await parts.sweeper.start()
        closing.push_async_callback(parts.accesses.stop)
        await parts.accesses.start()
        closing.push_async_callback(parts.rounds.stop)
        await parts.rounds.start()
        health = self._health = parts.health()
        closing.push_async_callback(health.stop)
        self._grpc, self.address = self._bind(parts, health)
        await self._grpc.start()
        # The gRPC server is the first to be closed: nothing must call what is closed after it.
        closing.push_async_callback(self._grpc.stop, 0)
        await health.start()
        logger.info("serving on %s, data in %s", self.address, self._settings.server.data)

    async def stop(self) -> None:
        """Drains and closes: not ready any more, watches end with a token, calls in hand finish within
        `server.drain_seconds`, then everything is closed."""
        if self._health is not None and self._grpc is not None:
            await self._health.drain()
            self.composition.draining.begin()
            self.composition.history.drain()
            await self._grpc.stop(self._settings.server.drain_seconds)
        await self._closing.aclose()

    def _bind(self, parts: Composition, health: Health) -> tuple[grpc.aio.Server, str]:
        settings = self._settings.server
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_permit_without_calls", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
            ]
        )
        server.add_generic_rpc_handlers(tuple(parts.handlers()))
        health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
        if settings.reflection:
            names = [*sorted(parts.contract.methods), health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
            reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
        host = settings.listen.rpartition(":")[0]
        try:
            port = server.add_insecure_port(settings.listen)
        except RuntimeError as error:
            raise SettingsError(
                "server.listen", settings.listen, f"cannot be bound ({error})", "choose a free port, or port 0"
            ) from None
        return server, f"{host}:{port}"


async def serve(
    settings: Settings, *, port_file: Path | None = None, ready: Callable[[str], None] | None = None
) -> None:
    """Runs a server until SIGTERM or SIGINT, then drains it. A second signal ends the process at once.

    Once it is ready, `port_file` gets host:port (written atomically) and `ready` is called with it.
    """
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def tell() -> None:
        told.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, tell)
    server = Server(settings)
    await server.start()
    try:
        if port_file is not None:
            _write_atomically(port_file, server.address)
        if ready is not None:
            ready(server.address)
        await told.wait()
    finally:
        await server.stop()


def run(settings: Settings, *, port_file: Path | None = None, ready: Callable[[str], None] | None = None) -> None:
    """`serve` on an event loop of its own: uvloop's where it is installed, which costs less per call."""
    _collect_rarely()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(settings, port_file=port_file, ready=ready))


def _collect_rarely() -> None:
    """Requests make thousands of objects and hardly ever a cycle of them, yet looking for cycles took a twentieth of
    the time of a batch write. What the imports made stays for good and is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _write_atomically(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(name).replace(path)
