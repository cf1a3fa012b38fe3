"""Waiting for what the projections have applied, whichever server applies it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.store import PROJECTIONS, StoreKind
from memoir_server.ports.ledger import Ledger

FOLLOW_SECONDS = 0.1
"""How often the ledger is asked what other servers have applied, while somebody waits for it."""


class Following:
    """Who waits for which revisions. With `shared()`, one question to the ledger per namespace serves all who wait."""

    def __init__(self, ledger: Ledger, shared: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._shared = shared
        self._moved: dict[StoreKind, asyncio.Condition] = {}
        self._awaited: dict[StoreKind, Counter[str]] = {store: Counter() for store in PROJECTIONS}
        self._known: dict[tuple[StoreKind, str], int] = {}
        self._tasks: dict[StoreKind, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Binds to the running event loop."""
        self._moved = {store: asyncio.Condition() for store in PROJECTIONS}

    async def stop(self) -> None:
        """Ends its tasks."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def announce(self, store: StoreKind, namespace: str | None = None) -> None:
        """Wakes those who wait for the store: work of the namespace was applied or refused, or (None) it is down."""
        if namespace is not None and self._shared():
            await self._look(store, namespace)
        async with self._moved[store]:
            self._moved[store].notify_all()

    async def until_applied(
        self, store: StoreKind, namespace: str, revision: int, timeout: float, down: Callable[[], bool]
    ) -> bool:
        """Waits until the store has applied the revision, at most `timeout` seconds and not while it is `down`.
        Returns whether it has. Raises StoreUnavailable when the ledger does not answer."""
        deadline = asyncio.get_running_loop().time() + timeout
        if await self._ledger.watermark(store, namespace) >= revision:
            return True
        condition, awaited = self._moved[store], self._awaited[store]
        awaited[namespace] += 1
        try:
            if self._shared():
                self._follow(store)
            async with asyncio.timeout_at(deadline), condition:
                while not await self._reached(store, namespace, revision):
                    if down():
                        return False
                    await condition.wait()
        except TimeoutError:
            return await self._ledger.watermark(store, namespace) >= revision
        finally:
            awaited[namespace] -= 1
            if not awaited[namespace]:
                del awaited[namespace]
                self._known.pop((store, namespace), None)
        return True

    async def until_moved(self, store: StoreKind, timeout: float) -> None:
        """Waits until work on the store is done or has failed, at most `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout), self._moved[store]:
                await self._moved[store].wait()

    async def _reached(self, store: StoreKind, namespace: str, revision: int) -> bool:
        if not self._shared():
            return await self._ledger.watermark(store, namespace) >= revision
        return self._known.get((store, namespace), 0) >= revision

    def _follow(self, store: StoreKind) -> None:
        task = self._tasks.get(store)
        if task is None or task.done():
            self._tasks[store] = asyncio.create_task(self._ask(store), name=f"following-{store.name}")

    async def _ask(self, store: StoreKind) -> None:
        while self._awaited[store]:
            await asyncio.sleep(FOLLOW_SECONDS)
            for namespace in list(self._awaited[store]):
                await self._look(store, namespace)
            async with self._moved[store]:
                self._moved[store].notify_all()

    async def _look(self, store: StoreKind, namespace: str) -> None:
        # Who waits gives up by his own time; a ledger that does not answer is asked again.
        with suppress(StoreUnavailable):
            if namespace in self._awaited[store]:
                known = await self._ledger.watermark(store, namespace)
                if namespace in self._awaited[store]:
                    self._known[store, namespace] = known
