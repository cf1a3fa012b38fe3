"""The service layer over the real embedded stores, in one process, with faults on request and a clock that is set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memoir_server.adapters.cache.memory import MemoryEmbeddingCache
from memoir_server.adapters.embedder.batching import BatchingEmbedder
from memoir_server.adapters.embedder.cached import CachedEmbedder
from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.adapters.graph.sqlite import SqliteGraph
from memoir_server.adapters.index.sqlite import SqliteIndex
from memoir_server.adapters.ledger.sqlite import SqliteLedger
from memoir_server.app.testing import BEGIN, CountingEntropy, CountingIds
from memoir_server.domain.change import Change
from memoir_server.domain.conversation import MemoryPatch, NewMemory
from memoir_server.domain.duplicate import Thresholds
from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vectors
from memoir_server.domain.memory import EntityMention, Memory, RelationStatement, Scope
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.reset import Reset, ResetTarget
from memoir_server.domain.search import AsOf, SearchResult, SearchSpec
from memoir_server.domain.selection import TimeRange
from memoir_server.domain.store import PROJECTIONS, BreakerState, Durability, StoreKind
from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.graph import EntityGraph
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import HistoryQuery, Ledger
from memoir_server.service.accesses import Accesses
from memoir_server.service.call import Call
from memoir_server.service.duplicates import CosineGuard
from memoir_server.service.expiry import Sweeper
from memoir_server.service.freshness import Freshness
from memoir_server.service.graph_reading import GraphReading
from memoir_server.service.history import History
from memoir_server.service.projector import Projector
from memoir_server.service.reach import PHASE_SECONDS, Reach
from memoir_server.service.recalling import ListSpec, Recalling
from memoir_server.service.remembering import Remembering, Written
from memoir_server.service.resets import Resets
from tests.service.faults import Faults, embedder_faults, faulty

NS = "test"
ANA = Scope(user_id="ana")
BO = Scope(user_id="bo")
SECOND = 1_000_000


class SetClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time: Instant = BEGIN

    def now(self) -> Instant:
        return self.time

    def advance(self, seconds: float) -> Instant:
        self.time += round(seconds * SECOND)
        return self.time


class CountedEmbedder(Embedder):
    """Notes each text that reaches the model."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.texts: list[str] = []

    @property
    def model(self) -> EmbeddingModel:
        return self._inner.model

    async def embed(self, texts: Iterable[str], *, kind: EmbedKind) -> Vectors:
        wanted = list(texts)
        self.texts.extend(wanted)
        return await self._inner.embed(wanted, kind=kind)

    async def close(self) -> None:
        await self._inner.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memoir:
    """A running service layer. Calls go to the namespace NS."""

    clock: SetClock
    ledger: Ledger
    index: MemoryIndex
    graph: EntityGraph
    embedder: Embedder
    cache: MemoryEmbeddingCache
    model: CountedEmbedder
    faults: dict[StoreKind, Faults]
    projector: Projector
    freshness: Freshness
    remembering: Remembering
    recalling: Recalling
    graph_reading: GraphReading
    history: History
    resets: Resets
    sweeper: Sweeper
    accesses: Accesses

    @property
    def ledger_faults(self) -> Faults:
        return self.faults[StoreKind.LEDGER]

    @property
    def index_faults(self) -> Faults:
        return self.faults[StoreKind.INDEX]

    @property
    def graph_faults(self) -> Faults:
        return self.faults[StoreKind.GRAPH]

    @property
    def embedder_faults(self) -> Faults:
        return self.faults[StoreKind.EMBEDDER]

    async def create(self, text: str, scope: Scope = ANA, *, call: Call | None = None, **fields: Any) -> Memory:
        """Stores one memory and returns it."""
        written = await self.remembering.create(NS, NewMemory(text=text, scope=scope, **fields), call or calling())
        created = written.changes[-1].after
        assert created is not None
        return created

    async def update(self, memory_id: str, **fields: Any) -> Written:
        """Changes fields of a memory."""
        return await self.remembering.update(NS, memory_id, patching(**fields), calling())

    async def delete(self, *memory_ids: str) -> Written:
        """Deletes memories."""
        return await self.remembering.delete(NS, memory_ids, calling())

    async def search(self, query: str, scope: Scope = ANA, *, call: Call | None = None, **fields: Any) -> SearchResult:
        """A unary search."""
        return await self.recalling.search(NS, SearchSpec(query=query, scope=scope, **fields), call or calling())

    async def found(self, query: str, scope: Scope = ANA, **fields: Any) -> list[str]:
        """Ids of a search's hits, in order."""
        return [hit.memory.memory_id for hit in (await self.search(query, scope, **fields)).hits]

    async def listed(self, scope: Scope = ANA, *, as_of: AsOf | None = None, **fields: Any) -> list[Memory]:
        """A listing of up to 500 memories."""
        spec = ListSpec(
            scope=scope,
            filter=fields.get("filter"),
            created=fields.get("created", TimeRange()),
            include_superseded=fields.get("include_superseded", False),
            as_of=as_of,
            valid_at=fields.get("valid_at"),
        )
        page = await self.recalling.list(NS, spec, after=None, revision=None, limit=500)
        return list(page.memories)

    async def events(self, **query: Any) -> list[Change]:
        """The history, oldest first."""
        return list(await self.history.page(NS, HistoryQuery(**query), limit=1000))

    async def head(self) -> int:
        return (await self.ledger.head(NS)).revision

    async def settle(self, *stores: StoreKind, timeout: float = 10.0) -> None:
        """Waits until the projections have applied the head."""
        for store in stores or PROJECTIONS:
            await until(lambda store=store: self._level(store), timeout)  # type: ignore[misc]  # bound now, not later

    async def _level(self, store: StoreKind) -> bool:
        return await self.ledger.watermark(store, NS) == await self.head()

    async def open_breaker(self, store: StoreKind) -> None:
        """Waits until the projector has given up asking the store for a while."""

        async def opened() -> bool:
            return self.projector.breaker(store).state is not BreakerState.CLOSED

        await until(opened)

    async def reset(self, scope: Scope | None = ANA, *, allow_drift: bool = False, **target: Any) -> Reset:
        """Plans and executes; returns the running reset."""
        plan, token = await self.resets.plan(NS, ResetTarget(scope=scope, **target), calling())
        return await self.resets.execute(NS, plan.reset_id, token, calling(), allow_drift=allow_drift)

    async def finished(self, reset: Reset, timeout: float = 10.0) -> Reset:
        """Follows a reset to its end."""
        async with asyncio.timeout(timeout):
            return [step async for step in self.resets.watch(NS, reset.reset_id, after_sequence=0)][-1]


