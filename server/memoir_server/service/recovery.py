"""Recovery: a projection is brought under the ledger before anything is applied to it.

Whatever it lacks becomes pending again. One that follows another ledger, or holds vectors of another model, is dropped
and replayed. Several servers may do this at once: one rebuilds, the others wait for it and look again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.store import StoreKind
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.graph import EntityGraph, PutFacts
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import Ledger
from memoir_server.ports.projection import Projection
from memoir_server.service.leases import Leases

logger = logging.getLogger(__name__)

FAR = 10_000
"""Revisions the graph's note may stay behind, by changes that say nothing, before a start moves it on."""


class Recovery:
    """Replays the ledger into projections. Nothing else of this server may change a projection meanwhile."""

    def __init__(
        self, *, ledger: Ledger, index: MemoryIndex, graph: EntityGraph, embedder: Embedder, leases: Leases
    ) -> None:
        self._ledger = ledger
        self._index = index
        self._graph = graph
        self._embedder = embedder
        self._leases = leases
        self._stores: Mapping[StoreKind, Projection] = {StoreKind.INDEX: index, StoreKind.GRAPH: graph}

    async def recover(self, store: StoreKind) -> None:
        """What the ledger has and the projection lacks becomes pending again. Raises StoreUnavailable, also for an
        index that other servers fill with vectors of another model."""
        projection = self._stores[store]
        if not await self._follows(store):
            if store is StoreKind.INDEX:
                # Before anything is held: those others must not be kept waiting by one that cannot do anything.
                await self._refuse_another_model()
            async with self._leases.held(store, None):
                await self._adopt(store)
        for namespace in await self._ledger.namespaces():
            applied = await projection.applied(namespace)
            if applied > (await self._ledger.head(namespace)).revision:
                # The ledger was restored from an older copy: the projection holds what never happened.
                async with self._leases.held(store, None):
                    if await projection.applied(namespace) > (await self._ledger.head(namespace)).revision:
                        await self.rebuild(store)
                return
            if applied < await self._ledger.watermark(store, namespace):
                await self._requeue_after(store, namespace, applied)

    async def _requeue_after(self, store: StoreKind, namespace: str, applied: int) -> None:
        if await self._ledger.requeue(store, namespace, after=applied) or store is not StoreKind.GRAPH:
            return
        # The graph hears of nothing that says nothing (`telling.py`). Now and then it is told how far that goes, so
        # that starting does not take the longer the longer nothing was said.
        if await self._ledger.watermark(store, namespace) >= applied + FAR:
            async with self._leases.offered(store, namespace) as ours:
                if ours:
                    await self._graph.apply(namespace, [], applied=await self._ledger.watermark(store, namespace))

    async def rebuild(self, store: StoreKind) -> None:
        """Drops the projection, which must be held, and replays it from the ledger. Raises StoreUnavailable."""
        await self._stores[store].adopt(self._ledger.ledger_id)
        if store is StoreKind.INDEX:
            await self._index.set_model(self._embedder.model)
        for namespace in await self._ledger.namespaces():
            await self._put_kept_facts(store, namespace)
            await self._requeue(store, namespace)

    async def rebuild_namespace(self, store: StoreKind, namespace: str) -> None:
        """The same for one namespace, which must be held."""
        # First the ledger: were it last, and failed, the store would lack what the ledger takes for applied.
        await self._requeue(store, namespace)
        await self._stores[store].drop(namespace)
        await self._put_kept_facts(store, namespace)

    async def _follows(self, store: StoreKind) -> bool:
        if await self._stores[store].ledger_id() != self._ledger.ledger_id:
            return False
        return store is not StoreKind.INDEX or await self._index.model() == self._embedder.model

    async def _adopt(self, store: StoreKind) -> None:
        """Makes the projection this ledger's; another server may have been quicker."""
        if await self._stores[store].ledger_id() != self._ledger.ledger_id:
            await self.rebuild(store)
            return
        if store is not StoreKind.INDEX:
            return
        if await self._index.model() is None:
            await self._index.set_model(self._embedder.model)
        elif await self._index.model() != self._embedder.model:
            await self._refuse_another_model()
            await self.rebuild(store)

    async def _refuse_another_model(self) -> None:
        """Raises StoreUnavailable while other servers fill this ledger's index with vectors of another model."""
        ours, held = self._embedder.model, await self._index.model()
        if held in (None, ours) or await self._index.ledger_id() != self._ledger.ledger_id:
            return
        if await self._ledger.others_with_another_model(ours):
            raise StoreUnavailable(
                StoreKind.INDEX.name.lower(),
                f"other servers fill it with vectors of {held}, this one embeds with {ours}; give all servers one "
                "model, or stop the others: then it is rebuilt",
            )

    async def _put_kept_facts(self, store: StoreKind, namespace: str) -> None:
        if store is StoreKind.GRAPH:
            kept = [PutFacts(facts, source_removed=True) for facts in await self._ledger.kept_facts(namespace)]
            await self._graph.apply(namespace, kept, applied=0)

    async def _requeue(self, store: StoreKind, namespace: str) -> None:
        count = await self._ledger.requeue(store, namespace, after=0)
        logger.info("rebuilding the %s of namespace %s: %d changes to apply", store.name.lower(), namespace, count)
