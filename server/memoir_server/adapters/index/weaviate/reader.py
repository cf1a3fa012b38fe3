"""Reading entries: candidates of a query, statistics of an owner, and what is held."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from weaviate.proto.v1 import base_search_pb2, search_get_pb2

from memoir_server.adapters.index.weaviate import filters
from memoir_server.adapters.index.weaviate.answers import counts, read_rows
from memoir_server.adapters.index.weaviate.connection import Connection, Moved, NothingThere
from memoir_server.adapters.index.weaviate.filters import Condition
from memoir_server.adapters.index.weaviate.schema import (
    COLUMNS,
    COLUMNS_AND_TERMS,
    EVERYTHING,
    MOST_RESULTS,
    VECTOR,
    Found,
    read_result,
    tenant_name,
)
from memoir_server.adapters.index.weaviate.stamps import slot_of, vouches
from memoir_server.adapters.index.weaviate.statistics import KnownStatistics, Owner, Statistics
from memoir_server.adapters.index.weaviate.wire import SearchReply, SearchResult, Wire, counting, searching
from memoir_server.domain.columns import SessionCodes
from memoir_server.domain.consistency import Portion
from memoir_server.domain.entry import DenseCandidates, KeywordCandidates, cosines
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.index import IndexQuery
from memoir_server.ports.projection import Held

T = TypeVar("T")

_CHUNK: Final = 2_000
"""Revisions or ids one filter names; Weaviate looks each up on its own."""
_MARGIN: Final = 32
"""More than the depth is asked for, since ties and last digits are decided here."""
DEEPEST: Final = MOST_RESULTS - _MARGIN
_K1: Final = 1.2
_B: Final = 0.75


@dataclass(frozen=True, slots=True)
class Reader:
    """One tenant of one collection. A tenant that does not exist holds nothing.

    `noted` tells which collection is the index's by now: where nothing is found, and it is another one, reading raises
    Moved. `stamp` tells the stamp of a slot, and `known` what was counted under it.
    """

    connection: Connection
    collection: str
    namespace: str
    sessions: SessionCodes
    noted: Callable[[], Awaitable[str]]
    stamp: Callable[[int], Awaitable[str]]
    known: KnownStatistics

    async def keyword(self, terms: Sequence[str], query: IndexQuery) -> KeywordCandidates:
        """`MemoryIndex.keyword`. Beyond the depth those Weaviate's BM25 finds best stay, where an answer was in several
        parts those our own does."""
        results, statistics = await asyncio.gather(
            self._holding(terms, query), self._statistics(terms, query.selection)
        )
        found = read_rows(results, self.sessions, terms=True, vectors=query.vectors)
        frequency = counts(found.terms, terms)
        held: NDArray[np.bool_] = np.any(frequency, axis=1)
        found, frequency = found.only(held), frequency[held]
        documents = statistics.documents
        document_frequency = np.array([statistics.frequency[term] for term in terms], dtype=np.int64)
        mean_length = statistics.length / documents if documents else 0.0
        if len(found) > query.depth:
            worth = _bm25(found.table.length, frequency, document_frequency, documents, mean_length)
            best = np.sort(np.lexsort((-found.table.revision, -worth))[: query.depth])
            found, frequency = found.at(best), frequency[best]
        return KeywordCandidates(
            table=found.table,
            rows=np.arange(len(found), dtype=np.int64),
            frequency=frequency,
            document_count=documents,
            mean_length=mean_length,
            document_frequency=document_frequency,
            vectors=found.vectors if len(found.vectors) else None,
        )

    async def _statistics(self, terms: Sequence[str], selection: Selection) -> Statistics:
        """Statistics of the owner at the selection's moment; of the present one, as far as they are known they are not
        counted again."""
        owner = Owner(self.collection, self.namespace, selection.scope.owner)
        if selection.past or not self.collection:
            return await self._counted(owner.scope, selection, terms, None)
        # Before anything is counted: what changes later changes the stamp again.
        stamp = await self.stamp(slot_of(owner.scope))
        if not vouches(stamp):
            return await self._counted(owner.scope, selection, terms, None)
        known = self.known.of(owner, stamp)
        if known is None or not all(term in known.frequency for term in terms):
            counted = await self._counted(owner.scope, selection, terms, known)
            self.known.keep(owner, stamp, counted)
            return counted
        return known

    async def _counted(
        self, owner: Scope, selection: Selection, terms: Sequence[str], known: Statistics | None
    ) -> Statistics:
        """What is known, and what is not, counted by the store."""
        current = filters.current(owner, selection)
        frequency = {} if known is None else known.frequency
        missing = [term for term in terms if term not in frequency]
        numbers = asyncio.gather(*(self.number(current & filters.term(term)) for term in missing))
        if known is None:
            (documents, length), counted = await asyncio.gather(self._sums(current), numbers)
        else:
            documents, length, counted = known.documents, known.length, await numbers
        return Statistics(documents, length, {**frequency, **dict(zip(missing, counted, strict=True))})

    async def dense(self, vector: NDArray[np.float32], query: IndexQuery, also: NDArray[np.int64]) -> DenseCandidates:
        """`MemoryIndex.dense`. Weaviate says which are near; how near is computed here, from the stored vectors, in
        float64, row by row: the same for an entry whatever stands beside it (semantics 11)."""
        results = await self._near(vector, query)
        found = read_rows(results, self.sessions, terms=False, vectors=True).with_vectors()
        cosine = cosines(found.vectors, vector) if len(found) else np.empty(0)
        if len(found) > query.depth:
            best = np.sort(np.lexsort((-found.table.revision, -cosine))[: query.depth])
            found, cosine = found.at(best), cosine[best]
        nearest = len(found)
        missing = np.setdiff1d(also, found.table.revision)
        if query.allowed is not None:
            missing = np.intersect1d(missing, query.allowed)
        if len(missing):
            wanted = np.union1d(found.table.revision, missing)
            results += await self._named(missing, query.selection)
            found = read_rows(results, self.sessions, terms=False, vectors=True).with_vectors()
            # Those just beyond the depth may be among the named ones too.
            once = np.diff(found.table.revision, prepend=-1) > 0
            found = found.only(once & np.isin(found.table.revision, wanted))
            cosine = cosines(found.vectors, vector) if len(found) else np.empty(0)
        return DenseCandidates(
            table=found.table, rows=np.arange(len(found), dtype=np.int64), cosine=cosine, nearest=nearest
        )

    async def count(self, scope: Scope) -> int:
        """Entries of the scope."""
        conditions = filters.of_scope(scope)
        return await self.number(filters.both(conditions) if conditions else None)

    async def number(self, condition: Condition | None) -> int:
        """Entries that meet a condition."""
        try:
            answer = await self._ask(
                lambda wire, tenant: wire.aggregate(counting(self.collection, tenant, condition=condition))
            )
        except NothingThere:
            return 0
        return answer.single_result.objects_count

    async def find(self, memory_ids: Sequence[str]) -> list[tuple[str, int]]:
        """(memory_id, revision) of every version of the memories, sorted."""
        wanted = sorted(set(memory_ids))
        found: set[tuple[str, int]] = set()
        for start in range(0, len(wanted), _CHUNK):
            chosen, after = filters.memories(wanted[start : start + _CHUNK]), 0
            while page := await self._by_revision(chosen & filters.later(after), MOST_RESULTS, COLUMNS):
                found.update((f.memory_id, f.revision) for f in page)
                after = page[-1].revision
        return sorted(found)

    async def scan(self, portion: Portion, after: int, limit: int) -> list[Held]:
        """`Projection.scan`."""
        conditions = [*filters.of_scope(portion.scope), filters.upto(portion.until)]
        found: list[Found] = []
        if portion.revisions is not None:
            wanted = sorted({r for r in portion.revisions if r > after})
            for start in range(0, len(wanted), _CHUNK):
                named = [*conditions, filters.revisions(wanted[start : start + _CHUNK])]
                found += await self._of_memories(portion.memory_ids, named, after, limit)
                if len(found) >= limit:
                    break
        else:
            found = await self._of_memories(portion.memory_ids, conditions, after, limit)
        found = found[:limit]
        lost = await self._lost(found)
        return [
            Held(
                memory_id=f.memory_id,
                revision=f.revision,
                retired=f.retired,
                scope=f.scope,
                vector=None if f.revision in lost else f.vector,
                searchable=len(f.words) == f.length,
            )
            for f in found
        ]

    async def _lost(self, found: Sequence[Found]) -> set[int]:
        """Revisions of those whose vector the object holds and a search does not find: the index of vectors has no
        place for it, as when the machine lost power before the log of that index was on the disk."""
        vectors = {f.revision: f.vector for f in found if f.vector is not None}
        lengths = Counter(map(len, vectors.values()))
        if not lengths:
            return set()
        # Those of another length cannot be compared, and are found out by that.
        length = lengths.most_common(1)[0][0]
        asked = sorted(revision for revision, vector in vectors.items() if len(vector) == length)
        by = base_search_pb2.NearVector(vector_bytes=vectors[asked[0]].astype("<f4").tobytes())
        reached: set[int] = set()
        for start in range(0, len(asked), _CHUNK):
            chosen = filters.revisions(asked[start : start + _CHUNK])
            near = await self._objects(chosen, _CHUNK, COLUMNS, by, vectors=False)
            reached.update(read_result(each).revision for each in near)
        return set(asked) - reached

    async def _of_memories(
        self, memory_ids: Sequence[str] | None, conditions: Sequence[Condition], after: int, limit: int
    ) -> list[Found]:
        """The first entries after a revision that meet the conditions, of some memories or of all."""
        if memory_ids is None:
            return await self._window(conditions, after, limit)
        found: list[Found] = []
        wanted = sorted(set(memory_ids))
        for start in range(0, len(wanted), _CHUNK):
            chosen = [*conditions, filters.memories(wanted[start : start + _CHUNK]), filters.later(after)]
            found += await self._by_revision(filters.both(chosen), limit, EVERYTHING, vectors=True)
        return sorted(found, key=lambda f: f.revision)[:limit]

    async def _window(self, conditions: Sequence[Condition], after: int, limit: int) -> list[Found]:
        """The same of all memories, in windows of revisions: sorting all that come after would take longer with every
        page."""
        width = 2 * limit
        found: list[Found] = []
        while True:
            window = filters.both([*conditions, filters.later(after), filters.upto(after + width)])
            found += await self._by_revision(window, limit - len(found), EVERYTHING, vectors=True)
            beyond = filters.both([*conditions, filters.later(after + width)])
            # Fewer than asked for would say that there are no more.
            if len(found) == limit or not await self.number(beyond):
                return found
            after, width = after + width, 4 * width

    async def _holding(self, terms: Sequence[str], query: IndexQuery) -> list[SearchResult]:
        """Entries with at least one of the terms, and perhaps others; somewhat more than the depth where there are
        more."""
        if not terms or query.depth < 1:
            return []
        by = base_search_pb2.BM25(query=" ".join(terms), properties=["terms"])
        return await self._in_parts(query, COLUMNS_AND_TERMS, by, vectors=query.vectors)

    async def _near(self, vector: NDArray[np.float32], query: IndexQuery) -> list[SearchResult]:
        """The nearest entries, somewhat more than the depth where there are more."""
        if query.depth < 1:
            return []
        by = base_search_pb2.NearVector(vector_bytes=vector.astype("<f4").tobytes())
        return await self._in_parts(query, COLUMNS, by, vectors=True)

    async def _in_parts(
        self,
        query: IndexQuery,
        properties: list[str],
        by: base_search_pb2.BM25 | base_search_pb2.NearVector,
        *,
        vectors: bool,
    ) -> list[SearchResult]:
        """The answers to the query's parts, one after the other."""
        found: list[SearchResult] = []
        for condition in _allowed(query):
            found += await self._objects(condition, query.depth + _MARGIN, properties, by, vectors=vectors)
        return found

    async def _named(self, wanted: NDArray[np.int64], selection: Selection) -> list[SearchResult]:
        found: list[SearchResult] = []
        for start in range(0, len(wanted), _CHUNK):
            chosen = filters.eligible(selection) & filters.revisions(wanted[start : start + _CHUNK].tolist())
            found += await self._objects(chosen, MOST_RESULTS, COLUMNS, None, vectors=True)
        return found

    async def _by_revision(
        self, condition: Condition, limit: int, properties: list[str], *, vectors: bool = False
    ) -> list[Found]:
        order = search_get_pb2.SortBy(ascending=True, path=["revision"])
        found = await self._objects(condition, min(limit, MOST_RESULTS), properties, order, vectors=vectors)
        return [read_result(result) for result in found]

    async def _sums(self, condition: Condition) -> tuple[int, int]:
        """How many entries meet the condition, and how many terms they have together."""
        try:
            answer = await self._ask(
                lambda wire, tenant: wire.aggregate(
                    counting(self.collection, tenant, condition=condition, total="length")
                )
            )
        except NothingThere:
            return 0, 0
        single = answer.single_result
        return single.objects_count, sum(each.int.sum for each in single.aggregations.aggregations)

    async def _objects(
        self,
        condition: Condition,
        limit: int,
        properties: list[str],
        by: base_search_pb2.BM25 | base_search_pb2.NearVector | search_get_pb2.SortBy | None,
        *,
        vectors: bool,
    ) -> Sequence[SearchResult]:
        def search(wire: Wire, tenant: str) -> Awaitable[SearchReply]:
            vector = VECTOR if vectors else ""
            return wire.search(
                searching(
                    *(self.collection, tenant),
                    condition=condition,
                    limit=limit,
                    properties=properties,
                    vector=vector,
                    by=by,
                )
            )

        try:
            answer = await self._ask(search)
        except NothingThere:
            return []
        return answer.results

    async def _ask(self, work: Callable[[Wire, str], Awaitable[T]]) -> T:
        """Asks one question of the tenant."""
        try:
            if not self.collection:
                raise NothingThere(self.namespace)
            return await self.connection.ask(lambda wire: work(wire, tenant_name(self.namespace)))
        except NothingThere as nothing:
            noted = await self.noted()
            if noted != self.collection:
                raise Moved(noted) from nothing
            raise


def _allowed(query: IndexQuery) -> list[Condition]:
    """The query as conditions whose answers together are its answer: one, or one per chunk of allowed revisions."""
    condition = filters.eligible(query.selection)
    if query.allowed is None:
        return [condition]
    chunks = range(0, len(query.allowed), _CHUNK)
    return [condition & filters.revisions(query.allowed[start : start + _CHUNK].tolist()) for start in chunks]


def _bm25(
    lengths: NDArray[np.int64],
    frequency: NDArray[np.int64],
    document_frequency: NDArray[np.int64],
    documents: int,
    mean_length: float,
) -> NDArray[np.float64]:
    """BM25 of the entries (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75, idf ln(1 + (N - n + 0.5) / (n + 0.5)))."""
    weight = np.log1p((np.maximum(documents - document_frequency, 0) + 0.5) / (document_frequency + 0.5))
    norm = _K1 * (1 - _B + _B * lengths / (mean_length or 1.0))
    score: NDArray[np.float64] = (weight * frequency * (_K1 + 1) / (frequency + norm[:, np.newaxis])).sum(axis=1)
    return np.round(score, 9)
