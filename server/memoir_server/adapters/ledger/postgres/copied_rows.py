"""Rows of a copy, as the tables here hold them and back.

Each part is written by one statement, whatever the number of its rows, and read page by page along its primary key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final, TypeAlias, cast

from memoir_server.adapters.ledger.forms.encoding import decode_memory
from memoir_server.adapters.ledger.forms.layout import REVISION_BITS, key_of, revision_of
from memoir_server.adapters.ledger.postgres.adaptation import Bytes, Int8s, Texts
from memoir_server.adapters.ledger.postgres.filters import metadata_rows
from memoir_server.adapters.ledger.postgres.speakers import place_of
from memoir_server.adapters.ledger.postgres.transaction import Statement
from memoir_server.adapters.ledger.postgres.writing import columns_of, writing_metadata
from memoir_server.ports.ledger_copy import (
    AccessCopy,
    EventCopy,
    IngestionCopy,
    KeptFactsCopy,
    MetadataTypeCopy,
    ModelCopy,
    NamespaceCopy,
    Part,
    RequestCopy,
    ResetCopy,
    ResetMemoryCopy,
    Row,
    SpeakerCopy,
    TurnsCopy,
    VectorCopy,
    VersionCopy,
)

MOST_ROWS: Final = 1_000
"""Rows of a page that is read."""

Arrays: TypeAlias = tuple[type[Int8s] | type[Texts] | type[Bytes], ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """How a part is read: by its primary key, whose columns come first."""

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    make: Callable[..., Row]

    def page(self, after: Sequence[Any]) -> Statement:
        """The rows after a key, or the first."""
        keys = ", ".join(self.key)
        begun = f" WHERE ({keys}) > ({', '.join(['%s'] * len(self.key))})" if after else ""
        columns = ", ".join((*self.key, *self.columns))
        return f"SELECT {columns} FROM {self.table}{begun} ORDER BY {keys} LIMIT {MOST_ROWS}", tuple(after)


def _ns_of(key: int) -> int:
    return key >> REVISION_BITS


def _event(key: int, commit_time: int, type_: int, memory_id: str, born: int, before: int | None, *rest: Any) -> Row:
    previous = None if before is None else revision_of(before)
    return EventCopy(_ns_of(key), revision_of(key), commit_time, type_, memory_id, born, previous, *rest)


def _vector(ns: int, content_hash: bytes, model: int, data: bytes) -> Row:
    return VectorCopy(ns, bytes(content_hash), model, bytes(data))


def _request(*row: Any) -> Row:
    fields: tuple[Any, ...] = (*row[:10], tuple(row[10] or ()))
    return RequestCopy(*fields)


WALKS: Final[Mapping[Part, Walk]] = {
    Part.NAMESPACES: Walk("namespaces", ("ns",), ("name", "revision", "commit_time", "chain"), NamespaceCopy),
    Part.MODELS: Walk("models", ("id",), ("name", "version", "dimension", "asymmetry"), ModelCopy),
    Part.EVENTS: Walk(
        "events",
        ("key",),
        ("commit_time", "type", "memory_id", "born", "before", "detail", "salt", "digest"),
        _event,
    ),
    Part.VERSIONS: Walk(
        "versions",
        ("key",),
        ("memory_id", "born", "retired", "gone", "text", "body"),
        lambda key, *row: VersionCopy(_ns_of(key), revision_of(key), *row),
    ),
    Part.METADATA_TYPES: Walk("metadata_types", ("ns", "name", "family"), (), MetadataTypeCopy),
    Part.TURNS: Walk(
        "turns",
        ("ns", "place"),
        ("user_id", "agent_id", "session_id", "last"),
        lambda ns, _, *row: TurnsCopy(ns, *row),
    ),
    Part.SPEAKERS: Walk(
        "speakers",
        ("ns", "place"),
        ("name", "user_id", "agent_id", "session_id", "first", "memories"),
        lambda ns, _, *row: SpeakerCopy(ns, *row),
    ),
    Part.REQUESTS: Walk(
        "idempotency",
        ("namespace", "request_id", "principal", "method"),
        ("fingerprint", "first", "last", "revision", "outcome", "created", "mentions"),
        _request,
    ),
    Part.VECTORS: Walk("vectors", ("ns", "content_hash", "model"), ("data",), _vector),
    Part.KEPT_FACTS: Walk(
        "kept_facts",
        ("key",),
        ("memory_id", "born", "facts"),
        lambda key, *row: KeptFactsCopy(_ns_of(key), revision_of(key), *row),
    ),
    Part.RESETS: Walk("resets", ("id",), ("ns", "reset_id", "state", "executed", "body"), ResetCopy),
    Part.RESET_MEMORIES: Walk("reset_memories", ("reset", "memory_id", "born"), (), ResetMemoryCopy),
    Part.INGESTIONS: Walk(
        "ingestions",
        ("id",),
        (
            "ns",
            "ingestion_id",
            "user_id",
            "agent_id",
            "session_id",
            "state",
            "attempts",
            "due",
            "create_time",
            "update_time",
            "first",
            "last",
            "revision",
            "error",
            "work",
            "outcome",
        ),
        IngestionCopy,
    ),
    Part.ACCESSES: Walk("accesses", ("ns", "memory_id"), ("count", "last"), AccessCopy),
}


def writing(part: Part, rows: Sequence[Row]) -> list[Statement]:
    """The statements that add the rows; at least one row."""
    return _WRITINGS[part](rows)


def _unnested(
    table: str, columns: str, arrays: Arrays, rows: Sequence[Sequence[Any]], selected: str = "*"
) -> Statement:
    """One INSERT of all rows. `selected`: what becomes of the arrays' columns w.c1, w.c2 and so on."""
    names = ", ".join(f"c{number}" for number in range(1, len(arrays) + 1))
    marks = ", ".join(["%s"] * len(arrays))
    bound = tuple(kind(values) for kind, values in zip(arrays, zip(*rows, strict=True), strict=True))
    return f"INSERT INTO {table} ({columns}) SELECT {selected} FROM unnest({marks}) AS w ({names})", bound


