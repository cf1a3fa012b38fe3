"""This server's place among those that share a ledger: it says that it lives, and lets nothing outlast its leases.

The ledger's clock decides when a lease ends; here only time since it was last renewed is counted. Whatever is done
under leases ends a good part of their life before they do, so that a store has carried out or dropped the last request
of one holder before the next one begins. With a ledger of one server nothing of this happens.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Final

from opentelemetry import metrics

from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.store import StoreKind
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.ledger import Lease, LeaseLost, Ledger

logger = logging.getLogger(__name__)
meter = metrics.get_meter("memoir.projector")

LINGER: Final = 0.3
"""Last part of a lease's life, in which nothing is begun any more and what was begun is cut off."""
RENEWALS: Final = 5
"""Renewals in the life of a lease, when all goes well."""
POLL_SECONDS = 0.05
"""How often a lease that somebody else has is asked for."""
PATIENCE_SECONDS = 30.0
"""How long it is asked for."""

_lost_counter = meter.create_counter(
    "memoir.leases.lost",
    unit="{time}",
    description="Times this server was silent for so long that others took over",
)


class Leases:
    """Renews the leases of one server. `start`, then `stop`, once each. `forget` is called when they end without it:
    drops what an erasure would ask this server to drop."""

    def __init__(self, ledger: Ledger, embedder: Embedder, forget: Callable[[], None]) -> None:
        self._ledger = ledger
        self._embedder = embedder
        self._forget = forget
        self._seconds = math.inf
        self._until = math.inf
        self._bounds: set[asyncio.Timeout] = set()
        self._task: asyncio.Task[None] | None = None
        self._end: asyncio.TimerHandle | None = None
        self.term = 0
        """Another number whenever leases may have been lost."""

    async def start(self) -> None:
        """Raises StoreUnavailable when the ledger does not answer."""
        await self._renew()
        if self.shared:
            self._task = asyncio.create_task(self._keep_renewing(), name="leases")

    async def stop(self) -> None:
        """Gives up every lease."""
        task, self._task = self._task, None
        if self._end is not None:
            self._end.cancel()
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        with suppress(StoreUnavailable):
            # Otherwise the others wait until they have run out.
            await self._ledger.resign()

    @property
    def shared(self) -> bool:
        """Whether other servers may use the ledger too."""
        return self._seconds < math.inf

    @property
    def linger(self) -> float:
        """Seconds for which a store may still be at work on a request that was given up; 0 where it is this server."""
        return self._seconds * LINGER if self.shared else 0.0

    def check(self) -> None:
        """Raises LeaseLost when nothing may be done under a lease any more."""
        if asyncio.get_running_loop().time() >= self._until:
            raise LeaseLost("the ledger was not heard of for too long; others may have taken over")

    @asynccontextmanager
    async def within(self) -> AsyncIterator[None]:
        """What is done inside is cut off, with LeaseLost, before the leases end; they are renewed meanwhile."""
        if not self.shared:
            yield
            return
        self.check()
        async with self._bound():
            yield

    @asynccontextmanager
    async def _bound(self) -> AsyncIterator[None]:
        bound = asyncio.timeout_at(self._until)
        try:
            async with bound:
                self._bounds.add(bound)
                try:
                    yield
                finally:
                    self._bounds.discard(bound)
        except Exception as ended:
            if bound.expired():
                raise LeaseLost("the ledger was not heard of for too long; others may have taken over") from ended
            raise

    @asynccontextmanager
    async def held(
        self, store: StoreKind, namespace: str | None, lock: asyncio.Lock | None = None
    ) -> AsyncIterator[None]:
        """Inside, this server alone changes the namespace of the projection, or all of it. Waits for the others.

        `lock` does the same between the tasks of this server. It is not kept while others are waited for: they may be
        waiting for what this server would give back meanwhile.

        Raises:
            StoreUnavailable: They have it for too long; or the ledger does not answer.
            LeaseLost: It was lost, and what is inside was cut off.
        """
        time = asyncio.get_running_loop().time
        patience = time() + PATIENCE_SECONDS
        while True:
            async with lock or nullcontext(), self.within():
                lease = await self._ledger.hold(store, namespace)
                if lease is not None:
                    async with self._released(lease):
                        yield
                    return
            if time() > patience:
                raise StoreUnavailable(store.name.lower(), "another server is changing it all the time; try again")
            await asyncio.sleep(POLL_SECONDS)

    @asynccontextmanager
    async def offered(self, store: StoreKind, namespace: str) -> AsyncIterator[bool]:
        """The same without waiting: inside, this server alone changes the namespace of the projection if it is told
        True; False when another server has it. Raises StoreUnavailable and LeaseLost."""
        async with self.within():
            lease = await self._ledger.hold(store, namespace)
            if lease is None:
                yield False
                return
            async with self._released(lease):
                yield True

    @asynccontextmanager
    async def _released(self, lease: Lease) -> AsyncIterator[None]:
        linger = self.linger
        try:
            yield
            linger = 0.0
        finally:
            if self.shared:
                # Without an answer it runs out by itself.
                with suppress(StoreUnavailable):
                    await self._ledger.release([lease], linger=linger)

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / RENEWALS)
            try:
                async with asyncio.timeout(self._seconds / 2):
                    await self._renew()
            except (StoreUnavailable, TimeoutError) as silence:
                logger.warning("leases are not renewed: %s", silence)

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        seconds = await self._ledger.renew(self._embedder.model)
        late = loop.time() >= self._until
        self._seconds = seconds
        self._until = began + seconds * (1 - LINGER)
        if self.shared:
            if self._end is not None:
                self._end.cancel()
            # An erasure waits for the servers that live; from then on not for this one.
            self._end = loop.call_at(self._until, self._forget)
        for bound in self._bounds:
            if not bound.expired():
                bound.reschedule(loop.time() if late else self._until)
        if late:
            self.term += 1
            _lost_counter.add(1)
            logger.warning("leases had run out before they were renewed; others may have taken over")
