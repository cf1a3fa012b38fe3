"""Walking through the memories of a namespace in an order that writes do not disturb, and counting them by scope."""

from __future__ import annotations

from typing import Final

import apsw

from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, key_of, revision_of
from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.sqlite.filters import Condition, add_scope, selection_condition
from memoir_server.adapters.ledger.sqlite.rows import MEMORY_COLUMNS, as_json
from memoir_server.domain.memory import NEVER, Scope
from memoir_server.domain.scopes import ScopeCount, ScopeDimension
from memoir_server.domain.selection import Selection
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import Born

_BIRTHS_AT_ONCE: Final = 1000
_COLUMNS: Final = {
    ScopeDimension.USER: "user_id",
    ScopeDimension.AGENT: "agent_id",
    ScopeDimension.SESSION: "session_id",
}


def list_born(
    connection: apsw.Connection, ns: int, namespace: str, selection: Selection, *, after: int, limit: int
) -> list[Born]:
    """See Ledger.list_born. Walks through first versions, which stay as long as the memory exists, and looks up the
    covered version of each."""
    condition = selection_condition(ns, selection)
    found: list[Born] = []
    while len(found) < limit:
        births = _births(connection, ns, selection, after)
        rows = connection.execute(
            f"SELECT first.key, {MEMORY_COLUMNS} FROM json_each(?) AS wanted "
            "CROSS JOIN versions first CROSS JOIN versions v INDEXED BY versions_by_memory "
            "WHERE first.key = wanted.value AND v.memory_id = first.memory_id AND v.born = first.born "
            f"AND {condition.sql}",
            (as_json([key_of(ns, birth) for birth in births]), *condition.bindings),
        )
        found.extend(
            sorted((Born(revision_of(row[0]), read_memory(namespace, row[1:])) for row in rows), key=lambda b: b.birth)
        )
        if len(births) < _BIRTHS_AT_ONCE:
            break
        after = births[-1]
    return found[:limit]


def _births(connection: apsw.Connection, ns: int, selection: Selection, after: int) -> list[int]:
    """Revisions that created memories of the scope, ascending, after one and up to the selection's."""
    condition = Condition()
    condition.add("v.key BETWEEN ? AND ?", key_of(ns, after + 1), key_of(ns, selection.revision))
    condition.add(f"v.born = (v.key & {MAX_REVISION})")
    # Without a scope the keys themselves are the order; any index would have to be sorted.
    table = "versions v NOT INDEXED"
    if not selection.scope.empty:
        table = "versions v"
        condition.add("v.ns = ?", ns)
        add_scope(condition, selection.scope)
    rows = connection.execute(
        f"SELECT v.key FROM {table} WHERE {condition.sql} ORDER BY v.key LIMIT ?",
        (*condition.bindings, _BIRTHS_AT_ONCE),
    )
    return [revision_of(key) for (key,) in rows]


def scopes(
    connection: apsw.Connection,
    ns: int,
    dimension: ScopeDimension,
    within: Scope,
    *,
    after: str,
    limit: int,
    now: Instant,
) -> list[ScopeCount]:
    """See Ledger.scopes. Texts compare by their UTF-8 bytes, which is the order of code points."""
    column = _COLUMNS[dimension]
    condition = Condition()
    condition.add(f"v.ns = ? AND v.{column} IS NOT NULL AND v.{column} > ?", ns, after)
    add_scope(condition, within)
    condition.add(f"v.retired = {NEVER} AND v.gone > ?", now)
    rows = connection.execute(
        f"SELECT v.{column}, count(*), max(v.create_time) FROM versions v WHERE {condition.sql} "
        f"GROUP BY v.{column} ORDER BY v.{column} LIMIT ?",
        (*condition.bindings, limit),
    )
    return [ScopeCount(_with(within, dimension, name), count, newest) for name, count, newest in rows]


def _with(within: Scope, dimension: ScopeDimension, name: str) -> Scope:
    return Scope(
        name if dimension is ScopeDimension.USER else within.user_id,
        name if dimension is ScopeDimension.AGENT else within.agent_id,
        name if dimension is ScopeDimension.SESSION else within.session_id,
    )
