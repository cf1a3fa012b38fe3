"""The projector: keeps the index and the graph in step with the ledger.

For each projection one task takes due work from the ledger, in revision order per namespace, applies it in bounded
batches, and marks it done. Everything it does can be done twice, so a crash at any point costs a repetition:

1. read due work; 2. take kept vectors, embed what has none; 3. apply to the store; 4. keep new vectors; 5. mark done.

A store that does not answer opens its breaker and is tried again with growing delays; its work waits in the ledger. An
item that a store refuses by itself is retried alone, then given up, listed as degraded and recorded as a FAILED event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import numpy as np
from numpy.typing import NDArray
from opentelemetry import metrics, trace

from memoir_server.domain.change import Actor, ActorKind, Origin
from memoir_server.domain.embedding import EmbedKind
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.store import PROJECTIONS, BreakerState, StoreKind
from memoir_server.ports.clock import Clock
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable
from memoir_server.ports.graph import EntityGraph, PutFacts
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import Ledger, Work
from memoir_server.ports.projection import Projection, Remove
from memoir_server.service.breaker import Breaker
from memoir_server.service.projection import graph_actions, index_actions, versions_to_embed

logger = logging.getLogger(__name__)
tracer = trace.get_tracer("memoir.projector")
meter = metrics.get_meter("memoir.projector")

BATCH = 500
"""Changes per application; bounds memory and the time to notice a stop."""
IDLE_SECONDS = 1.0
"""How often a task looks for work that became due without a notification."""
LEDGER_RETRY_SECONDS = 0.2
"""Pause before the ledger is asked again after it did not answer."""
MAX_ATTEMPTS = 5
"""Attempts at an item that the store refuses, before it is given up."""
FIRST_RETRY_US = 200_000
"""Delay before the second attempt at a refused item; doubles with each further one."""

_SYSTEM = Origin(actor=Actor("memoir", ActorKind.SYSTEM))
_applied_counter = meter.create_counter("memoir.projection.applied", unit="{change}", description="Changes applied")
_failure_counter = meter.create_counter(
    "memoir.projection.failures", unit="{attempt}", description="Failed applications"
)


class Projector:
    """Drives every projection of one ledger. `start` recovers, then serves until `stop`."""

    def __init__(
        self, *, ledger: Ledger, index: MemoryIndex, graph: EntityGraph, embedder: Embedder, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._index = index
        self._graph = graph
        self._embedder = embedder
        self._clock = clock
        self._stores: Mapping[StoreKind, Projection] = {StoreKind.INDEX: index, StoreKind.GRAPH: graph}
        self._breakers: dict[StoreKind, Breaker] = {}
        self._moved: dict[StoreKind, asyncio.Condition] = {}
        self._applying: dict[StoreKind, asyncio.Lock] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._rebuilding: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Brings every projection under this ledger, requeues what it lacks, and starts the tasks."""
        loop = asyncio.get_running_loop()
        for store in PROJECTIONS:
            self._breakers[store] = Breaker(loop.time)
            self._moved[store] = asyncio.Condition()
            self._applying[store] = asyncio.Lock()
        for store in PROJECTIONS:
            await self._recover(store)
        self._tasks = [asyncio.create_task(self._serve(store), name=f"projector-{store.name}") for store in PROJECTIONS]

    async def stop(self) -> None:
        """Ends the tasks; the work that is left waits in the ledger."""
        await asyncio.gather(*self._rebuilding, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    def breaker(self, store: StoreKind) -> Breaker:
        """The store's circuit breaker."""
        return self._breakers[store]

    async def wait_applied(self, store: StoreKind, namespace: str, revision: int, timeout: float) -> bool:
        """Waits until the store has applied the revision, at most `timeout` seconds and only while its breaker is
        closed. Returns whether it has."""
        if await self._ledger.watermark(store, namespace) >= revision:
            return True
        deadline = asyncio.get_running_loop().time() + timeout
        condition = self._moved[store]
        try:
            async with asyncio.timeout_at(deadline), condition:
                while await self._ledger.watermark(store, namespace) < revision:
                    if self._breakers[store].state is not BreakerState.CLOSED:
                        return False
                    await condition.wait()
        except TimeoutError:
            return await self._ledger.watermark(store, namespace) >= revision
        return True

    async def wait_moved(self, store: StoreKind, timeout: float) -> None:
        """Waits until work on the store is done or has failed, at most `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout), self._moved[store]:
                await self._moved[store].wait()

    @asynccontextmanager
    async def still(self, store: StoreKind) -> AsyncIterator[None]:
        """Inside, nothing is applied to the store, so that it can be compared with the ledger or be mended. Keep it
        short: writers wait for the projections."""
        async with self._applying[store]:
            yield

    async def remove(self, store: StoreKind, namespace: str, removals: Sequence[Remove]) -> None:
        """Takes out what the ledger knows nothing of; only while the store is `still`. Raises StoreUnavailable."""
        if store is StoreKind.INDEX:
            await self._index.apply(namespace, removals, applied=0)
        else:
            await self._graph.apply(namespace, removals, applied=0)

    async def rebuild_namespace(self, store: StoreKind, namespace: str) -> None:
        """Drops one namespace of the projection and makes all of it pending. Runs to its end whatever becomes of the
        caller: between the two steps the store would lack what the ledger takes for applied. Raises
        StoreUnavailable."""

        async def whole() -> None:
            async with self._applying[store]:
                await self._stores[store].drop(namespace)
                await self._replay(store, namespace)

        task = asyncio.create_task(whole(), name=f"rebuild-{store.name}-{namespace}")
        self._rebuilding.add(task)
        task.add_done_callback(self._rebuilding.discard)
        await asyncio.shield(task)

    async def rebuild(self, store: StoreKind) -> None:
        """Drops the projection and replays it from the ledger."""
        await self._stores[store].adopt(self._ledger.ledger_id)
        if store is StoreKind.INDEX:
            await self._index.set_model(self._embedder.model)
        for namespace in await self._ledger.namespaces():
            await self._replay(store, namespace)

    async def _replay(self, store: StoreKind, namespace: str) -> None:
        if store is StoreKind.GRAPH:
            kept = [PutFacts(facts, source_removed=True) for facts in await self._ledger.kept_facts(namespace)]
            await self._graph.apply(namespace, kept, applied=0)
        count = await self._ledger.requeue(store, namespace, after=0)
        logger.info("rebuilding the %s of namespace %s: %d changes to apply", store.name.lower(), namespace, count)

    async def _recover(self, store: StoreKind) -> None:
        """What the ledger has and the projection lacks becomes pending again."""
        projection = self._stores[store]
        if await projection.ledger_id() != self._ledger.ledger_id or await self._other_model(store):
            await self.rebuild(store)
            return
        if store is StoreKind.INDEX:
            await self._index.set_model(self._embedder.model)
        for namespace in await self._ledger.namespaces():
            applied = await projection.applied(namespace)
            if applied > (await self._ledger.head(namespace)).revision:
                # The ledger was restored from an older copy: the projection holds what never happened.
                await self.rebuild(store)
                return
            if applied < await self._ledger.watermark(store, namespace):
                await self._ledger.requeue(store, namespace, after=applied)

    async def _other_model(self, store: StoreKind) -> bool:
        if store is not StoreKind.INDEX:
            return False
        model = await self._index.model()
        return model is not None and model != self._embedder.model

    async def _serve(self, store: StoreKind) -> None:
        breaker = self._breakers[store]
        while True:
            await asyncio.sleep(breaker.delay())
            try:
                # From reading the work to marking it done: a rebuild in between would leave it marked and not done.
                async with self._applying[store]:
                    due = await self._ledger.pending(store, limit=BATCH, now=self._clock.now())
                    for namespace, work in due.items():
                        await self._apply_or_split(store, namespace, work)
                if not due and breaker.state is BreakerState.HALF_OPEN:
                    # Nothing to apply, but writers want to know whether waiting makes sense again.
                    await self._stores[store].ping()
            except StoreUnavailable as outage:
                if outage.store == StoreKind.LEDGER.name.lower():
                    # Not this store's fault: its breaker stays as it is.
                    logger.warning("the projection of the %s is waiting: %s", store.name.lower(), outage)
                    await asyncio.sleep(LEDGER_RETRY_SECONDS)
                else:
                    await self._note_outage(store, outage)
                continue
            except EmbedderUnavailable as outage:
                await self._note_outage(store, outage)
                continue
            except Exception as defect:
                # The task must not die of it: a projection that silently stops is the worst of failures.
                logger.exception("the projection of the %s failed", store.name.lower())
                await self._note_outage(store, defect)
                continue
            breaker.succeeded()
            if not due:
                await self._ledger.wait_for_work(IDLE_SECONDS)

    async def _note_outage(self, store: StoreKind, outage: Exception) -> None:
        breaker = self._breakers[store]
        breaker.failed()
        _failure_counter.add(1, {"memoir.store": store.name.lower()})
        logger.warning("%s is behind: %s; next attempt in %.1f s", store.name.lower(), outage, breaker.delay())
        async with self._moved[store]:
            self._moved[store].notify_all()

    async def _apply_or_split(self, store: StoreKind, namespace: str, work: Sequence[Work]) -> None:
        """Applies a batch; one that the store refuses is applied item by item, so that one bad version does not hold
        up the others."""
        try:
            await self._apply(store, namespace, work)
        except (StoreUnavailable, EmbedderUnavailable):
            raise
        except Exception as refusal:  # noqa: BLE001 - the store answered and refused: whatever the type, the item is at fault
            if len(work) > 1:
                for item in work:
                    await self._apply_or_split(store, namespace, [item])
                return
            await self._refused(store, namespace, work[0], refusal)
        await self._announce(store)

    async def _apply(self, store: StoreKind, namespace: str, work: Sequence[Work]) -> None:
        with tracer.start_as_current_span(
            f"project {store.name.lower()}", attributes={"memoir.namespace": namespace, "memoir.changes": len(work)}
        ):
            # What is surely applied before this batch: after a crash the projection asks for a little more than it
            # needs, never for less.
            applied = await self._ledger.watermark(store, namespace)
            if store is StoreKind.INDEX:
                vectors, fresh = await self._vectors(namespace, work)
                await self._index.apply(namespace, index_actions(work, vectors), applied=applied)
                if fresh:
                    await self._ledger.keep_vectors(namespace, self._embedder.model, fresh)
            else:
                await self._graph.apply(namespace, graph_actions(work), applied=applied)
            await self._ledger.complete(store, namespace, [item.change.revision for item in work])
        _applied_counter.add(len(work), {"memoir.store": store.name.lower()})

    async def _vectors(
        self, namespace: str, work: Sequence[Work]
    ) -> tuple[dict[bytes, NDArray[np.float32]], dict[bytes, NDArray[np.float32]]]:
        """Vectors by content hash: all that the batch needs, and those among them that had to be computed."""
        texts = {memory.content_hash: memory.indexed_text for memory in versions_to_embed(work)}
        if not texts:
            return {}, {}
        model = self._embedder.model
        kept = dict(await self._ledger.vectors(namespace, list(texts), model))
        missing = [h for h in texts if h not in kept]
        fresh: dict[bytes, NDArray[np.float32]] = {}
        if missing:
            rows = await self._embedder.embed([texts[h] for h in missing], kind=EmbedKind.DOCUMENT)
            fresh = dict(zip(missing, rows, strict=True))
        return kept | fresh, fresh

    async def _refused(self, store: StoreKind, namespace: str, item: Work, refusal: Exception) -> None:
        name, revision = store.name.lower(), item.change.revision
        _failure_counter.add(1, {"memoir.store": name})
        if item.attempts + 1 < MAX_ATTEMPTS:
            until = self._clock.now() + FIRST_RETRY_US * 2**item.attempts
            await self._ledger.postpone(store, namespace, [revision], until=until, error=str(refusal))
            logger.warning("%s refused revision %d of %s: %s; will retry", name, revision, namespace, refusal)
            return
        await self._ledger.give_up(store, namespace, revision, error=str(refusal))
        logger.error("%s refused revision %d of %s for good", name, revision, namespace, exc_info=refusal)
        await self._ledger.append_failure(
            namespace,
            item.change.memory_id,
            f"the {name} could not apply revision {revision}: {refusal}",
            now=self._clock.now(),
            origin=_SYSTEM,
        )

    async def _announce(self, store: StoreKind) -> None:
        async with self._moved[store]:
            self._moved[store].notify_all()
