"""The projector: keeps the index and the graph in step with the ledger.

For each projection one task claims due work from the ledger, in revision order per namespace, applies it in bounded
batches, and marks it done. Everything it does can be done twice, so a crash at any point costs a repetition:

1. claim due work; 2. take kept vectors, embed what has none; 3. apply to the store; 4. keep new vectors; 5. mark done.

Servers that share a ledger share its work by leases, one holder per namespace, so that order per memory is kept. What
one holder has begun is cut off before another may begin (`leases.py`).

A store that does not answer opens its breaker and is tried again with growing delays; its work waits in the ledger, and
before any of it is applied the store is brought under the ledger (`recovery.py`), as at the start. An item that a store
refuses by itself is retried alone, then given up, listed as degraded and recorded as a FAILED event.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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
from memoir_server.ports.graph import EntityGraph
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import Claim, Claims, Lease, LeaseLost, Ledger, Work
from memoir_server.ports.projection import Projection, Remove
from memoir_server.service.breaker import Breaker
from memoir_server.service.following import Following
from memoir_server.service.leases import Leases
from memoir_server.service.projection import graph_actions, index_actions, versions_to_embed
from memoir_server.service.reach import Reach
from memoir_server.service.recovery import Recovery
from memoir_server.service.telling import Telling

logger = logging.getLogger(__name__)
tracer = trace.get_tracer("memoir.projector")
meter = metrics.get_meter("memoir.projector")

BATCH = 500
"""Changes per application; bounds memory and the time to notice a stop. After a failure it is half as many, after a
success a quarter more."""
IDLE_SECONDS = 1.0
"""How often a task looks for work that became due without a notification."""
LEDGER_RETRY_SECONDS = 0.2
"""Pause before the ledger is asked again after it did not answer."""
MEASURE_SECONDS = 10.0
"""How often the lag is measured."""
PING_SECONDS = 1.0
"""How long a store that fails may take for the answer to a ping, before searches leave it alone."""
MAX_ATTEMPTS = 5
"""Attempts at an item that the store refuses, before it is given up."""
FIRST_RETRY_US = 200_000
"""Longest delay before the second attempt at a refused item; doubles with each further one."""

_SYSTEM = Origin(actor=Actor("memoir", ActorKind.SYSTEM))
_NEVER_RECOVERED = -1
_BREAKER_VALUES: Mapping[BreakerState, int] = {
    BreakerState.CLOSED: 0,
    BreakerState.HALF_OPEN: 1,
    BreakerState.OPEN: 2,
}
_applied_counter = meter.create_counter("memoir.projection.applied", unit="{change}", description="Changes applied")
_failure_counter = meter.create_counter(
    "memoir.projection.failures", unit="{attempt}", description="Failed applications"
)
_given_up_counter = meter.create_counter(
    "memoir.projection.given_up", unit="{change}", description="Changes given up for good"
)
_lag_gauge = meter.create_gauge(
    "memoir.projection.lag", unit="{change}", description="Revisions the projection is behind the ledger"
)
_breaker_gauge = meter.create_gauge(
    "memoir.projection.breaker", unit="{state}", description="0 closed, 1 half open, 2 open"
)
_leases_gauge = meter.create_gauge(
    "memoir.projection.leases", unit="{namespace}", description="Namespaces this server has leased"
)


class Projector:
    """Drives every projection of one ledger. `start` recovers, then serves until `stop`.

    `jitter` draws from 0 to 1: delays between attempts are spread by it.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        index: MemoryIndex,
        graph: EntityGraph,
        embedder: Embedder,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
        reach: Reach | None = None,
    ) -> None:
        self._ledger = ledger
        self._index = index
        self._graph = graph
        self._embedder = embedder
        self._clock = clock
        self._jitter = jitter
        self._stores: Mapping[StoreKind, Projection] = {StoreKind.INDEX: index, StoreKind.GRAPH: graph}
        self.leases = Leases(ledger, embedder, self._forget)
        """This server's place among those that share the ledger."""
        self.reach = reach or Reach()
        """What searches know of the stores; it is told what is heard of them here."""
        self._following = Following(ledger, lambda: self.leases.shared)
        self._recovery = Recovery(ledger=ledger, index=index, graph=graph, embedder=embedder, leases=self.leases)
        self._recovered = dict.fromkeys(PROJECTIONS, _NEVER_RECOVERED)
        self._breakers: dict[StoreKind, Breaker] = {}
        self._telling = Telling()
        self._applying: dict[StoreKind, asyncio.Lock] = {}
        self._held: dict[StoreKind, Sequence[Lease]] = dict.fromkeys(PROJECTIONS, ())
        self._most = dict.fromkeys(PROJECTIONS, BATCH)
        self._tasks: list[asyncio.Task[None]] = []
        self._rebuilding: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Brings every projection under this ledger, requeues what it lacks, and starts the tasks. One that does not
        answer is brought under it when it does: until then its breaker is open. Raises StoreUnavailable when the ledger
        does not answer."""
        loop = asyncio.get_running_loop()
        for store in PROJECTIONS:
            self._breakers[store] = Breaker(loop.time)
            self._applying[store] = asyncio.Lock()
        self._following.start()
        await self.leases.start()
        for store in PROJECTIONS:
            await self._recover_at_start(store)
        self._tasks = [asyncio.create_task(self._serve(store), name=f"projector-{store.name}") for store in PROJECTIONS]
        self._tasks.append(asyncio.create_task(self._measure(), name="projector-lag"))

    async def stop(self) -> None:
        """Ends the tasks; the work that is left waits in the ledger."""
        await asyncio.gather(*self._rebuilding, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        await self._following.stop()
        await self.leases.stop()

    def breaker(self, store: StoreKind) -> Breaker:
        """The store's circuit breaker."""
        return self._breakers[store]

    async def wait_applied(self, store: StoreKind, namespace: str, revision: int, timeout: float) -> bool:
        """Waits until the store has applied the revision, at most `timeout` seconds and only while its breaker is
        closed. Returns whether it has, whichever server applied it."""
        breaker = self._breakers[store]
        return await self._following.until_applied(
            store, namespace, revision, timeout, lambda: breaker.state is not BreakerState.CLOSED
        )

    async def wait_moved(self, store: StoreKind, timeout: float) -> None:
        """Waits until work on the store is done or has failed, at most `timeout` seconds."""
        await self._following.until_moved(store, timeout)

    @asynccontextmanager
    async def still(self, store: StoreKind, namespace: str) -> AsyncIterator[None]:
        """Inside, no server applies anything of the namespace to the store, so that it can be compared with the ledger
        or be mended. Keep it short: writers wait for the projections. Raises StoreUnavailable when another server does
        not let go of it, or it was not kept still to the end."""
        async with self._alone(store, namespace):
            yield

    async def remove(self, store: StoreKind, namespace: str, removals: Sequence[Remove]) -> None:
        """Takes out what the ledger knows nothing of; only while the store is `still`. Raises StoreUnavailable."""
        if store is StoreKind.INDEX:
            await self._index.apply(namespace, removals, applied=0)
        else:
            await self._graph.apply(namespace, removals, applied=0)

    async def rebuild_namespace(self, store: StoreKind, namespace: str) -> None:
        """Drops one namespace of the projection and makes all of it pending. Runs to its end whatever becomes of the
        caller. Raises StoreUnavailable."""

        async def whole() -> None:
            async with self._alone(store, namespace):
                await self._recovery.rebuild_namespace(store, namespace)

        task = asyncio.create_task(whole(), name=f"rebuild-{store.name}-{namespace}")
        self._rebuilding.add(task)
        task.add_done_callback(self._rebuilding.discard)
        await asyncio.shield(task)

    async def rebuild(self, store: StoreKind) -> None:
        """Drops the projection and replays it from the ledger. Raises StoreUnavailable."""
        async with self._alone(store, None):
            await self._recovery.rebuild(store)

    def _forget(self) -> None:
        """What this server remembers must not outlive its leases: nobody tells it of erasures any more."""
        self._embedder.forget()
        for projection in self._stores.values():
            projection.forget()

    @asynccontextmanager
    async def _alone(self, store: StoreKind, namespace: str | None) -> AsyncIterator[None]:
        try:
            async with self.leases.held(store, namespace, self._applying[store]):
                yield
        except LeaseLost as lost:
            raise StoreUnavailable(store.name.lower(), f"another server may be changing it now: {lost}") from lost

    async def _recover_at_start(self, store: StoreKind) -> None:
        try:
            await self._recover(store)
        except LeaseLost as lost:
            logger.warning("the %s is not recovered yet: %s", store.name.lower(), lost)
        except StoreUnavailable as outage:
            if outage.store == StoreKind.LEDGER.name.lower():
                raise
            self._breakers[store].trip()
            await self._note_outage(store, outage)

    async def _recover(self, store: StoreKind) -> None:
        term = self.leases.term
        async with self.leases.within():
            await self._recovery.recover(store)
        self._recovered[store] = term

    async def _serve(self, store: StoreKind) -> None:
        breaker = self._breakers[store]
        while True:
            await asyncio.sleep(breaker.delay())
            try:
                claims = await self._work(store)
                busy = any(claim.work for claim in claims.claims)
                if not busy and breaker.state is not BreakerState.CLOSED:
                    # Nothing to apply, but writers want to know whether waiting makes sense again.
                    await self._stores[store].ping()
                if busy or breaker.state is not BreakerState.CLOSED:
                    self.reach.heard(store)
                breaker.succeeded()
                self._most[store] = min(BATCH, self._most[store] + self._most[store] // 4 + 1)
                if not busy:
                    await self._ledger.wait_for_work(IDLE_SECONDS, seen=claims.seen)
            except StoreUnavailable as outage:
                if outage.store == StoreKind.LEDGER.name.lower():
                    # Not this store's fault: its breaker stays as it is.
                    logger.warning("the projection of the %s is waiting: %s", store.name.lower(), outage)
                    await asyncio.sleep(LEDGER_RETRY_SECONDS)
                else:
                    await self._note_outage(store, outage)
            except EmbedderUnavailable as outage:
                await self._note_outage(store, outage, recover=False)
            except LeaseLost as lost:
                # The work is another server's, or will be claimed again.
                logger.warning("the projection of the %s begins anew: %s", store.name.lower(), lost)
                await asyncio.sleep(LEDGER_RETRY_SECONDS)
            except Exception as defect:
                # The task must not die of it: a projection that silently stops is the worst of failures.
                logger.exception("the projection of the %s failed", store.name.lower())
                await self._note_outage(store, defect)

    async def _work(self, store: StoreKind) -> Claims:
        """One round: claims what is due and applies it."""
        # From reading the work to marking it done: a rebuild in between would leave it marked and not done.
        async with self._applying[store], self.leases.within():
            if self._recovered[store] != self.leases.term:
                await self._let_go(store)
                await self._recover(store)
            claims = await self._ledger.claim(store, limit=self._most[store], now=self._clock.now())
            if self.leases.shared:
                self._holds(store, [claim.lease for claim in claims.claims])
            for claim in claims.claims:
                if claim.work:
                    await self._apply_or_split(claim, claim.work)
            return claims

    def _holds(self, store: StoreKind, leases: Sequence[Lease]) -> None:
        self._held[store] = leases
        _leases_gauge.set(len(leases), {"memoir.store": store.name.lower()})

    async def _let_go(self, store: StoreKind, *, linger: float = 0.0) -> None:
        """Leaves the store's work to other servers."""
        held = self._held[store]
        if held:
            self._holds(store, ())
            # Without an answer they run out by themselves.
            with suppress(StoreUnavailable):
                await self._ledger.release(held, linger=linger)

    async def _note_outage(self, store: StoreKind, outage: Exception, *, recover: bool = True) -> None:
        breaker = self._breakers[store]
        breaker.failed()
        # What is too much for a slow store in the time of one call would be so the next time, too.
        self._most[store] = max(1, self._most[store] // 2)
        _failure_counter.add(1, {"memoir.store": store.name.lower()})
        logger.warning("%s is behind: %s; next attempt in %.1f s", store.name.lower(), outage, breaker.delay())
        if recover and breaker.state is not BreakerState.CLOSED:
            # It may come back empty, or as an old copy.
            self._recovered[store] = _NEVER_RECOVERED
        # It may be this server alone that does not reach the store.
        await self._let_go(store, linger=self.leases.linger)
        await self._following.announce(store)
        if recover and breaker.state is not BreakerState.CLOSED:
            await self._listen(store)

    async def _listen(self, store: StoreKind) -> None:
        """Finds out whether a store that fails keeps those waiting who ask it, or answers, be it with a refusal."""
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._stores[store].ping()
        except TimeoutError:
            self.reach.found_silent(store)
        except Exception:  # noqa: BLE001 - whatever it says, it does not keep anybody waiting
            self.reach.refuses(store)
        else:
            self.reach.refuses(store)

    async def _apply_or_split(self, claim: Claim, work: Sequence[Work]) -> None:
        """Applies a batch; one that the store refuses is applied item by item, so that one bad version does not hold
        up the others."""
        try:
            await self._apply(claim, work)
        except (StoreUnavailable, EmbedderUnavailable, LeaseLost):
            raise
        except Exception as refusal:  # noqa: BLE001 - the store answered and refused: whatever the type, the item is at fault
            if len(work) > 1:
                for item in work:
                    await self._apply_or_split(claim, [item])
                return
            await self._refused(claim, work[0], refusal)
        await self._following.announce(claim.lease.store, claim.lease.namespace)

    async def _apply(self, claim: Claim, work: Sequence[Work]) -> None:
        store, namespace = claim.lease.store, claim.lease.namespace
        assert namespace is not None
        with tracer.start_as_current_span(
            f"project {store.name.lower()}", attributes={"memoir.namespace": namespace, "memoir.changes": len(work)}
        ):
            # `claim.applied` is surely applied before this batch: after a crash the projection asks for a little more
            # than it needs, never for less.
            if store is StoreKind.INDEX:
                vectors, fresh = await self._vectors(namespace, work)
                actions = index_actions(work, vectors)
                # A request that is sent too late could overtake another server's later one.
                self.leases.check()
                await self._index.apply(namespace, actions, applied=claim.applied)
                if fresh:
                    await self._ledger.keep_vectors(namespace, self._embedder.model, fresh)
            else:
                self.leases.check()
                said = graph_actions(work)
                # Whether a store in trouble is back is found out by asking it.
                if self._telling.needed(namespace, said) or self.reach.troubled or not self._breakers[store].sound:
                    await self._graph.apply(namespace, said, applied=claim.applied)
            revisions = [item.change.revision for item in work]
            await self._ledger.complete(store, namespace, revisions, lease=claim.lease)
        _applied_counter.add(len(work), {"memoir.store": store.name.lower()})

    async def _vectors(
        self, namespace: str, work: Sequence[Work]
    ) -> tuple[dict[bytes, NDArray[np.float32]], dict[bytes, NDArray[np.float32]]]:
        """Vectors by content hash: all that the batch needs, and those among them that had to be computed."""
        needed = {memory.content_hash: memory for memory in versions_to_embed(work)}
        if not needed:
            return {}, {}
        model = self._embedder.model
        kept = dict(await self._ledger.vectors(namespace, list(needed), model))
        missing = [h for h in needed if h not in kept]
        fresh: dict[bytes, NDArray[np.float32]] = {}
        if missing:
            rows = await self._embedder.embed([needed[h].indexed_text for h in missing], kind=EmbedKind.DOCUMENT)
            fresh = dict(zip(missing, rows, strict=True))
        return kept | fresh, fresh

    async def _refused(self, claim: Claim, item: Work, refusal: Exception) -> None:
        store, namespace, revision = claim.lease.store, item.change.namespace, item.change.revision
        name = store.name.lower()
        _failure_counter.add(1, {"memoir.store": name})
        if item.attempts + 1 < MAX_ATTEMPTS:
            until = self._clock.now() + round(FIRST_RETRY_US * 2**item.attempts * self._jitter())
            await self._ledger.postpone(
                store, namespace, [revision], until=until, error=str(refusal), lease=claim.lease
            )
            logger.warning("%s refused revision %d of %s: %s; will retry", name, revision, namespace, refusal)
            return
        await self._ledger.give_up(store, namespace, revision, error=str(refusal), lease=claim.lease)
        _given_up_counter.add(1, {"memoir.store": name})
        logger.error("%s refused revision %d of %s for good", name, revision, namespace, exc_info=refusal)
        await self._ledger.append_failure(
            namespace,
            item.change.memory_id,
            f"the {name} could not apply revision {revision}: {refusal}",
            now=self._clock.now(),
            origin=_SYSTEM,
        )

    async def _measure(self) -> None:
        while True:
            for store, breaker in self._breakers.items():
                attributes = {"memoir.store": store.name.lower()}
                _breaker_gauge.set(_BREAKER_VALUES[breaker.state], attributes)
                # What is not known is not measured: the last value stands.
                with suppress(StoreUnavailable):
                    _lag_gauge.set(await self._ledger.behind(store), attributes)
            await asyncio.sleep(MEASURE_SECONDS)
