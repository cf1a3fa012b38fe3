"""All that a client and the stores show, in a form in which two runs of one mutation are equal.

Left out is what differs between any two runs: times, identifiers the server made, digests. Such a memory is named by its text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path

import apsw

from memoir import AsyncMemoir, BreakerState, HistoryEvent, Memory
from memoir_server.adapters.graph.sqlite import SqliteGraph
from memoir_server.adapters.index.sqlite import SqliteIndex
from memoir_server.adapters.ledger.sqlite import SqliteLedger
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.graph import EntityGraph
from memoir_server.ports.index import MemoryIndex
from tests.faults.operations import WORDS

FIXED_IDS = frozenset({"ann-1", "ann-2", "ann-3", "bob-1", "new-1"})
FAR_FUTURE = 2**52
SETTLE_SECONDS = 90.0
_CLOSED = (BreakerState.UNSPECIFIED, BreakerState.CLOSED)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the API answers.

    `memories`: text, owner, names of entities, what it supersedes and what superseded it, revision, by label.
    `history`: one line per event, in order. `found`: labels found by each of the words, with the words themselves.
    """

    head: int
    memories: dict[str, tuple[str, ...]]
    history: tuple[tuple[str, ...], ...]
    found: dict[str, tuple[str, ...]]
    entities: tuple[str, ...]


Held = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """What the stores hold: (label, revision) in the index and of the graph, and the number of rows of every table."""

    indexed: Held
    mentioned: Held
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Current:
    """A memory that exists, and whether it mentions an entity."""

    memory_id: str
    revision: int
    text: str
    mentions: bool


async def settled(client: AsyncMemoir) -> int:
    """Waits until every store answers and both projections have applied everything; returns the head."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            info = await client.server_info(timeout=SETTLE_SECONDS)
            assert not any(store.degraded for store in info.stores), info.stores
            whole = (s.reachable and not s.lag and s.breaker in _CLOSED for s in info.stores)
            if all(whole):
                return info.revision
            await asyncio.sleep(0.02)


async def look(client: AsyncMemoir) -> Shown:
    """Asks for everything, once the projections have caught up and the doctor has nothing to say."""
    head = await settled(client)
    await examined(client)
    memories = [memory async for memory in client.list(include_superseded=True, view="FULL")]
    events = [event async for event in client.history()]
    assert [event.revision for event in events] == list(range(1, head + 1)), "the log has a gap"
    labels = {memory.id: _label(memory) for memory in memories}
    found = {}
    for word in WORDS:
        result = await client.search(word, user_id="ann", recipe="keyword", include_superseded=True, min_revision=head)
        found[word] = tuple(sorted(_label(hit.memory) for hit in result.hits if word in hit.memory.text))
    return Shown(
        head=head,
        memories={labels[memory.id]: _described(memory, labels) for memory in memories},
        history=tuple(_event(event) for event in events),
        found=found,
        entities=tuple(sorted([entity.name async for entity in client.entities(user_id="ann", min_revision=head)])),
    )


async def examined(client: AsyncMemoir) -> None:
    """The doctor compares both projections with the ledger and finds nothing."""
    report = await client.check_consistency(timeout=SETTLE_SECONDS)
    assert not report.findings, report.findings


async def open_stores(data: Path, namespace: str) -> Stored:
    """Opens the stores of a stopped server. Index and graph must hold exactly what the ledger holds."""
    ledger, index, graph = SqliteLedger(data), SqliteIndex(data), SqliteGraph(data)
    await ledger.open()
    await index.open()
    await graph.open()
    try:
        assert await ledger.verify_chain(namespace), "the chain of digests is broken"
        selection = Selection(scope=Scope(), include_superseded=True, reference=FAR_FUTURE, now=0)
        found = await ledger.list_memories(namespace, selection, after=None, limit=1000)
        current = [Current(m.memory_id, m.revision, m.text, bool(m.entities)) for m in found]
        indexed, mentioned = await held(current, index, graph, namespace)
    finally:
        await graph.close()
        await index.close()
        await ledger.close()
    return Stored(indexed, mentioned, _rows(data))


async def held(current: Sequence[Current], index: MemoryIndex, graph: EntityGraph, namespace: str) -> tuple[Held, Held]:
    """(label, revision) of all that the index holds, and of what the graph holds of the memories that exist and of those
    that may have been removed. They must hold what exists and nothing else."""
    labels = {memory.memory_id: _label_of(memory.memory_id, memory.text) for memory in current}
    labels |= {memory_id: memory_id for memory_id in FIXED_IDS}
    entries = await index.find(namespace, sorted(labels))
    assert {(m.memory_id, m.revision) for m in current} <= set(entries), "the index lacks a memory"
    assert {memory_id for memory_id, _ in entries} == {m.memory_id for m in current}, "the index holds a removed memory"
    assert len(entries) == await index.count(namespace, Scope()), "the index holds an orphan"
    mentions = await graph.find(namespace, sorted(labels))
    assert {memory_id for memory_id, _ in mentions} == {m.memory_id for m in current if m.mentions}
    indexed, mentioned = (
        [(labels[memory_id], revision) for memory_id, revision in part] for part in (entries, mentions)
    )
    return tuple(sorted(indexed)), tuple(sorted(mentioned))


def _rows(data: Path) -> dict[str, int]:
    """Rows of each table: an entry twice, or one that belongs to nothing, is a row too many.

    Not counted: what the full text search keeps for itself, and vectors in the ledger, which a crash may leave out (a rebuild
    computes them again).
    """
    counts = {}
    for name in ("ledger", "index", "graph"):
        with closing(apsw.Connection(str(data / f"{name}.db"), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            tables = connection.execute(
                "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
            for (table,) in tables:
                if (name, table) != ("ledger", "vectors"):
                    counts[f"{name}.{table}"] = int(connection.execute(f'SELECT count(*) FROM "{table}"').get)
    return counts


def _label(memory: Memory) -> str:
    return _label_of(memory.id, memory.text)


def _label_of(memory_id: str, text: str) -> str:
    return memory_id if memory_id in FIXED_IDS else f"<{text}>"


def _described(memory: Memory, labels: Mapping[str, str]) -> tuple[str, ...]:
    owner = memory.scope.user_id or ""
    names = ",".join(sorted(mention.name for mention in memory.entities))
    links = [
        ",".join(labels.get(other, other) for other in each) for each in (memory.supersedes, [memory.superseded_by])
    ]
    return (memory.text, owner, names, *links, str(memory.valid_until or ""), str(memory.revision))


def _event(event: HistoryEvent) -> tuple[str, ...]:
    texts = [version.text if version else "" for version in (event.before, event.after)]
    owner = event.memory_id if event.memory_id in FIXED_IDS else ""
    # The digest of a receipt covers its time.
    reason = event.reason.partition(" sha-256")[0]
    return (event.type.name, owner, *texts, event.request_id, "reset" if event.reset_id else "", reason)


def difference(expected: Shown | Stored, actual: Shown | Stored) -> str:
    """The parts in which two snapshots differ, as they should be and as they are; empty when they are equal."""
    parts = []
    for part in fields(expected):
        before, after = getattr(expected, part.name), getattr(actual, part.name)
        if isinstance(before, dict):
            keys = sorted({key for key in before | after if before.get(key) != after.get(key)})
            before, after = [(key, before.get(key)) for key in keys], [(key, after.get(key)) for key in keys]
        if before != after:
            parts.append(f"{part.name} should be {before}, is {after}")
    return "; ".join(parts)
