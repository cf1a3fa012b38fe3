"""The embedded index behind its port: which work runs where, and what is answered from memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Final

import apsw
import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.index.sqlite import reader, writer
from memoir_server.adapters.index.sqlite.candidates import (
    OwnerStatistics,
    dense_candidates,
    keyword_candidates,
    merge_dense,
)
from memoir_server.adapters.index.sqlite.hot import HotSegments
from memoir_server.adapters.index.sqlite.reader import Part
from memoir_server.adapters.index.sqlite.schema import TABLES, VERSION
from memoir_server.adapters.index.sqlite.segment import Segment, estimated_bytes
from memoir_server.adapters.index.sqlite.writer import Effect, Writer
from memoir_server.adapters.sqlite_projection import (
    SqliteProjection,
    id_key,
    meta,
    namespace_number,
    note_applied,
    rows,
)
from memoir_server.domain.columns import SessionCodes
from memoir_server.domain.consistency import Portion
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.entry import DenseCandidates, KeywordCandidates
from memoir_server.domain.memory import Scope
from memoir_server.ports.index import NO_REVISIONS, IndexAction, IndexQuery, MemoryIndex, Put
from memoir_server.ports.projection import Held

INDEX_FILE: Final = "index.db"
_INLINE_ROWS: Final = 8_192
"""Up to here a query over a segment takes less than a millisecond and runs on the event loop."""


class SqliteIndex(SqliteProjection, MemoryIndex):
    """Vectors and keywords in one file, `index.db`.

    What a query is about, one user or a whole namespace, is loaded at its first use and then answered from memory; the
    least recently used goes when `hot_bytes` are taken. What would not fit is answered from the file: keywords by FTS5,
    vectors by reading them in pieces, with the same results.

    Args:
        directory: Directory of the file.
        hot_bytes: Memory for entries in use, in bytes. A user of 1,000 memories with 384 components takes about 2.5 MB.
    """

    def __init__(self, directory: Path, *, hot_bytes: int = 1 << 30) -> None:
        if hot_bytes < 0:
            raise ValueError(f"hot_bytes={hot_bytes}: give 0 (hold nothing in memory) or more")
        super().__init__(directory / INDEX_FILE, store="index", schema=TABLES, version=VERSION)
        self._hot = HotSegments(hot_bytes)
        self._sessions: dict[str, SessionCodes] = {}
        self._model: EmbeddingModel | None = None
        self._dimension = 0

    @property
    def resident_bytes(self) -> int:
        """Memory that entries in use take, estimated; never above `hot_bytes` between two calls."""
        return self._hot.nbytes

    async def open(self) -> None:
        await super().open()
        await self._read(self._recall_model)

    async def close(self) -> None:
        await super().close()
        self._hot.drop()

    async def apply(self, namespace: str, actions: Sequence[IndexAction], *, applied: int) -> None:
        def change(connection: apsw.Connection) -> tuple[int, list[Effect]]:
            dimension = self._check_dimensions(connection, actions)
            number = note_applied(connection, namespace, applied)
            return dimension, Writer(connection, number).apply(actions)

        def follow(result: tuple[int, list[Effect]]) -> None:
            self._dimension = result[0]
            self._hot.apply(namespace, result[1])

        await self._write(change, follow)

    def keyword_at_hand(self, namespace: str, terms: Sequence[str], query: IndexQuery) -> KeywordCandidates | None:
        scope = query.selection.scope
        segment = self._hot.get(_part(namespace, scope))
        if segment is None or segment.count > _INLINE_ROWS:
            return None
        return keyword_candidates(segment.view(), segment.postings(terms), query, segment.scope_codes(scope))

    async def keyword(self, namespace: str, terms: Sequence[str], query: IndexQuery) -> KeywordCandidates:
        part, scope = _part(namespace, query.selection.scope), query.selection.scope
        segment = self._hot.get(part) or await self._columns(part)
        if segment is not None:
            view, postings, codes = segment.view(), segment.postings(terms), segment.scope_codes(scope)
            if segment.count <= _INLINE_ROWS:
                return keyword_candidates(view, postings, query, codes)
            return await asyncio.to_thread(keyword_candidates, view, postings, query, codes)

        def from_file(connection: apsw.Connection) -> KeywordCandidates:
            selection = query.selection
            sums = (
                reader.totals_at(connection, part, scope.agent_id, selection.revision)
                if selection.past
                else reader.totals(connection, part, scope.agent_id)
            )
            found = reader.load_matches(connection, part, terms, self._codes(namespace))
            statistics = OwnerStatistics(sums.documents, sums.terms)
            return keyword_candidates(found.view(), found.postings(terms), query, found.scope_codes(scope), statistics)

        return await self._read(from_file)

    def dense_at_hand(
        self,
        namespace: str,
        vector: NDArray[np.float32],
        query: IndexQuery,
        *,
        also: NDArray[np.int64] = NO_REVISIONS,
    ) -> DenseCandidates | None:
        self._check_query(vector)
        scope = query.selection.scope
        segment = self._hot.get(_part(namespace, scope))
        if segment is None or not segment.has_vectors or segment.count > _INLINE_ROWS:
            return None
        return dense_candidates(segment.view(), vector, query, segment.scope_codes(scope), also)

    async def dense(
        self,
        namespace: str,
        vector: NDArray[np.float32],
        query: IndexQuery,
        *,
        also: NDArray[np.int64] = NO_REVISIONS,
    ) -> DenseCandidates:
        self._check_query(vector)
        part, scope = _part(namespace, query.selection.scope), query.selection.scope
        segment = self._hot.get(part)
        if segment is None or not segment.has_vectors:
            segment = await self._with_vectors(part)
        if segment is not None:
            view, codes = segment.view(), segment.scope_codes(scope)
            if segment.count <= _INLINE_ROWS:
                return dense_candidates(view, vector, query, codes, also)
            return await asyncio.to_thread(dense_candidates, view, vector, query, codes, also)

        def from_file(connection: apsw.Connection) -> DenseCandidates:
            pieces = reader.chunks(connection, part, self._codes(namespace), len(vector))
            found = [dense_candidates(p.view(), vector, query, p.scope_codes(scope), also) for p in pieces]
            return merge_dense(found, query.depth, also) if found else _nothing(vector, query)

        return await self._read(from_file)

    async def model(self) -> EmbeddingModel | None:
        return self._model

    async def set_model(self, model: EmbeddingModel) -> None:
        def note(connection: apsw.Connection) -> None:
            held = connection.execute("SELECT 1 FROM entries LIMIT 1").get is not None
            if held and (self._model or model) != model:
                raise ValueError(
                    f"model={model}: the index holds vectors of {self._model}; adopt a ledger first, then re-embed"
                )
            if held and self._dimension != model.dimension:
                raise ValueError(
                    f"model={model} has {model.dimension} components, the index holds vectors of {self._dimension};"
                    " adopt a ledger first, then re-embed"
                )
            value = [model.name, model.version, model.dimension, model.asymmetric]
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('model', ?)", (json.dumps(value),))
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('dimension', ?)", (str(model.dimension),))

        def follow(_: None) -> None:
            self._model, self._dimension = model, model.dimension

        await self._write(note, follow)

    async def count(self, namespace: str, scope: Scope) -> int:
        return await self._read(lambda connection: reader.count(connection, namespace, scope))

    async def find(self, namespace: str, memory_ids: Sequence[str]) -> Sequence[tuple[str, int]]:
        def read(connection: apsw.Connection) -> list[tuple[str, int]]:
            number = namespace_number(connection, namespace)
            query = (
                "SELECT e.memory_id, e.revision FROM json_each(?) m"
                " CROSS JOIN entries e ON e.namespace = ? AND e.memory_id = m.value"
            )
            ids = json.dumps(sorted(set(memory_ids)))
            return sorted((str(m), int(r)) for m, r in rows(connection, query, (ids, number)))

        return await self._read(read)

    async def scan(self, namespace: str, portion: Portion, *, after: int, limit: int) -> Sequence[Held]:
        return await self._read(lambda connection: reader.scan(connection, namespace, portion, after, limit))

    def _settle(self, connection: apsw.Connection, number: int) -> None:
        writer.settle(connection, number)

    def _clear(self, connection: apsw.Connection) -> None:
        writer.clear(connection)

    def _clear_namespace(self, connection: apsw.Connection, number: int) -> None:
        writer.clear_namespace(connection, number)

    def _forget_all(self, _: object) -> None:
        self._hot.drop()
        self._model, self._dimension = None, 0

    def _forget(self, namespace: str) -> None:
        self._hot.drop(namespace)

    def _codes(self, namespace: str) -> SessionCodes:
        return self._sessions.setdefault(namespace, SessionCodes())

    def _recall_model(self, connection: apsw.Connection) -> None:
        value = meta(connection, "model")
        self._model = EmbeddingModel(*json.loads(value)) if value else None
        self._dimension = int(meta(connection, "dimension") or 0)

    def _check_dimensions(self, connection: apsw.Connection, actions: Sequence[IndexAction]) -> int:
        """The dimension of the vectors held after these actions; 0 while there are none."""
        dimension = self._dimension
        for action in actions:
            if not isinstance(action, Put):
                continue
            shape = action.entry.vector.shape
            dimension = dimension or (shape[0] if shape else 0)
            if shape != (dimension,):
                raise ValueError(
                    f"entry of memory {action.entry.memory_id!r} at revision {action.entry.revision}: its vector has"
                    f" shape {shape}, the index holds vectors of {dimension} components"
                    f" ({self._model or 'no model named'}); embed it with the index's model"
                )
        if dimension != self._dimension:
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('dimension', ?)", (str(dimension),))
        return dimension

    def _check_query(self, vector: NDArray[np.float32]) -> None:
        if self._dimension and vector.shape != (self._dimension,):
            raise ValueError(
                f"query vector has shape {vector.shape}, the index holds vectors of {self._dimension} components"
                f" ({self._model or 'no model named'}); embed the query with the index's model"
            )

    async def _columns(self, part: Part) -> Segment | None:
        """The part's segment, loaded where it is not in memory; None when it would not fit."""
        segment = self._hot.get(part)
        return await self._shared((part, False), lambda: self._load(part)) if segment is None else segment

    async def _with_vectors(self, part: Part) -> Segment | None:
        """The same with vectors."""
        segment = self._hot.get(part)
        if segment is not None and segment.has_vectors:
            return segment
        return await self._shared((part, True), lambda: self._load_vectors(part))

    async def _shared(
        self, key: tuple[Part, bool], load: Callable[[], Coroutine[object, object, Segment | None]]
    ) -> Segment | None:
        task = self._hot.loads.get(key)
        if task is None:
            task = self._hot.loads[key] = self._run(load())
            task.add_done_callback(lambda _: self._hot.loads.pop(key, None))
        return await asyncio.shield(task)

    async def _load(self, part: Part) -> Segment | None:
        def read(connection: apsw.Connection) -> Segment | None:
            sums = reader.totals(connection, part)
            terms = sums.terms * sums.entries // max(sums.documents, 1)
            if estimated_bytes(sums.entries, terms) > self._hot.capacity_bytes:
                return None
            return reader.load(connection, part, self._codes(part.namespace))

        while True:
            self._hot.begin(part)
            try:
                segment = await self._read(read)
            except BaseException:
                self._hot.abandon(part)
                raise
            if segment is None:
                self._hot.abandon(part)
                return None
            if self._hot.install(part, segment):
                return segment

    async def _load_vectors(self, part: Part) -> Segment | None:
        segment = await self._columns(part)
        if segment is None or segment.has_vectors:
            return segment
        dimension = self._dimension or 1
        if segment.nbytes + 4 * segment.capacity * dimension > self._hot.capacity_bytes:
            return None
        entry_ids = segment.await_vectors()
        try:
            matrix = await self._read(
                lambda connection: reader.load_vectors(connection, part, entry_ids, dimension, segment.capacity)
            )
        except BaseException:
            segment.forget_vectors()
            raise
        segment.attach(matrix)
        self._hot.make_room()
        return segment


def _part(namespace: str, scope: Scope) -> Part:
    return Part(namespace, None if scope.user_id is None else id_key(scope.user_id))


def _nothing(vector: NDArray[np.float32], query: IndexQuery) -> DenseCandidates:
    empty = Segment(SessionCodes())
    empty.attach(np.zeros((0, len(vector)), dtype=np.float32))
    return dense_candidates(empty.view(), vector, query, empty.scope_codes(query.selection.scope))
