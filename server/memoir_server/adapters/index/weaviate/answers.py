"""Answers of Weaviate as columns: a search reads some hundred entries, and an object for each took longer than ranking
them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from weaviate.proto.v1 import search_get_pb2

from memoir_server.adapters.index.weaviate.schema import known_kinds, read_columns
from memoir_server.domain.columns import SessionCodes
from memoir_server.domain.entry import CandidateColumns
from memoir_server.domain.memory import Scope


@dataclass(frozen=True, slots=True)
class Rows:
    """Entries of an answer, ascending by revision. `terms` has the terms of each, joined by spaces, and `vectors` the
    vectors, float32, shape (n, dimension), rows of NaN for entries without; both are empty where not asked for."""

    table: CandidateColumns
    terms: Sequence[str]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.table)

    def at(self, rows: NDArray[np.int64]) -> Rows:
        """Some of the entries."""
        terms = [self.terms[row] for row in rows.tolist()] if self.terms else ()
        return Rows(self.table.at(rows), terms, self.vectors[rows] if len(self.vectors) else self.vectors)

    def only(self, mask: NDArray[np.bool_]) -> Rows:
        """The entries that the mask names; the same object where it names all."""
        return self if mask.all() else self.at(np.flatnonzero(mask))

    def with_vectors(self) -> Rows:
        """The entries that have one."""
        if not len(self.vectors):
            return _NOTHING
        return self.only(~np.isnan(self.vectors[:, 0]))


def read_rows(
    results: Sequence[search_get_pb2.SearchResult], sessions: SessionCodes, *, terms: bool, vectors: bool
) -> Rows:
    """The entries in the objects of an answer, of which terms and vectors were asked for or not. Raises ValueError when
    an object among them is none of ours."""
    if not results:
        return _NOTHING
    fields = [result.properties.non_ref_props.fields for result in results]
    entries = read_columns([each["columns"].text_value for each in fields])
    order = sorted(range(len(entries)), key=lambda row: entries[row][1])
    entries = [entries[row] for row in order]
    ids, revision, users, agents, talks, create_time, turn, speakers, length, asks, importance, kind = zip(
        *entries, strict=True
    )
    known_kinds(kind)
    names: dict[str, int] = {}
    table = CandidateColumns(
        memory_id=ids,
        revision=np.array(revision, dtype=np.int64),
        create_time=np.array(create_time, dtype=np.int64),
        session=_codes(sessions, users, agents, talks),
        turn=np.array(turn, dtype=np.int64),
        speaker=np.array([names.setdefault(name, len(names)) if name else -1 for name in speakers], dtype=np.int64),
        speaker_names=tuple(names),
        length=np.array(length, dtype=np.int64),
        asks=np.array(asks, dtype=np.bool_),
        importance=np.array([0.5 if worth is None else worth for worth in importance], dtype=np.float64),
        kind=np.array(kind, dtype=np.int64),
    )
    return Rows(
        table,
        [fields[row]["terms"].text_value for row in order] if terms else (),
        _vectors([results[row] for row in order]) if vectors else _NO_VECTORS,
    )


def counts(texts: Sequence[str], terms: Sequence[str]) -> NDArray[np.int64]:
    """How often each text of terms holds each of the terms, shape (texts, terms)."""
    places = {term: place for place, term in enumerate(terms)}
    found = [[0] * len(terms) for _ in texts]
    for row, text in zip(found, texts, strict=True):
        for word in text.split(" "):
            if word in places:
                row[places[word]] += 1
    return np.array(found, dtype=np.int64).reshape(len(texts), len(terms))


def _codes(
    sessions: SessionCodes,
    users: Sequence[str | None],
    agents: Sequence[str | None],
    talks: Sequence[str | None],
) -> NDArray[np.int64]:
    if not any(talk is not None for talk in talks):
        return np.full(len(talks), -1, dtype=np.int64)
    scopes = zip(users, agents, talks, strict=True)
    return np.array([sessions.code(Scope(*scope)) for scope in scopes], dtype=np.int64)


def _vectors(results: Sequence[search_get_pb2.SearchResult]) -> NDArray[np.float32]:
    # Only the one vector that entries have is ever asked for.
    kept = [vectors[0].vector_bytes if (vectors := result.metadata.vectors) else b"" for result in results]
    size = max(map(len, kept))
    if not size:
        return _NO_VECTORS
    if not all(kept):
        nothing = np.full(size // 4, np.nan, dtype="<f4").tobytes()
        kept = [each or nothing for each in kept]
    return np.frombuffer(b"".join(kept), dtype="<f4").reshape(len(kept), -1)


_NO_VECTORS: Final = np.empty((0, 0), dtype=np.float32)
_NO_NUMBERS: Final = np.empty(0, dtype=np.int64)
_NOTHING: Final = Rows(
    CandidateColumns(
        memory_id=(),
        revision=_NO_NUMBERS,
        create_time=_NO_NUMBERS,
        session=_NO_NUMBERS,
        turn=_NO_NUMBERS,
        speaker=_NO_NUMBERS,
        speaker_names=(),
        length=_NO_NUMBERS,
        asks=np.empty(0, dtype=np.bool_),
        importance=np.empty(0, dtype=np.float64),
        kind=_NO_NUMBERS,
    ),
    (),
    _NO_VECTORS,
)
