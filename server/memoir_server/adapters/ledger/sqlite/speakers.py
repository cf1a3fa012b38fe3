"""Who speaks in a scope: counters over current memories, kept with every change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import apsw

from memoir_server.adapters.coherent import CoherentCache
from memoir_server.adapters.ledger.sqlite.caches import HeldSpeakers, reads_newest, speakers_charge
from memoir_server.adapters.ledger.sqlite.filters import Condition, add_scope
from memoir_server.adapters.ledger.sqlite.rows import fetch
from memoir_server.domain.change import Change
from memoir_server.domain.memory import NEVER, Memory, Scope

_MOST_ANSWERS: Final = 64
"""Answers held of one owner; with one more it starts again."""


def count_speakers(connection: apsw.Connection, ns: int, changes: Sequence[Change]) -> None:
    """Counts the versions that became current and those that ceased to be."""
    deltas: Counter[tuple[str | None, str | None, str | None, str]] = Counter()
    first: dict[tuple[str | None, str | None, str | None, str], int] = {}
    for change in changes:
        if change.after is not None:
            deltas[_counter_of(change.after)] += 1
            first.setdefault(_counter_of(change.after), change.revision)
        if change.before is not None:
            deltas[_counter_of(change.before)] -= 1
    for (user_id, agent_id, session_id, name), delta in deltas.items():
        if not name or not delta:
            continue
        counter = (ns, name, user_id, agent_id, session_id)
        where = "WHERE ns = ? AND name = ? AND user_id IS ? AND agent_id IS ? AND session_id IS ?"
        connection.execute(f"UPDATE speakers SET memories = memories + ? {where}", (delta, *counter))
        if not connection.changes():
            connection.execute(
                "INSERT INTO speakers (ns, name, user_id, agent_id, session_id, first, memories)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*counter, first[user_id, agent_id, session_id, name], delta),
            )
        elif delta < 0:
            connection.execute(f"DELETE FROM speakers {where} AND memories <= 0", counter)


def _counter_of(memory: Memory) -> tuple[str | None, str | None, str | None, str]:
    scope = memory.scope
    return scope.user_id, scope.agent_id, scope.session_id, memory.speaker


def speakers_of(
    connection: apsw.Connection,
    cache: CoherentCache[tuple[int, str | None], HeldSpeakers],
    ns: int,
    scope: Scope,
    limit: int,
    revision: int,
) -> tuple[str, ...]:
    """Speakers of the scope who had spoken by the revision, most frequent first, then by name."""
    if revision < NEVER - 1:
        return tuple(_count_up(connection, ns, scope, limit, revision))
    owner, asked = (ns, scope.user_id), (scope.agent_id, scope.session_id, limit)
    moment = cache.moment
    held = cache.find(owner)
    if held is None:
        held = {}
    elif (known := held.get(asked)) is not None:
        return known
    newest = reads_newest(connection)
    names = tuple(_count_up(connection, ns, scope, limit, revision))
    if not newest:
        return names
    answers = {**held, asked: names} if len(held) < _MOST_ANSWERS else {asked: names}
    cache.keep([(owner, answers, speakers_charge(answers))], moment)
    return names


def _count_up(connection: apsw.Connection, ns: int, scope: Scope, limit: int, revision: int) -> list[str]:
    condition = Condition()
    condition.add("v.ns = ?", ns)
    if revision < NEVER - 1:
        condition.add("v.first <= ?", revision)
    add_scope(condition, scope)
    if scope.user_id is not None:
        # Of one user the index gives names in order, and they are few: sorting them here takes a third of the time.
        query = f"SELECT v.name, sum(v.memories) FROM speakers v WHERE {condition.sql} GROUP BY v.name"
        counted: list[tuple[Any, ...]] = fetch(connection, query, condition.bindings)
        counted.sort(key=lambda row: (-row[1], row[0]))
        return [name for name, _ in counted[:limit]]
    rows = connection.execute(
        f"SELECT v.name FROM speakers v WHERE {condition.sql} GROUP BY v.name "
        "ORDER BY sum(v.memories) DESC, v.name LIMIT ?",
        (*condition.bindings, limit),
    )
    return [name for (name,) in rows]
