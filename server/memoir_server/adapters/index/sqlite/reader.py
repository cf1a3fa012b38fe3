"""Reading the file into segments: whole ones to be kept, and passing ones for what is not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import apsw
import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.index.sqlite.schema import COLUMNS, token, user_range
from memoir_server.adapters.index.sqlite.segment import Segment
from memoir_server.adapters.sqlite_projection import (
    id_key,
    key_id,
    namespace_number,
    portion_condition,
    rows,
    scope_condition,
)
from memoir_server.domain.columns import SessionCodes
from memoir_server.domain.consistency import Portion
from memoir_server.domain.memory import Scope
from memoir_server.ports.projection import Held

_CHUNK_ROWS: Final = 8_192


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the owners of a scope: entries, retired ones included; current entries; terms in the current ones."""

    entries: int
    documents: int
    terms: int


class Part(NamedTuple):
    """What one segment holds: a user of a namespace, or all of it."""

    namespace: str
    user: str | None
    """Key of the user (`id_key`); None for the whole namespace."""


def ranges(connection: apsw.Connection, part: Part) -> list[tuple[int, int]]:
    """Ranges of ids in the file, ascending, one per user."""
    number = namespace_number(connection, part.namespace)
    condition = "" if part.user is None else " AND user = ?"
    bindings = (number,) if part.user is None else (number, part.user)
    found = rows(connection, f"SELECT id FROM users WHERE namespace = ?{condition} ORDER BY id", bindings)
    return [user_range(int(user)) for (user,) in found]


def totals(connection: apsw.Connection, part: Part, agent_id: str | None = None) -> Totals:
    """Counters of the part's owners, or of those with that agent."""
    conditions = ["u.namespace = ?"]
    bindings: list[int | str | None] = [namespace_number(connection, part.namespace)]
    for column, key in (("u.user", part.user), ("o.agent", None if agent_id is None else id_key(agent_id))):
        if key is not None:
            conditions.append(f"{column} = ?")
            bindings.append(key)
    query = (
        "SELECT coalesce(sum(o.entries), 0), coalesce(sum(o.documents), 0), coalesce(sum(o.terms), 0)"
        f" FROM users u JOIN owners o ON o.user_id = u.id WHERE {' AND '.join(conditions)}"
    )
    return Totals(*next(rows(connection, query, bindings)))


def totals_at(connection: apsw.Connection, part: Part, agent_id: str | None, revision: int) -> Totals:
    """The same as they were at a past revision, counted from the entries."""
    condition, bindings = scope_condition(Scope(agent_id=agent_id))
    query = (
        "SELECT count(*), coalesce(sum(length), 0) FROM entries"
        f" WHERE id BETWEEN ? AND ? AND retired > ? AND revision <= ?{condition}"
    )
    documents = terms = 0
    for bounds in ranges(connection, part):
        found = next(rows(connection, query, (*bounds, revision, revision, *bindings)))
        documents, terms = documents + found[0], terms + found[1]
    return Totals(documents, documents, terms)


def count(connection: apsw.Connection, namespace: str, scope: Scope) -> int:
    """Entries of the scope."""
    part = Part(namespace, None if scope.user_id is None else id_key(scope.user_id))
    if scope.session_id is None:
        return totals(connection, part, scope.agent_id).entries
    condition, bindings = scope_condition(scope)
    query = f"SELECT count(*) FROM entries WHERE id BETWEEN ? AND ?{condition}"
    return sum(next(rows(connection, query, (*bounds, *bindings)))[0] for bounds in ranges(connection, part))


