"""Reading the log: events in a range, and which revision belongs to which moment."""

from __future__ import annotations

import apsw

from memoir_server.adapters.ledger.forms.layout import key_of
from memoir_server.adapters.ledger.forms.rows import read_changes
from memoir_server.adapters.ledger.sqlite.filters import Condition, add_scope, selection_condition
from memoir_server.adapters.ledger.sqlite.rows import EVENTS
from memoir_server.domain.change import Change, EventType
from memoir_server.domain.memory import NEVER, Scope
from memoir_server.domain.selection import Selection
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import HistoryQuery


def commit_time(connection: apsw.Connection, ns: int, revision: int) -> Instant:
    """Commit time of an existing revision."""
    return int(connection.execute("SELECT commit_time FROM events WHERE key = ?", (key_of(ns, revision),)).get)


def revision_at(connection: apsw.Connection, ns: int, head: int, time: Instant) -> int:
    """Last revision with commit_time <= time, 0 if none. Times rise with revisions, so this is a binary search."""
    low, high = 0, head
    while low < high:
        middle = (low + high + 1) // 2
        if commit_time(connection, ns, middle) <= time:
            low = middle
        else:
            high = middle - 1
    return low


def bounds(connection: apsw.Connection, ns: int, head: int, query: HistoryQuery) -> tuple[int, int]:
    """First and last revision that the query's ranges allow."""
    first, last = max(query.after, 0) + 1, head if query.until is None else min(query.until, head)
    if query.committed.start is not None:
        first = max(first, revision_at(connection, ns, head, query.committed.start - 1) + 1)
    if query.committed.end is not None:
        last = min(last, revision_at(connection, ns, head, query.committed.end - 1))
    return first, last


def events(
    connection: apsw.Connection, ns: int, namespace: str, first: int, last: int, query: HistoryQuery, limit: int
) -> list[Change]:
    """Events of the query with first <= revision <= last."""
    condition = Condition()
    condition.add("e.key BETWEEN ? AND ?", key_of(ns, first), key_of(ns, last))
    narrowed = Condition()
    if query.types:
        narrowed.add(f"e.type IN ({', '.join(str(int(t)) for t in sorted(query.types))})")
    if query.memory_id is not None:
        narrowed.add("e.memory_id = ?", query.memory_id)
        if not query.watch:
            _of_memory(condition, ns, query.memory_id)
    if not query.scope.empty:
        for column in ("user_id", "agent_id", "session_id"):
            value = getattr(query.scope, column)
            if value is not None:
                narrowed.add(f"CASE WHEN v.key IS NULL THEN b.{column} ELSE v.{column} END = ?", value)
        if not query.watch:
            _of_scope(condition, ns, query.scope)
    if query.of is not None:
        _of_covered(narrowed, ns, query.of)
    if narrowed.terms:
        erased = f"e.type = {int(EventType.ERASED)} OR " if query.watch else ""
        condition.add(f"({erased}({narrowed.sql}))", *narrowed.bindings)
    rows = connection.execute(f"{EVENTS} WHERE {condition.sql} ORDER BY e.key LIMIT ?", (*condition.bindings, limit))
    return list(read_changes(namespace, rows))


def _of_memory(condition: Condition, ns: int, memory_id: str) -> None:
    """Finds a memory's events through its versions instead of reading the whole log."""
    condition.add(
        "e.key IN (SELECT key FROM versions WHERE ns = ? AND memory_id = ? "
        "UNION ALL SELECT key FROM events WHERE memory_id = ? AND type IN (4, 5, 8))",
        *(ns, memory_id, memory_id),
    )


def _of_scope(condition: Condition, ns: int, scope: Scope) -> None:
    """Finds a scope's events through its versions: each was made by one and ended by one."""
    inner = Condition()
    inner.add("v.ns = ?", ns)
    add_scope(inner, scope)
    condition.add(
        f"e.key IN (SELECT v.key FROM versions v WHERE {inner.sql} "
        f"UNION ALL SELECT ? + v.retired FROM versions v WHERE {inner.sql} AND v.retired < {NEVER})",
        *(*inner.bindings, key_of(ns, 0), *inner.bindings),
    )


def _of_covered(condition: Condition, ns: int, selection: Selection) -> None:
    """Only events of lives of memories that the selection covers."""
    covered = selection_condition(ns, selection)
    condition.add(
        "EXISTS (SELECT 1 FROM versions v INDEXED BY versions_by_memory "
        f"WHERE v.memory_id = e.memory_id AND v.born = e.born AND {covered.sql})",
        *covered.bindings,
    )