def _fields(
    table: str, columns: str, arrays: Arrays, selected: str = "*"
) -> Callable[[Sequence[Row]], list[Statement]]:
    """For a part whose rows stand in the table field by field."""
    return lambda rows: [_unnested(table, columns, arrays, [astuple(row) for row in rows], selected)]


def _numbered(
    table: str, column: str, columns: str, arrays: Arrays, selected: str = "*"
) -> Callable[[Sequence[Row]], list[Statement]]:
    """The same for a table that numbers its rows itself: it goes on after the numbers that were copied."""

    def statements(rows: Sequence[Row]) -> list[Statement]:
        insert, bound = _unnested(table, columns, arrays, [astuple(row) for row in rows], selected)
        return [
            (insert.replace(") SELECT", ") OVERRIDING SYSTEM VALUE SELECT", 1), bound),
            (f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), max({column})) FROM {table}", ()),
        ]

    return statements


def _namespaces(rows: Sequence[Row]) -> list[Statement]:
    return [
        *_numbered("namespaces", "ns", "ns, name, revision, commit_time, chain", (Int8s, Texts, Int8s, Int8s, Bytes))(
            rows
        ),
        (
            "INSERT INTO cursors (store, ns) SELECT p.store, w.ns FROM projections p, unnest(%s) AS w (ns)",
            (Int8s([row.ns for row in cast("Sequence[NamespaceCopy]", rows)]),),
        ),
    ]


def _events(rows: Sequence[Row]) -> list[Statement]:
    found = [
        (
            *(key_of(e.ns, e.revision), e.commit_time, e.type, e.memory_id, e.born),
            *(None if e.before is None else key_of(e.ns, e.before), e.detail, e.salt, e.digest),
        )
        for e in cast("Sequence[EventCopy]", rows)
    ]
    arrays: Arrays = (Int8s, Int8s, Int8s, Texts, Int8s, Int8s, Bytes, Bytes, Bytes)
    return [_unnested("events", "key, commit_time, type, memory_id, born, before, detail, salt, digest", arrays, found)]


_VERSION_COLUMNS: Final = (
    "key, ns, memory_id, born, retired, gone, text, body, user_id, agent_id, session_id, kind, turn, create_time, "
    "update_time, valid_from, valid_until, expire_time, importance, actor_id, message_id, content, has_facts, said"
)
_VERSION_ARRAYS: Final[Arrays] = (
    *(Int8s, Int8s, Texts, Int8s, Int8s, Int8s, Texts, Bytes, Texts, Texts, Texts, Int8s, Int8s, Int8s),
    *(Int8s, Int8s, Int8s, Int8s, Texts, Texts, Texts, Int8s, Int8s, Int8s),
)
_VERSION_SELECTED: Final = ", ".join(
    {19: "w.c19::numeric", 23: "w.c23 <> 0"}.get(number, f"w.c{number}") for number in range(1, 25)
)


