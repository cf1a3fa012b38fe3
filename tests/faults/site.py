"""Where one case runs: a recorded server with the data of `prepare`, in a namespace of the case's own."""

from __future__ import annotations

import asyncio
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from memoir import AsyncMemoir
from tests.faults.operations import prepare
from tests.faults.recorded_server import STEPS_VARIABLE, Orders
from tests.faults.server_process import ServerProcess, free_address
from tests.faults.snapshot import Stored, open_stores, settled

NAMESPACE = "steps"
MODULE = "tests.faults.recorded_server"


class Site(ABC):
    """One server, one namespace. `directory` is the case's own. A context manager; `begin` first."""

    def __init__(self, server: ServerProcess, namespace: str, directory: Path, orders: Path) -> None:
        self.server = server
        self.namespace = namespace
        self.journal = directory / "steps"
        self._orders = orders

    async def __aenter__(self) -> Site:
        return self

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves nothing running that only this case needs."""

    def client(self) -> AsyncMemoir:
        """A new client of the namespace."""
        return AsyncMemoir(self.server.address, namespace=self.namespace)

    @abstractmethod
    async def begin(self) -> None:
        """Brings the server up and the data of `prepare` in."""

    async def start(self) -> None:
        """Starts the server where it is down."""
        if not self.server.running():
            environment = {STEPS_VARIABLE: str(self._orders)}
            await asyncio.to_thread(self.server.start, module=MODULE, environment=environment)

    async def restart(self) -> None:
        """Stops the server where it is up, and starts it."""
        await asyncio.to_thread(self.server.stop)
        await self.start()

    def record(self, kill_at: str = "") -> None:
        """From now on, port calls are steps; at `kill_at` the server ends."""
        self.journal.touch()
        Orders(self.journal, kill_at).give(self._orders)

    def stop_recording(self) -> None:
        """From now on they are not."""
        self._orders.unlink(missing_ok=True)

    @abstractmethod
    async def stored(self) -> Stored:
        """What the stores hold of the namespace, at the end of the case; checked against the ledger."""


class CopiedSite(Site):
    """A copy of a prepared data directory, on the embedded profile; `environment` adds variables to every start."""

    def __init__(self, origin: Path, directory: Path, environment: Mapping[str, str]) -> None:
        directory.mkdir(parents=True)
        data = Path(shutil.copytree(origin, directory / "data"))
        server = ServerProcess(data, free_address(), environment=environment)
        super().__init__(server, NAMESPACE, directory, directory / "orders")

    async def begin(self) -> None:
        await self.start()

    async def stored(self) -> Stored:
        await asyncio.to_thread(self.server.stop)
        return await open_stores(self.server.data, self.namespace)

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.server.stop)


async def prepared(directory: Path) -> Path:
    """A data directory as every copied site finds it."""
    server = ServerProcess(directory / "prepared", free_address())
    await asyncio.to_thread(server.start)
    try:
        async with AsyncMemoir(server.address, namespace=NAMESPACE) as client:
            await prepare(client)
            await settled(client)
    finally:
        await asyncio.to_thread(server.stop)
    return server.data
