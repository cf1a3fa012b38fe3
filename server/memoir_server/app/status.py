"""The state of the stores: asked by GetServerInfo, and every second for the health service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from memoir_server.domain.embedding import EmbedKind
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.store import PROJECTIONS, BreakerState, StoreKind, StoreStatus
from memoir_server.ports.cache import CacheUnavailable, EmbeddingCache
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable
from memoir_server.ports.ledger import Ledger
from memoir_server.ports.projection import Projection
from memoir_server.service.projector import Projector

PROBE_SECONDS = 2.0
"""A store that takes longer to answer a probe counts as unreachable."""
_PROBE_TEXT = "memoir probe"


class Stores:
    """Probes every store of a server."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        projections: dict[StoreKind, Projection],
        cache: EmbeddingCache,
        embedder: Embedder,
        projector: Projector,
    ) -> None:
        self._ledger = ledger
        self._projections = projections
        self._cache = cache
        self._embedder = embedder
        self._projector = projector

    async def head(self, namespace: str) -> int:
        """Newest revision of the namespace; 0 when the ledger does not answer."""
        try:
            return (await self._ledger.head(namespace)).revision
        except StoreUnavailable:
            return 0

    async def probe(self, namespace: str) -> Sequence[StoreStatus]:
        """State of every store, in the order of StoreKind."""
        return await asyncio.gather(
            self._ledger_status(namespace),
            *(self._projection_status(store, namespace) for store in PROJECTIONS),
            self._cache_status(),
            self._embedder_status(),
        )

    def ready(self, statuses: Sequence[StoreStatus]) -> bool:
        """Whether everything that reads and writes need is there. A cache that is down costs time, nothing else."""
        return all(self.healthy(status) for status in statuses if status.store is not StoreKind.CACHE)

    @staticmethod
    def healthy(status: StoreStatus) -> bool:
        """Whether the store answers and its breaker, if it has one, is closed."""
        return status.reachable and status.breaker in (None, BreakerState.CLOSED)

    async def _ledger_status(self, namespace: str) -> StoreStatus:
        head = 0

        async def ask() -> str:
            nonlocal head
            head = (await self._ledger.head(namespace)).revision
            return ""

        reachable, version, latency_us = await _timed(ask)
        return StoreStatus(
            store=StoreKind.LEDGER,
            reachable=reachable,
            version=version,
            latency_us=latency_us,
            applied_revision=head,
        )

    async def _projection_status(self, store: StoreKind, namespace: str) -> StoreStatus:
        reachable, version, latency_us = await _timed(self._projections[store].ping)
        applied = lag = degraded = 0
        # Without the ledger, whose own status says so, it is not known what this store has applied.
        with suppress(StoreUnavailable):
            applied = await self._ledger.watermark(store, namespace)
            lag = max(0, (await self._ledger.head(namespace)).revision - applied)
            degraded = await self._ledger.degraded(store, namespace)
        return StoreStatus(
            store=store,
            reachable=reachable,
            version=version,
            latency_us=latency_us,
            applied_revision=applied,
            lag=lag,
            breaker=self._projector.breaker(store).state,
            degraded=degraded,
        )

    async def _cache_status(self) -> StoreStatus:
        async def ask() -> str:
            await self._cache.get_many([])
            return ""

        reachable, version, latency_us = await _timed(ask)
        return StoreStatus(
            store=StoreKind.CACHE,
            reachable=reachable,
            version=version,
            latency_us=latency_us,
            breaker=self._cache.breaker,
        )

    async def _embedder_status(self) -> StoreStatus:
        async def ask() -> str:
            await self._embedder.embed([_PROBE_TEXT], kind=EmbedKind.QUERY)
            return str(self._embedder.model)

        reachable, version, latency_us = await _timed(ask)
        return StoreStatus(store=StoreKind.EMBEDDER, reachable=reachable, version=version, latency_us=latency_us)


async def _timed(ask: Callable[[], Awaitable[str]]) -> tuple[bool, str, int]:
    """(answers, version, round trip in microseconds)."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            version, reachable = await ask(), True
    except (StoreUnavailable, CacheUnavailable, EmbedderUnavailable, TimeoutError):
        version, reachable = "", False
    return reachable, version, round((time.perf_counter() - started) * 1_000_000)