def _versions(rows: Sequence[Row]) -> list[Statement]:
    found: list[tuple[Any, ...]] = []
    metadata: list[tuple[Any, ...]] = []
    for version in cast("Sequence[VersionCopy]", rows):
        key = key_of(version.ns, version.revision)
        # Which namespace it is in decides none of the columns.
        memory = decode_memory("", version.revision, version.text, version.body)
        _, *columns = columns_of(memory)
        found.append(
            (
                *(key, version.ns, version.memory_id, version.born, version.retired, version.gone),
                *(version.text, version.body, *columns),
            )
        )
        metadata.extend((key, *row) for row in metadata_rows(memory.metadata))
    statements = [_unnested("versions", _VERSION_COLUMNS, _VERSION_ARRAYS, found, _VERSION_SELECTED)]
    if metadata:
        statements.append(writing_metadata(metadata))
    return statements


def _turns(rows: Sequence[Row]) -> list[Statement]:
    found = [
        (t.ns, place_of(t.user_id, t.agent_id, t.session_id), t.user_id, t.agent_id, t.session_id, t.last)
        for t in cast("Sequence[TurnsCopy]", rows)
    ]
    arrays: Arrays = (Int8s, Bytes, Texts, Texts, Texts, Int8s)
    return [_unnested("turns", "ns, place, user_id, agent_id, session_id, last", arrays, found)]


def _speakers(rows: Sequence[Row]) -> list[Statement]:
    found = [
        (
            *(s.ns, place_of(s.name, s.user_id, s.agent_id, s.session_id)),
            *(s.name, s.user_id, s.agent_id, s.session_id, s.first, s.memories),
        )
        for s in cast("Sequence[SpeakerCopy]", rows)
    ]
    arrays: Arrays = (Int8s, Bytes, Texts, Texts, Texts, Texts, Int8s, Int8s)
    return [_unnested("speakers", "ns, place, name, user_id, agent_id, session_id, first, memories", arrays, found)]


def _requests(rows: Sequence[Row]) -> list[Statement]:
    # A list of lists is no array of PostgreSQL's, so each goes by itself; they travel together all the same.
    insert = (
        "INSERT INTO idempotency (namespace, request_id, principal, method, fingerprint, first, last, revision, "
        "outcome, created, mentions) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::text[])"
    )
    return [
        (insert, (*astuple(r)[:-1], Texts(r.mentions) if r.mentions else None))
        for r in cast("Sequence[RequestCopy]", rows)
    ]


def _kept_facts(rows: Sequence[Row]) -> list[Statement]:
    found = [(key_of(f.ns, f.revision), f.memory_id, f.born, f.facts) for f in cast("Sequence[KeptFactsCopy]", rows)]
    return [_unnested("kept_facts", "key, memory_id, born, facts", (Int8s, Texts, Int8s, Bytes), found)]


_WRITINGS: Final[Mapping[Part, Callable[[Sequence[Row]], list[Statement]]]] = {
    Part.NAMESPACES: _namespaces,
    Part.MODELS: _numbered(
        "models",
        "id",
        "id, name, version, dimension, asymmetry",
        (Int8s, Texts, Texts, Int8s, Int8s),
        "w.c1, w.c2, w.c3, w.c4, w.c5 <> 0",
    ),
    Part.EVENTS: _events,
    Part.VERSIONS: _versions,
    Part.METADATA_TYPES: _fields("metadata_types", "ns, name, family", (Int8s, Texts, Int8s)),
    Part.TURNS: _turns,
    Part.SPEAKERS: _speakers,
    Part.REQUESTS: _requests,
    Part.VECTORS: _fields("vectors", "ns, content_hash, model, data", (Int8s, Bytes, Int8s, Bytes)),
    Part.KEPT_FACTS: _kept_facts,
    Part.RESETS: _numbered(
        "resets",
        "id",
        "id, ns, reset_id, state, executed, body",
        (Int8s, Int8s, Texts, Int8s, Int8s, Bytes),
        "w.c1, w.c2, w.c3, w.c4, w.c5 <> 0, w.c6",
    ),
    Part.RESET_MEMORIES: _fields("reset_memories", "reset, memory_id, born", (Int8s, Texts, Int8s)),
    Part.INGESTIONS: _numbered(
        "ingestions",
        "id",
        "id, ns, ingestion_id, user_id, agent_id, session_id, state, attempts, due, create_time, update_time, first, "
        "last, revision, error, work, outcome",
        (
            *(Int8s, Int8s, Texts, Texts, Texts, Texts, Int8s, Int8s, Int8s, Int8s, Int8s, Int8s),
            *(Int8s, Int8s, Texts, Bytes, Bytes),
        ),
    ),
    Part.ACCESSES: _fields("accesses", "ns, memory_id, count, last", (Int8s, Texts, Int8s, Int8s)),
}
