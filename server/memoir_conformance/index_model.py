"""The index as a dictionary, and lives of memories to try it with; for the suite of every index."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.entry import CandidateColumns, IndexEntry
from memoir_server.domain.memory import NEVER, MemoryKind, Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.index import IndexAction, IndexQuery, MemoryIndex, Put
from memoir_server.ports.projection import Remove, Retire

OpenIndex: TypeAlias = Callable[[], AbstractAsyncContextManager[MemoryIndex]]

DIMENSION = 8
MODEL = EmbeddingModel("test", "1", DIMENSION)
NOW = 1_000_000
USERS = ("alice", "alice-2", "alice@x.com", None)
AGENTS = ("a", "a-1", None)
SESSIONS = ("s", "s-1", None)
TERMS = ("anna", "annas", "t616e6e61", "x61", "北京", "京都", "हिन्दी", "straße", "ⅳ", "naïve", "0", "é" * 64)
VECTORS = np.random.default_rng(7).normal(size=(6, DIMENSION)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1)[:, np.newaxis]


def entry(revision: int, memory_id: str | None = None, scope: Scope | None = None, **changes: object) -> IndexEntry:
    """An entry with everything filled in."""
    whole = IndexEntry(
        memory_id=f"m{revision}" if memory_id is None else memory_id,
        revision=revision,
        scope=Scope("alice") if scope is None else scope,
        kind=MemoryKind.FACT,
        create_time=revision,
        valid_from=None,
        valid_until=None,
        importance=None,
        speaker="",
        turn=0,
        asks=False,
        terms=("anna",),
        vector=VECTORS[revision % len(VECTORS)],
    )
    return replace(whole, **changes)  # type: ignore[arg-type]  # fields by name


def select(scope: Scope | None = None, **changes: object) -> Selection:
    """A selection of what is there now."""
    return replace(Selection(scope=scope or Scope(), reference=NOW, now=NOW), **changes)  # type: ignore[arg-type]


def ask(selection: Selection | None = None, *, depth: int = 1000, allowed: Collection[int] | None = None) -> IndexQuery:
    """A query, deep enough for all."""
    revisions = None if allowed is None else np.array(sorted(allowed), dtype=np.int64)
    return IndexQuery(selection=selection or select(), allowed=revisions, depth=depth)


def puts(*entries: IndexEntry) -> list[IndexAction]:
    return [Put(e) for e in entries]


@dataclass(frozen=True)
class Row:
    """A candidate with its codes resolved; sessions are compared by who shares one."""

    memory_id: str
    revision: int
    create_time: int
    turn: int
    speaker: str
    length: int
    asks: bool
    importance: float
    kind: int
    in_session: bool


def rows(columns: CandidateColumns) -> list[Row]:
    names = (*columns.speaker_names, "")
    return [
        Row(
            memory_id=columns.memory_id[i],
            revision=int(columns.revision[i]),
            create_time=int(columns.create_time[i]),
            turn=int(columns.turn[i]),
            speaker=names[columns.speaker[i]],
            length=int(columns.length[i]),
            asks=bool(columns.asks[i]),
            importance=float(columns.importance[i]),
            kind=int(columns.kind[i]),
            in_session=int(columns.session[i]) >= 0,
        )
        for i in range(len(columns))
    ]


def row_of(e: IndexEntry) -> Row:
    return Row(
        memory_id=e.memory_id,
        revision=e.revision,
        create_time=e.create_time,
        turn=e.turn,
        speaker=e.speaker,
        length=len(e.terms),
        asks=e.asks,
        importance=0.5 if e.importance is None else e.importance,
        kind=int(e.kind),
        in_session=e.scope.session_id is not None,
    )


def eligible(e: IndexEntry, query: IndexQuery) -> bool:
    """The rule of `IndexQuery`, for one entry."""
    s = query.selection
    if s.valid_at is not None:
        valid = (e.valid_from is None or e.valid_from <= s.valid_at) and (
            e.valid_until is None or s.valid_at < e.valid_until
        )
    else:
        valid = s.include_superseded or e.valid_until is None or e.valid_until > s.reference
    return (
        s.scope.covers(e.scope)
        and e.revision <= s.revision < e.retired
        and valid
        and (query.allowed is None or e.revision in query.allowed.tolist())
    )


class Model:
    """The index as a dictionary."""

    def __init__(self, actions: Sequence[IndexAction] = ()) -> None:
        self.entries: dict[int, IndexEntry] = {}
        for action in actions:
            self.apply(action)

    def apply(self, action: IndexAction) -> None:
        if isinstance(action, Put):
            self.entries[action.entry.revision] = action.entry
        elif isinstance(action, Retire):
            held = self.entries.get(action.revision)
            if held is not None and held.memory_id == action.memory_id:
                self.entries[action.revision] = replace(held, retired=action.retired)
        else:
            gone = [r for r, e in self.entries.items() if e.memory_id == action.memory_id and e.revision <= action.upto]
            for revision in gone:
                del self.entries[revision]

    def selected(self, query: IndexQuery) -> list[IndexEntry]:
        return [e for _, e in sorted(self.entries.items()) if eligible(e, query)]

    async def check_keyword(self, index: MemoryIndex, namespace: str, terms: Sequence[str], query: IndexQuery) -> None:
        found = await index.keyword(namespace, terms, query)
        expected = [e for e in self.selected(query) if set(terms) & set(e.terms)]
        assert rows(found.columns) == [row_of(e) for e in expected]
        assert found.frequency.shape == (len(expected), len(terms))
        assert found.frequency.tolist() == [[Counter(e.terms)[t] for t in terms] for e in expected]
        revision = query.selection.revision
        current = [
            e
            for e in self.entries.values()
            if e.revision <= revision < e.retired and query.selection.scope.owner.covers(e.scope)
        ]
        assert found.document_count == len(current)
        lengths = [len(e.terms) for e in current]
        assert found.mean_length == pytest.approx(sum(lengths) / len(lengths) if lengths else 0.0)
        assert found.document_frequency.tolist() == [sum(t in e.terms for e in current) for t in terms]

    async def check_dense(
        self, index: MemoryIndex, namespace: str, vector: NDArray[np.float32], query: IndexQuery
    ) -> None:
        found = await index.dense(namespace, vector, query)
        expected = self.selected(query)
        if len(expected) > query.depth:
            assert len(found.columns) == query.depth
            kept = set(found.columns.revision.tolist())
            out = [cosine(e.vector, vector) for e in expected if e.revision not in kept]
            assert max(out) <= found.cosine.min() + 2e-6
            expected = [e for e in expected if e.revision in kept]
        assert rows(found.columns) == [row_of(e) for e in expected]
        assert found.cosine == pytest.approx([cosine(e.vector, vector) for e in expected], abs=1.5e-6)
        named = IndexQuery(selection=query.selection, allowed=found.columns.revision, depth=len(found.columns))
        again = await index.dense(namespace, vector, named)
        assert again.cosine.tolist() == found.cosine.tolist()


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(sum(float(x) * float(y) for x, y in zip(a, b, strict=True)))


# --- a ledger's life, as the projector would tell it -----------------------------------------------------------------

scopes = st.builds(Scope, st.sampled_from(USERS), st.sampled_from(AGENTS), st.sampled_from(SESSIONS))
instants = st.none() | st.integers(NOW - 3, NOW + 3)


@st.composite
def lives(draw: st.DrawFn, *, steps: int = 14) -> list[IndexAction]:
    """Memories made, changed, deleted and made again under the same id, each change under its own revision."""
    actions: list[IndexAction] = []
    current: dict[str, int] = {}
    for revision in range(1, draw(st.integers(1, steps)) + 1):
        memory_id = draw(st.sampled_from(("m", "m-1", "m1", "n")))
        if memory_id in current and draw(st.booleans()) and draw(st.booleans()):
            actions.append(Remove(memory_id, upto=revision - 1))
            del current[memory_id]
            continue
        if memory_id in current:
            actions.append(Retire(memory_id, current[memory_id], revision))
        current[memory_id] = revision
        made = entry(
            revision,
            memory_id,
            draw(scopes),
            kind=draw(st.sampled_from(MemoryKind)),
            create_time=draw(st.integers(-5, 5)),
            valid_from=draw(instants),
            valid_until=draw(instants),
            importance=draw(st.none() | st.sampled_from((0.0, 0.25, 1.0))),
            speaker=draw(st.sampled_from(("", "Anna", "Ann"))),
            turn=draw(st.integers(0, 3)),
            asks=draw(st.booleans()),
            terms=tuple(draw(st.lists(st.sampled_from(TERMS), max_size=5))),
            vector=VECTORS[draw(st.integers(0, len(VECTORS) - 1))],
        )
        actions.append(Put(made))
    return actions


@st.composite
def queries(draw: st.DrawFn) -> IndexQuery:
    selection = select(
        draw(scopes),
        revision=draw(st.sampled_from((NEVER - 1, 1, 3, 6, 9))),
        valid_at=draw(instants),
        include_superseded=draw(st.booleans()),
        reference=draw(st.integers(NOW - 3, NOW + 3)),
    )
    return ask(selection, allowed=draw(st.none() | st.sets(st.integers(1, 14))), depth=draw(st.sampled_from((1000, 2))))


term_lists = st.lists(st.sampled_from((*TERMS, "absent")), unique=True, max_size=5)
# Several stores inherit the same laws; without a database no store replays the examples of another.
laws = settings(
    max_examples=int(os.environ.get("MEMOIR_EXAMPLES", "40")),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)


async def snapshot(index: MemoryIndex, namespace: str) -> list[object]:
    """Everything that can be asked of a namespace, now and at past moments."""
    told: list[object] = []
    for user in (*USERS, "nobody"):
        for revision in (NEVER - 1, 4, 8):
            query = ask(select(Scope(user), revision=revision, include_superseded=True))
            keyword = await index.keyword(namespace, TERMS, query)
            told.append((rows(keyword.columns), keyword.frequency.tolist(), keyword.document_frequency.tolist()))
            told.append((keyword.document_count, keyword.mean_length))
            dense = await index.dense(namespace, VECTORS[0], query)
            told.append((rows(dense.columns), dense.cosine.tolist()))
        told.append(await index.count(namespace, Scope(user)))
    told.append(list(await index.find(namespace, ["m", "m-1", "m1", "n"])))
    return told


def run(open_index: OpenIndex, check: Callable[[MemoryIndex], Awaitable[None]]) -> None:
    """Opens an empty index with the model of these tests, and runs the check on it."""

    async def whole() -> None:
        async with open_index() as index:
            await index.set_model(MODEL)
            await check(index)

    asyncio.run(whole())