@dataclass(frozen=True, slots=True)
class Shared:
    """What several servers share: one ledger, opened by each, and projections that are open already."""

    ledger: Callable[[], Ledger]
    index: MemoryIndex
    graph: EntityGraph


@dataclass(slots=True)
class World:
    """What outlives a run of the service: the files, the clock, the ids; or what servers share instead of files."""

    directory: Path
    clock: SetClock = field(default_factory=SetClock)
    ids: CountingIds = field(default_factory=CountingIds)
    entropy: CountingEntropy = field(default_factory=CountingEntropy)
    shared: Shared | None = None
    phase_seconds: float = PHASE_SECONDS

    @asynccontextmanager
    async def running(
        self,
        *,
        model: Embedder | None = None,
        prepare: Callable[[dict[StoreKind, Faults]], None] | None = None,
        cosine: float = 0.0,
    ) -> AsyncIterator[Memoir]:
        """Opens the stores, starts the service, and stops both at the end. `prepare` sets faults for the start;
        `cosine` is the threshold of the cosine guard."""
        counted = CountedEmbedder(model or HashEmbedder(256))
        faults = {kind: Faults(kind.name.lower()) for kind in (StoreKind.LEDGER, *PROJECTIONS)}
        faults[StoreKind.EMBEDDER] = embedder_faults(counted)
        cache = MemoryEmbeddingCache(1 << 20)
        inner = faulty(Embedder, counted, faults[StoreKind.EMBEDDER])  # type: ignore[type-abstract]
        embedder = CachedEmbedder(BatchingEmbedder(inner), cache)
        stores = self.shared or Shared(
            lambda: SqliteLedger(self.directory, entropy=self.entropy),
            SqliteIndex(self.directory),
            SqliteGraph(self.directory),
        )
        ledger = faulty(Ledger, stores.ledger(), faults[StoreKind.LEDGER])  # type: ignore[type-abstract]
        index = faulty(MemoryIndex, stores.index, faults[StoreKind.INDEX])  # type: ignore[type-abstract]
        graph = faulty(EntityGraph, stores.graph, faults[StoreKind.GRAPH])  # type: ignore[type-abstract]
        reach = Reach(phase_seconds=self.phase_seconds)
        projector = Projector(ledger=ledger, index=index, graph=graph, embedder=embedder, clock=self.clock, reach=reach)
        freshness = Freshness(ledger, projector)
        resets = Resets(
            ledger=ledger,
            projections={StoreKind.INDEX: index, StoreKind.GRAPH: graph},
            embedder=embedder,
            projector=projector,
            clock=self.clock,
            ids=self.ids,
        )
        guard = CosineGuard(
            ledger=ledger, index=index, embedder=embedder, projector=projector, thresholds=Thresholds(default=cosine)
        )
        accesses = Accesses(ledger, self.clock)
        if prepare is not None:
            prepare(faults)
        async with AsyncExitStack() as closing:
            closing.push_async_callback(embedder.close)
            for store in (ledger,) if self.shared else (ledger, index, graph):
                await store.open()
                closing.push_async_callback(store.close)
            closing.push_async_callback(projector.stop)
            await projector.start()
            closing.push_async_callback(resets.stop)
            await resets.start()
            closing.push_async_callback(accesses.stop)
            await accesses.start()
            yield Memoir(
                clock=self.clock,
                ledger=ledger,
                index=index,
                graph=graph,
                embedder=embedder,
                cache=cache,
                model=counted,
                faults=faults,
                projector=projector,
                freshness=freshness,
                remembering=Remembering(ledger, freshness, self.clock, self.ids, guard, embedder),
                recalling=Recalling(
                    ledger=ledger,
                    index=index,
                    graph=graph,
                    embedder=embedder,
                    freshness=freshness,
                    clock=self.clock,
                    ids=self.ids,
                    accesses=accesses,
                    reach=projector.reach,
                ),
                graph_reading=GraphReading(ledger=ledger, graph=graph, freshness=freshness, clock=self.clock),
                history=History(ledger),
                resets=resets,
                sweeper=Sweeper(ledger, self.clock),
                accesses=accesses,
            )


