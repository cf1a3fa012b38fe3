"""Reading memories: get, list and search."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from opentelemetry import trace

from memoir_server.domain.errors import MemoryNotFound
from memoir_server.domain.filter import Filter
from memoir_server.domain.memory import NEVER, Memory, Scope
from memoir_server.domain.search import AsOf, Completed, SearchEvent, SearchResult, SearchSpec
from memoir_server.domain.selection import Selection, TimeRange, make_selection
from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock, IdSource
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.graph import EntityGraph
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import Ledger, ListPosition
from memoir_server.service.accesses import Accesses
from memoir_server.service.call import Call
from memoir_server.service.deadlines import Deadlines
from memoir_server.service.freshness import Freshness
from memoir_server.service.gathering import Gathering
from memoir_server.service.moment import check_filter, revision_of
from memoir_server.service.reach import Reach
from memoir_server.service.searching import Search, stores_of

tracer = trace.get_tracer("memoir.recalling")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSpec:
    """What to list."""

    scope: Scope
    filter: Filter | None
    created: TimeRange
    include_superseded: bool
    as_of: AsOf | None
    valid_at: Instant | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, and the revision all its pages are read at."""

    memories: Sequence[Memory]
    revision: int


class Recalling:
    """The read path. Point reads and lists come from the ledger alone and never wait."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        index: MemoryIndex,
        graph: EntityGraph,
        embedder: Embedder,
        freshness: Freshness,
        clock: Clock,
        ids: IdSource,
        accesses: Accesses,
        reach: Reach,
    ) -> None:
        self._ledger = ledger
        self._index = index
        self._graph = graph
        self._embedder = embedder
        self._freshness = freshness
        self._clock = clock
        self._ids = ids
        self._deadlines = Deadlines()
        self._accesses = accesses
        self._reach = reach

    async def get(self, namespace: str, memory_id: str, *, as_of: AsOf | None, counted: bool = True) -> Memory:
        """The memory, or its version at a past moment; an access of it, unless not `counted`. Raises MemoryNotFound,
        FieldInvalid."""
        revision = NEVER - 1 if as_of is None else await revision_of(self._ledger, namespace, as_of, "as_of")
        found = await self._ledger.get(namespace, [memory_id], revision=revision, now=self._clock.now())
        if memory_id not in found:
            raise MemoryNotFound(namespace, memory_id)
        memory = found[memory_id]
        if counted:
            self._accesses.note(namespace, (memory_id,), memory.revision)
        return memory

    async def list(
        self, namespace: str, spec: ListSpec, *, after: ListPosition | None, revision: int | None, limit: int
    ) -> Page:
        """One page. `revision` is that of the first page, so that a listing is of one moment; None on the first.

        Raises FieldInvalid for a filter that cannot be used or a moment that has not been.
        """
        if spec.filter is not None:
            await check_filter(self._ledger, namespace, spec.filter, "filter")
        if revision is None:
            revision = (
                (await self._ledger.head(namespace)).revision
                if spec.as_of is None
                else await revision_of(self._ledger, namespace, spec.as_of, "as_of")
            )
        # A listing is of one moment on all its pages, the present one included.
        selection = (
            self._present(spec, revision) if spec.as_of is None else await self._selection(namespace, spec, revision)
        )
        return Page(await self._ledger.list_memories(namespace, selection, after=after, limit=limit), revision)

    async def search(self, namespace: str, spec: SearchSpec, call: Call, *, counted: bool = True) -> SearchResult:
        """What the events of `stream` fold to, without the provisional hits that nobody would see. Its hits are
        accesses, unless not `counted`. Raises what `stream` raises."""
        search = await self._prepared(namespace, spec, call)
        result = await search.answer()
        if counted:
            self._accesses.note(namespace, tuple([hit.memory.memory_id for hit in result.hits]), result.revision)
        return result

    async def stream(self, namespace: str, spec: SearchSpec, call: Call) -> AsyncIterator[SearchEvent]:
        """The events of a search, as the contract's StreamSearchMemories describes.

        Raises FieldInvalid, FeatureDisabled, FreshnessTimeout, StoreUnavailable (when every phase failed).
        """
        search = await self._prepared(namespace, spec, call)
        async for event in search.run():
            if isinstance(event, Completed):
                # The hits that a search ends with are accesses of them.
                self._accesses.note(namespace, event.order, event.revision)
            yield event

    async def _prepared(self, namespace: str, spec: SearchSpec, call: Call) -> Search:
        """The search, when the stores are as fresh as it asks for and its moment and filter are known to be right."""
        if spec.min_revision:
            await self._freshness.before_read(namespace, spec.min_revision, stores_of(spec), call)
        if spec.filter is not None:
            await check_filter(self._ledger, namespace, spec.filter, "spec.filter")
        if spec.as_of is None:
            revision = (await self._ledger.head(namespace)).revision
            selection = self._present(spec, NEVER - 1)
        else:
            revision = await revision_of(self._ledger, namespace, spec.as_of, "spec.as_of")
            selection = await self._selection(namespace, spec, revision)
        return Search(
            gathering=Gathering(
                ledger=self._ledger,
                index=self._index,
                graph=self._graph,
                embedder=self._embedder,
                namespace=namespace,
                spec=spec,
                selection=selection,
            ),
            ledger=self._ledger,
            namespace=namespace,
            spec=spec,
            selection=selection,
            revision=revision,
            search_id=self._ids.new_id(),
            call=call,
            deadlines=self._deadlines,
            reach=self._reach,
        )

    async def selection_at(self, namespace: str, spec: SearchSpec, revision: int) -> Selection:
        """What a search of the spec, which saw `revision`, may show. For reading further in its terms."""
        return (
            self._present(spec, NEVER - 1) if spec.as_of is None else await self._selection(namespace, spec, revision)
        )

    def _present(self, spec: ListSpec | SearchSpec, revision: int) -> Selection:
        """What is known now. A search sees every version up to now, which may be newer than what the head was when it
        began: its `revision` is NEVER - 1."""
        now = self._clock.now()
        return self._selected(spec, revision, reference=now, now=now)

    async def _selection(self, namespace: str, spec: ListSpec | SearchSpec, revision: int) -> Selection:
        """What was known at a past revision."""
        now = self._clock.now()
        reference = await self._ledger.commit_time(namespace, revision)
        return self._selected(spec, revision, reference=reference, now=now)

    @staticmethod
    def _selected(spec: ListSpec | SearchSpec, revision: int, *, reference: Instant, now: Instant) -> Selection:
        return make_selection(
            scope=spec.scope,
            filter=spec.filter,
            created=spec.created,
            valid_at=spec.valid_at,
            include_superseded=spec.include_superseded,
            revision=revision,
            reference=reference,
            now=now,
        )
