"""Reading the log: events in a range, and which revision belongs to which moment."""

from __future__ import annotations

from typing import Final

from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, key_of
from memoir_server.adapters.ledger.postgres.filters import Condition, add_scope, selection_condition
from memoir_server.adapters.ledger.postgres.rows import EVENTS
from memoir_server.adapters.ledger.postgres.transaction import Statement
from memoir_server.domain.change import EventType
from memoir_server.domain.memory import NEVER, Scope
from memoir_server.domain.selection import Selection
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import HistoryQuery

_ENDINGS: Final = f"({EventType.DELETED:d}, {EventType.EXPIRED:d}, {EventType.FAILED:d})"
_REVISION_AT: Final = (
    # Times rise with revisions, so this is a binary search: some twenty rows of a million.
    "WITH RECURSIVE search (low, high) AS (SELECT 0::bigint, n.revision FROM namespaces n WHERE n.ns = %s "
    "UNION ALL SELECT CASE WHEN e.commit_time <= %s THEN m.middle ELSE s.low END, "
    "CASE WHEN e.commit_time <= %s THEN s.high ELSE m.middle - 1 END FROM search s "
    "CROSS JOIN LATERAL (SELECT (s.low + s.high + 1) / 2 AS middle) m "
    "JOIN events e ON e.key = %s + m.middle WHERE s.low < s.high) SELECT low FROM search WHERE low = high"
)


def commit_time(ns: int, revision: int) -> Statement:
    """Commit time of a revision."""
    return "SELECT commit_time FROM events WHERE key = %s", (key_of(ns, revision),)


def revision_at(ns: int, time: Instant) -> Statement:
    """Last revision with commit_time <= time, 0 if none."""
    return _REVISION_AT, (ns, time, time, key_of(ns, 0))


def events(ns: int, first: int, last: int, query: HistoryQuery, limit: int) -> Statement:
    """Events of the query with first <= revision <= last."""
    condition = Condition()
    condition.add("e.key BETWEEN %s AND %s", key_of(ns, first), key_of(ns, last))
    narrowed = Condition()
    if query.types:
        narrowed.add(f"e.type IN ({', '.join(str(int(t)) for t in sorted(query.types))})")
    if query.memory_id is not None:
        narrowed.add("e.memory_id = %s", query.memory_id)
        if not query.watch:
            _of_memory(condition, ns, query.memory_id)
    if not query.scope.empty:
        for column in ("user_id", "agent_id", "session_id"):
            value = getattr(query.scope, column)
            if value is not None:
                narrowed.add(
                    f"coalesce(CASE WHEN v.key IS NULL THEN b.{column} ELSE v.{column} END = %s, FALSE)", value
                )
        if not query.watch:
            _of_scope(condition, ns, query.scope)
    if query.of is not None:
        _of_covered(narrowed, ns, query.of)
    if narrowed.terms:
        erased = f"e.type = {EventType.ERASED:d} OR " if query.watch else ""
        condition.add(f"({erased}({narrowed.sql}))", *narrowed.bindings)
    return f"{EVENTS} WHERE {condition.sql} ORDER BY e.key LIMIT %s", (*condition.bindings, limit)


def _of_memory(condition: Condition, ns: int, memory_id: str) -> None:
    """Finds a memory's events through its versions instead of reading the whole log."""
    condition.add(
        # An array, not IN: found first, whatever the planner thinks of the range of keys beside it.
        "e.key = ANY(ARRAY(SELECT x.key FROM versions x WHERE x.ns = %s AND x.memory_id = %s "
        "UNION ALL SELECT x.key FROM events x WHERE x.memory_id = %s AND x.key BETWEEN %s AND %s "
        f"AND x.type IN {_ENDINGS}))",
        *(ns, memory_id, memory_id, key_of(ns, 0), key_of(ns, MAX_REVISION)),
    )


def _of_scope(condition: Condition, ns: int, scope: Scope) -> None:
    """Finds a scope's events through its versions: each was made by one and ended by one."""
    inner = Condition()
    inner.add("v.ns = %s", ns)
    add_scope(inner, scope)
    condition.add(
        f"e.key = ANY(ARRAY(SELECT v.key FROM versions v WHERE {inner.sql} "
        f"UNION ALL SELECT %s + v.retired FROM versions v WHERE {inner.sql} AND v.retired < {NEVER}))",
        *(*inner.bindings, key_of(ns, 0), *inner.bindings),
    )


def _of_covered(condition: Condition, ns: int, selection: Selection) -> None:
    """Only events of lives of memories that the selection covers."""
    covered = selection_condition(ns, selection)
    condition.add(
        f"EXISTS (SELECT 1 FROM versions v WHERE v.memory_id = e.memory_id AND v.born = e.born AND {covered.sql})",
        *covered.bindings,
    )
