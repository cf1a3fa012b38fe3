"""Reading entries: candidates of a query, statistics of an owner, and what is held."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from weaviate import WeaviateAsyncClient
from weaviate.classes.aggregate import Metrics
from weaviate.classes.query import Sort
from weaviate.collections import CollectionAsync

from memoir_server.adapters.index.weaviate import filters
from memoir_server.adapters.index.weaviate.connection import Connection, Moved, NothingThere
from memoir_server.adapters.index.weaviate.filters import Condition
from memoir_server.adapters.index.weaviate.schema import (
    COLUMNS,
    COLUMNS_AND_TERMS,
    EVERYTHING,
    MOST_RESULTS,
    Found,
    read_object,
    tenant_name,
)
from memoir_server.domain.columns import SessionCodes, columns_of
from memoir_server.domain.consistency import Portion
from memoir_server.domain.entry import DenseCandidates, KeywordCandidates
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.index import IndexQuery
from memoir_server.ports.projection import Held

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
    Moved.
    """

    connection: Connection
    collection: str
    namespace: str
    sessions: SessionCodes
    noted: Callable[[], Awaitable[str]]

    async def keyword(self, terms: Sequence[str], query: IndexQuery) -> KeywordCandidates:
        """`MemoryIndex.keyword`. Beyond the depth those Weaviate's BM25 finds best stay, where an answer was in several
        parts those our own does."""
        owner = filters.current(query.selection.scope.owner, query.selection)
        found, (documents, length), known = await asyncio.gather(
            self._holding(terms, query),
            self._sums(owner),
            asyncio.gather(*(self.number(owner & filters.term(term)) for term in terms)),
        )
        document_frequency = np.array(known, dtype=np.int64).reshape(len(terms))
        mean_length = length / documents if documents else 0.0
        frequency = np.array([[f.terms[term] for term in terms] for f in found], dtype=np.int64)
        frequency = frequency.reshape(len(found), len(terms))
        if len(found) > query.depth:
            worth = _bm25(found, frequency, document_frequency, documents, mean_length)
            best = np.lexsort((-np.array([f.revision for f in found]), -worth))[: query.depth]
            best = np.sort(best)
            found, frequency = [found[i] for i in best.tolist()], frequency[best]
        return KeywordCandidates(
            table=columns_of(found, self.sessions),
            rows=np.arange(len(found), dtype=np.int64),
            frequency=frequency,
            document_count=documents,
            mean_length=mean_length,
            document_frequency=document_frequency,
        )

    async def dense(self, vector: NDArray[np.float32], query: IndexQuery, also: NDArray[np.int64]) -> DenseCandidates:
        """`MemoryIndex.dense`. Weaviate says which are near; how near is computed here, from the stored vectors, in
        float64, row by row: the same for an entry whatever stands beside it (semantics 11)."""
        found = await self._near(vector, query)
        cosine = _cosines(found, vector)
        if len(found) > query.depth:
            best = np.lexsort((-np.array([f.revision for f in found]), -cosine))[: query.depth]
            found, cosine = [found[i] for i in best.tolist()], cosine[best]
        nearest = len(found)
        missing = np.setdiff1d(also, np.array([f.revision for f in found], dtype=np.int64))
        if query.allowed is not None:
            missing = np.intersect1d(missing, query.allowed)
        if len(missing):
            named = await self._named(missing, query.selection)
            found, cosine = found + named, np.concatenate((cosine, _cosines(named, vector)))
        order = np.argsort(np.array([f.revision for f in found], dtype=np.int64), kind="stable")
        return DenseCandidates(
            table=columns_of([found[i] for i in order.tolist()], self.sessions),
            rows=np.arange(len(found), dtype=np.int64),
            cosine=cosine[order],
            nearest=nearest,
        )

    async def count(self, scope: Scope) -> int:
        """Entries of the scope."""
        conditions = filters.of_scope(scope)
        return await self.number(filters.both(conditions) if conditions else None)

    async def number(self, condition: Condition | None) -> int:
        """Entries that meet a condition."""
        try:
            answer = await self._ask(lambda tenant: tenant.aggregate.over_all(filters=condition, total_count=True))
        except NothingThere:
            return 0
        return int(answer.total_count or 0)

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
        return [
            Held(
                memory_id=f.memory_id,
                revision=f.revision,
                retired=f.retired,
                scope=f.scope,
                vector=f.vector,
                searchable=f.terms.total() == f.length,
            )
            for f in found[:limit]
        ]

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

    async def _holding(self, terms: Sequence[str], query: IndexQuery) -> list[Found]:
        """Entries with at least one of the terms, ascending; somewhat more than the depth where there are more."""
        if not terms or query.depth < 1:
            return []
        text, limit = " ".join(terms), query.depth + _MARGIN
        found: list[Found] = []
        for condition in _allowed(query):

            def work(tenant: CollectionAsync[Any, Any], condition: Condition = condition) -> Any:
                return tenant.query.bm25(
                    text,
                    query_properties=["terms"],
                    limit=limit,
                    filters=condition,
                    return_properties=COLUMNS_AND_TERMS,
                )

            found += [f for f in await self._objects(work) if any(f.terms[term] for term in terms)]
        return sorted(found, key=lambda f: f.revision)

    async def _near(self, vector: NDArray[np.float32], query: IndexQuery) -> list[Found]:
        """The nearest entries, somewhat more than the depth where there are more."""
        if query.depth < 1:
            return []
        near, limit = vector.tolist(), query.depth + _MARGIN
        found: list[Found] = []
        for condition in _allowed(query):

            def work(tenant: CollectionAsync[Any, Any], condition: Condition = condition) -> Any:
                return tenant.query.near_vector(
                    near, limit=limit, filters=condition, include_vector=True, return_properties=COLUMNS
                )

            found += await self._objects(work)
        return [f for f in found if f.vector is not None]

    async def _named(self, wanted: NDArray[np.int64], selection: Selection) -> list[Found]:
        found: list[Found] = []
        for start in range(0, len(wanted), _CHUNK):
            chosen = filters.eligible(selection) & filters.revisions(wanted[start : start + _CHUNK].tolist())
            found += await self._by_revision(chosen, MOST_RESULTS, COLUMNS, vectors=True)
        return [f for f in found if f.vector is not None]

    async def _by_revision(
        self, condition: Condition, limit: int, properties: list[str], *, vectors: bool = False
    ) -> list[Found]:
        def work(tenant: CollectionAsync[Any, Any]) -> Any:
            return tenant.query.fetch_objects(
                filters=condition,
                limit=min(limit, MOST_RESULTS),
                sort=Sort.by_property("revision"),
                return_properties=properties,
                include_vector=vectors,
            )

        return await self._objects(work)

    async def _sums(self, condition: Condition) -> tuple[int, int]:
        """How many entries meet the condition, and how many terms they have together."""
        length = [Metrics("length").integer(sum_=True)]
        try:
            answer = await self._ask(
                lambda tenant: tenant.aggregate.over_all(filters=condition, total_count=True, return_metrics=length)
            )
        except NothingThere:
            return 0, 0
        sums = answer.properties.get("length")
        return int(answer.total_count or 0), int(getattr(sums, "sum_", None) or 0)

    async def _objects(self, work: Any) -> list[Found]:
        try:
            answer = await self._ask(work)
        except NothingThere:
            return []
        return [read_object(item) for item in answer.objects]

    async def _ask(self, work: Any) -> Any:
        """Runs one query on the tenant."""

        def on_tenant(client: WeaviateAsyncClient) -> Any:
            return work(client.collections.get(self.collection).with_tenant(tenant_name(self.namespace)))

        try:
            if not self.collection:
                raise NothingThere(self.namespace)
            return await self.connection.call(on_tenant)
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


def _cosines(found: Sequence[Found], vector: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines to 1e-6. Multiplied and summed, not a matrix product: that one's order of summing depends on the rows."""
    if not found:
        return np.empty(0)
    matrix = np.stack([f.vector for f in found if f.vector is not None]).astype(np.float64)
    cosine: NDArray[np.float64] = np.round((matrix * vector.astype(np.float64)).sum(axis=1), 6)
    return cosine


def _bm25(
    found: Sequence[Found],
    frequency: NDArray[np.int64],
    document_frequency: NDArray[np.int64],
    documents: int,
    mean_length: float,
) -> NDArray[np.float64]:
    """BM25 of the entries (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75, idf ln(1 + (N - n + 0.5) / (n + 0.5)))."""
    weight = np.log1p((np.maximum(documents - document_frequency, 0) + 0.5) / (document_frequency + 0.5))
    length = np.array([f.length for f in found], dtype=np.float64)
    norm = _K1 * (1 - _B + _B * length / (mean_length or 1.0))
    score: NDArray[np.float64] = (weight * frequency * (_K1 + 1) / (frequency + norm[:, np.newaxis])).sum(axis=1)
    return np.round(score, 9)