def calling(
    seconds: float = 10.0,
    *,
    durability: Durability = Durability.INDEXED,
    request_id: str = "",
    fingerprint: bytes = b"same",
    method: str = "Write",
) -> Call:
    """A call with so many seconds left."""
    key = IdempotencyKey("anonymous", NS, method, request_id, fingerprint) if request_id else None
    return Call(
        deadline=asyncio.get_running_loop().time() + seconds,
        durability=durability,
        request_id=request_id,
        idempotency=key,
    )


def patching(**fields: Any) -> MemoryPatch:
    """A patch of the named fields."""
    values = NewMemory(**{"text": "", "scope": Scope(), **fields})
    return MemoryPatch(fields=frozenset(fields), values=values)


def knows(subject: str, object_: str, predicate: str = "knows") -> dict[str, Any]:
    """Fields of a memory that states one relation between two persons."""
    return {
        "entities": (EntityMention(name=subject, type="person"), EntityMention(name=object_, type="person")),
        "relations": (RelationStatement(subject=subject, predicate=predicate, object=object_),),
    }


async def until(condition: Callable[[], Awaitable[bool]], timeout: float = 10.0) -> None:
    """Waits for a condition that comes true by itself."""
    async with asyncio.timeout(timeout):
        while not await condition():  # noqa: ASYNC110  # what is waited for has no event to announce it
            await asyncio.sleep(0.005)
