"""Recorded servers on the real stores: cases in namespaces of their own, one after the other on the same server.

A server that was killed is started again within its case, and serves the next one: so it takes over what another left
behind, with the leases of a dead server in the way, among namespaces of all cases before.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

from memoir_server.app.adapters import Adapters, build_adapters
from memoir_server.app.settings import Settings
from stores.deployment import Deployment, deployment
from stores.four import Stores
from tests.faults.operations import prepare
from tests.faults.rows import graph_rows, ledger_rows
from tests.faults.server_process import ServerProcess, free_address
from tests.faults.site import Site
from tests.faults.snapshot import Current, Stored, held, settled

LEASE_SECONDS: Final = 3.0
"""How long a killed server keeps its leases: a case waits for that."""
STORE_SECONDS: Final = 5.0
"""The longest that a server of these tests waits for a store."""
LIFE_SECONDS: Final = 7200
_FORGET: Final = "for _, key in ipairs(redis.call('keys', ARGV[1] .. '*')) do redis.call('del', key) end return 1"


def fresh(stores: Stores, name: str) -> Deployment:
    """A deployment with nothing in it. Blocks."""
    bounds = {
        "ledger.seconds": str(STORE_SECONDS),
        "ledger.lease_seconds": str(LEASE_SECONDS),
        "index.seconds": str(STORE_SECONDS),
        "graph.seconds": str(STORE_SECONDS),
        # What is in the cache of the process depends on the cases before.
        "embedder.cache_bytes": "0",
    }
    return Deployment({**deployment(stores, name).settings, **bounds})


def adapters(settings: Mapping[str, str]) -> Adapters:
    """The stores of a deployment as a server sees them, to be opened."""
    return build_adapters(Settings.load(None, {}, settings), os.urandom)


class Lane:
    """A deployment and its recorded server. A context manager: at the end the ledger's chains are verified."""

    def __init__(
        self, stores: Stores, name: str, directory: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.stores = stores
        self._directory = directory
        self._environment = environment or {}
        self._namespaces: list[str] = []
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Lane:
        self._directory.mkdir(parents=True)
        self.deployment = await asyncio.to_thread(fresh, self.stores, self.name)
        self.server = ServerProcess(
            self._directory / "data",
            free_address(),
            environment={**self.deployment.environment, **self._environment},
            life=LIFE_SECONDS,
        )
        self.adapters = adapters(self.deployment.settings)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.server.stop)
        await self._closing.aclose()
        if failure is None:
            ledger = self.adapters.ledger
            await ledger.open()
            try:
                assert set(await ledger.namespaces()) == set(self._namespaces)
                for namespace in self._namespaces:
                    assert await ledger.verify_chain(namespace), f"the chain of {namespace} is broken"
            finally:
                await ledger.close()

    def __call__(self, name: str) -> Site:
        """The site of a case of that name."""
        namespace = name.replace("_", "-")
        self._namespaces.append(namespace)
        return SharedSite(self, namespace, self._directory / name)

    async def opened(self) -> Adapters:
        """Index and graph, opened on first use."""
        if not self._opened:
            self._opened = True
            for store in (self.adapters.index, self.adapters.graph):
                await store.open()
                self._closing.push_async_callback(store.close)
        return self.adapters

    _opened = False


class SharedSite(Site):
    """A namespace of a lane."""

    def __init__(self, lane: Lane, namespace: str, directory: Path) -> None:
        directory.mkdir()
        super().__init__(lane.server, namespace, directory, lane.server.data.with_name("orders"))
        self._lane = lane

    async def begin(self) -> None:
        # The texts of all cases are the same: a vector that is known from the case before would spare steps.
        prefix = self._lane.deployment.settings["cache.prefix"]
        await asyncio.to_thread(self._lane.stores.redis.command, "EVAL", _FORGET, "0", prefix)
        await self.start()
        async with self.client() as client:
            await prepare(client)
            await settled(client)

    async def stored(self) -> Stored:
        stores, settings = self._lane.stores, self._lane.deployment.settings
        opened = await self._lane.opened()
        async with self.client() as client:
            current = [
                Current(memory.id, memory.revision, memory.text, bool(memory.entities))
                async for memory in client.list(include_superseded=True, view="FULL")
            ]
        indexed, mentioned = await held(current, opened.index, opened.graph, self.namespace)
        rows = {
            **await asyncio.to_thread(ledger_rows, stores.postgresql, settings["ledger.url"], self.namespace),
            **await asyncio.to_thread(graph_rows, stores.neo4j, settings["graph.name"], self.namespace),
        }
        return Stored(indexed, mentioned, rows)

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if failure is not None and self.server.running():
            # What the next case finds must not depend on how this one ended.
            await asyncio.to_thread(self.server.kill)