def scan(connection: apsw.Connection, namespace: str, portion: Portion, after: int, limit: int) -> list[Held]:
    """`Projection.scan`, with each entry's vector and whether FTS5 knows it."""
    condition, bindings = portion_condition(portion, "e")
    found = rows(
        connection,
        "SELECT e.memory_id, e.revision, e.retired, e.user, e.agent, e.session, v.vector, d.id"
        " FROM entries e LEFT JOIN vectors v ON v.id = e.id LEFT JOIN postings_docsize d ON d.id = e.id"
        f" WHERE e.namespace = ? AND e.revision > ?{condition} ORDER BY e.revision LIMIT ?",
        (namespace_number(connection, namespace), after, *bindings, limit),
    )
    return [
        Held(
            memory_id=memory_id,
            revision=revision,
            retired=retired,
            scope=Scope(key_id(user), key_id(agent), key_id(session)),
            # Bytes that are no whole number of components are cut: their length then fits no model.
            vector=None if data is None else np.frombuffer(data, dtype="<f4", count=len(data) // 4),
            searchable=posted is not None,
        )
        for memory_id, revision, retired, user, agent, session, data, posted in found
    ]


def load(connection: apsw.Connection, part: Part, sessions: SessionCodes) -> Segment:
    """The part's segment, without vectors."""
    segment = Segment(sessions, capacity=totals(connection, part).entries * 9 // 8)
    for bounds in ranges(connection, part):
        query = f"SELECT {COLUMNS} FROM entries WHERE id BETWEEN ? AND ? ORDER BY id"
        cursor = rows(connection, query, bounds)
        while chunk := list(itertools.islice(cursor, _CHUNK_ROWS)):
            segment.extend(chunk)
    return segment


def load_vectors(
    connection: apsw.Connection, part: Part, entry_ids: NDArray[np.int64], dimension: int, capacity: int
) -> NDArray[np.float32]:
    """Vectors of the entries with these ids, float32, shape (capacity, dimension); zeros for those that are gone."""
    matrix = np.zeros((max(capacity, len(entry_ids)), dimension), dtype=np.float32)
    order = np.argsort(entry_ids, kind="stable")
    ascending = entry_ids[order]
    for bounds in ranges(connection, part):
        cursor = rows(connection, "SELECT id, vector FROM vectors WHERE id BETWEEN ? AND ? ORDER BY id", bounds)
        while chunk := list(itertools.islice(cursor, _CHUNK_ROWS)):
            ids = np.array([row[0] for row in chunk], dtype=np.int64)
            vectors = np.frombuffer(b"".join([row[1] for row in chunk]), dtype="<f4").reshape(len(chunk), dimension)
            # An entry that was put again has two rows under the id it kept: the last row is the one in use.
            at = np.searchsorted(ascending, ids, side="right") - 1
            known = (
                (at >= 0) & (ascending[np.maximum(at, 0)] == ids) if len(ascending) else np.zeros(len(ids), np.bool_)
            )
            matrix[order[at[known]]] = vectors[known]
    return matrix


def load_matches(connection: apsw.Connection, part: Part, terms: Sequence[str], sessions: SessionCodes) -> Segment:
    """Only the part's entries with at least one of the terms, found by FTS5, without vectors."""
    segment = Segment(sessions)
    number = namespace_number(connection, part.namespace)
    if number is None or not terms:
        return segment
    match = " OR ".join(token(number, term) for term in terms)
    bounds = [(0, 2**63 - 1)] if part.user is None else ranges(connection, part)
    query = (
        f"SELECT {COLUMNS} FROM entries WHERE id IN"
        " (SELECT rowid FROM postings WHERE postings MATCH ? AND rowid BETWEEN ? AND ?) ORDER BY id"
    )
    for first, last in bounds:
        cursor = rows(connection, query, (match, first, last))
        while chunk := list(itertools.islice(cursor, _CHUNK_ROWS)):
            segment.extend(chunk, only=frozenset(terms))
    return segment


def chunks(connection: apsw.Connection, part: Part, sessions: SessionCodes, dimension: int) -> Iterator[Segment]:
    """The part in pieces, with vectors, one after the other."""
    qualified = ", ".join(f"e.{column.strip()}" for column in COLUMNS.split(","))
    for bounds in ranges(connection, part):
        cursor = rows(
            connection,
            f"SELECT v.vector, {qualified} FROM entries e JOIN vectors v ON v.id = e.id WHERE e.id BETWEEN ? AND ?"
            " ORDER BY e.id",
            bounds,
        )
        while chunk := list(itertools.islice(cursor, _CHUNK_ROWS)):
            segment = Segment(sessions, capacity=len(chunk))
            segment.extend([row[1:] for row in chunk], only=())
            # Writable, as those of whole segments are: compiled code takes nothing else.
            vectors = np.frombuffer(bytearray().join([row[0] for row in chunk]), dtype="<f4")
            segment.attach(vectors.reshape(len(chunk), dimension))
            yield segment
