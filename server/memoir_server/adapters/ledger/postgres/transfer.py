"""Walking through the memories of a namespace in an order that writes do not disturb, and counting them by scope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, key_of, revision_of
from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.postgres.adaptation import Int8s
from memoir_server.adapters.ledger.postgres.database import Database
from memoir_server.adapters.ledger.postgres.filters import CURRENT, Condition, add_scope, selection_condition
from memoir_server.adapters.ledger.postgres.rows import MEMORY_COLUMNS
from memoir_server.adapters.ledger.postgres.transaction import Row, Statement
from memoir_server.domain.memory import Scope
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


async def list_born(
    database: Database, ns: int, namespace: str, selection: Selection, *, after: int, limit: int
) -> list[Born]:
    """See Ledger.list_born. Walks through first versions, which stay as long as the memory exists, and looks up the
    covered version of each."""
    condition = selection_condition(ns, selection)
    found: list[Born] = []
    at_once = min(limit, _BIRTHS_AT_ONCE)
    while len(found) < limit:
        births = [revision_of(key) for (key,) in await database.fetch(*_births(ns, selection, after, at_once))]
        rows = await database.fetch(
            # OFFSET 0: each memory is looked up by its id, instead of reading through a namespace.
            f"SELECT f.key, {MEMORY_COLUMNS} FROM versions f CROSS JOIN LATERAL (SELECT v.key, v.text, v.body "
            f"FROM versions v WHERE v.memory_id = f.memory_id AND v.born = f.born AND {condition.sql} OFFSET 0) v "
            "WHERE f.key = ANY(%s) ORDER BY f.key",
            (*condition.bindings, Int8s([key_of(ns, birth) for birth in births])),
        )
        found.extend(Born(revision_of(row[0]), read_memory(namespace, row[1:])) for row in rows)
        if len(births) < at_once:
            break
        after = births[-1]
        at_once = min(4 * at_once, _BIRTHS_AT_ONCE)
    return found[:limit]


def _births(ns: int, selection: Selection, after: int, limit: int) -> Statement:
    """Keys of revisions that created memories of the scope, ascending, after one and up to the selection's."""
    condition = Condition()
    condition.add("v.key BETWEEN %s AND %s", key_of(ns, after + 1), key_of(ns, selection.revision))
    condition.add(f"v.born = (v.key & {MAX_REVISION})")
    if not selection.scope.empty:
        condition.add("v.ns = %s", ns)
        add_scope(condition, selection.scope)
    return (
        f"SELECT v.key FROM versions v WHERE {condition.sql} ORDER BY v.key LIMIT %s",
        (*condition.bindings, limit),
    )


def scopes(ns: int, dimension: ScopeDimension, within: Scope, *, after: str, limit: int, now: Instant) -> Statement:
    """What `scope_counts` reads. Texts compare by their UTF-8 bytes, which is the order of code points."""
    column = _COLUMNS[dimension]
    condition = Condition()
    condition.add(f"v.ns = %s AND v.{column} IS NOT NULL AND v.{column} > %s", ns, after)
    add_scope(condition, within)
    condition.add(f"{CURRENT} AND v.gone > %s", now)
    sql = (
        f"SELECT v.{column}, count(*), max(v.create_time) FROM versions v WHERE {condition.sql} "
        f"GROUP BY v.{column} ORDER BY v.{column} LIMIT %s"
    )
    return sql, (*condition.bindings, limit)


def scope_counts(within: Scope, dimension: ScopeDimension, rows: Sequence[Row]) -> list[ScopeCount]:
    """See Ledger.scopes."""
    return [ScopeCount(_with(within, dimension, name), count, newest) for name, count, newest in rows]


def _with(within: Scope, dimension: ScopeDimension, name: str) -> Scope:
    return Scope(
        name if dimension is ScopeDimension.USER else within.user_id,
        name if dimension is ScopeDimension.AGENT else within.agent_id,
        name if dimension is ScopeDimension.SESSION else within.session_id,
    )
