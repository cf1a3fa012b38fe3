"""Servers of the distributed profile: in this process, or in processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from memoir import AsyncMemoir
from memoir_server.app.telemetry import Telemetry
from stores.deployment import Deployment
from tests.faults.server_process import ServerProcess, free_address
from tests.integration.harness import Client
from tests.integration.harness import serving as serving_with


def serving(
    directory: Path, place: Deployment, *, telemetry: Telemetry | None = None, **overrides: str
) -> AbstractAsyncContextManager[Client]:
    """A server in this process, and a client of it."""
    settings = {key.replace(".", "__"): text for key, text in place.settings.items()}
    return serving_with(directory, telemetry=telemetry, **{**settings, **overrides})


@asynccontextmanager
async def processes(directory: Path, place: Deployment, count: int) -> AsyncIterator[list[ServerProcess]]:
    """So many servers over the same stores, each in a process of its own."""
    servers = [ServerProcess(directory / f"server-{number}", free_address()) for number in range(count)]
    try:
        for server in servers:
            server.start(environment=place.environment)
        yield servers
    finally:
        for server in servers:
            server.stop()


async def caught_up(memoir: AsyncMemoir, timeout: float = 30.0) -> None:
    """Waits until every projection of the client's namespace has applied what the ledger holds."""
    async with asyncio.timeout(timeout):
        while any(store.lag for store in (await memoir.server_info()).stores):  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.05)
