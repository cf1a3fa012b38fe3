"""What the projections should hold, read from the versions and the kept facts."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from memoir_server.adapters.ledger.forms.encoding import decode_detail, decode_facts
from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, REMOVED, key_of, revision_of
from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.sqlite.filters import Condition, add_scope
from memoir_server.adapters.ledger.sqlite.rows import MEMORY_COLUMNS, as_json, fetch
from memoir_server.domain.change import EventType
from memoir_server.domain.consistency import Portion, Version
from memoir_server.domain.memory import NEVER, Scope

_FACTS_REMOVED = (
    "SELECT v.key, e.key, e.detail FROM json_each(?) AS wanted JOIN versions v ON v.key = wanted.value "
    "JOIN versions w ON w.ns = v.ns AND w.memory_id = v.memory_id AND w.born = v.born AND w.key > v.key "
    f"JOIN events e ON e.key = w.key WHERE NOT w.has_facts AND e.type = {int(EventType.UPDATED)} ORDER BY e.key DESC"
)


def versions(
    connection: apsw.Connection, ns: int, namespace: str, portion: Portion, after: int, limit: int
) -> list[Version]:
    """See Ledger.versions."""
    condition = _portion("v", ns, portion, after)
    condition.add(f"v.gone <> {REMOVED}")
    add_scope(condition, portion.scope)
    rows = fetch(
        connection,
        f"SELECT {MEMORY_COLUMNS}, v.retired, v.has_facts FROM versions v WHERE {condition.sql} ORDER BY v.key LIMIT ?",
        (*condition.bindings, limit),
    )
    # A reset that removes facts makes a new version, so only replaced ones can have lost theirs.
    unlinked = _facts_removed(connection, [row[0] for row in rows if row[4] and row[3] != NEVER])
    found = []
    for row in rows:
        memory = read_memory(namespace, row)
        found.append(
            Version(
                memory_id=memory.memory_id,
                revision=memory.revision,
                retired=row[3],
                memory=memory,
                facts_removed=unlinked.get(row[0], 0),
            )
        )
    found.extend(_kept(connection, ns, portion, after, limit))
    found.sort(key=lambda version: version.revision)
    return found[:limit]


def _kept(connection: apsw.Connection, ns: int, portion: Portion, after: int, limit: int) -> list[Version]:
    """The first `limit` kept facts of the portion, without those that an erasure under way has taken. Their scope is
    inside them, so it narrows what was read."""
    found: list[Version] = []
    while True:
        condition = _portion("k", ns, portion, after)
        condition.add(
            "NOT EXISTS (SELECT 1 FROM events e WHERE e.memory_id = k.memory_id AND e.born = k.born "
            f"AND e.type = {int(EventType.DELETED)} AND e.key BETWEEN ? + v.retired + 1 AND ?)",
            *(key_of(ns, 0), key_of(ns, MAX_REVISION)),
        )
        rows = fetch(
            connection,
            "SELECT k.key, k.memory_id, k.facts, v.retired FROM kept_facts k JOIN versions v ON v.key = k.key "
            f"WHERE {condition.sql} ORDER BY k.key LIMIT ?",
            (*condition.bindings, limit),
        )
        for key, memory_id, data, retired in rows:
            after = revision_of(key)
            facts = decode_facts(data)
            if portion.scope.covers(facts.scope):
                found.append(Version(memory_id=memory_id, revision=after, retired=retired, kept=facts))
        if len(rows) < limit or len(found) >= limit:
            return found


def _portion(table: str, ns: int, portion: Portion, after: int) -> Condition:
    condition = Condition()
    condition.add(f"{table}.key > ? AND {table}.key <= ?", key_of(ns, after), key_of(ns, portion.until))
    if portion.memory_ids is not None:
        if table == "v":
            condition.add("v.ns = ?", ns)
        condition.add(f"{table}.memory_id IN (SELECT value FROM json_each(?))", as_json(list(portion.memory_ids)))
    if portion.revisions is not None:
        keys = [key_of(ns, revision) for revision in portion.revisions if revision <= MAX_REVISION]
        condition.add(f"{table}.key IN (SELECT value FROM json_each(?))", as_json(keys))
    return condition


def _facts_removed(connection: apsw.Connection, keys: Sequence[int]) -> dict[int, int]:
    """Those of the versions with facts that a later reset with keep_vector took out of the graph, with the first
    revision that did."""
    if not keys:
        return {}
    rows = fetch(connection, _FACTS_REMOVED, (as_json(keys),))
    return {
        key: revision_of(at) for key, at, detail in rows if detail is not None and decode_detail(detail)[1].reset_id
    }


def count(connection: apsw.Connection, ns: int, scope: Scope) -> int:
    """See Ledger.count_memories."""
    condition = Condition()
    condition.add(f"v.ns = ? AND v.retired = {NEVER} AND v.gone <> {REMOVED}", ns)
    add_scope(condition, scope)
    return int(fetch(connection, f"SELECT count(*) FROM versions v WHERE {condition.sql}", condition.bindings)[0][0])


def sample(connection: apsw.Connection, ns: int, scope: Scope, limit: int) -> list[str]:
    """See Ledger.sample_memories."""
    condition = Condition()
    condition.add("v.ns = ?", ns)
    add_scope(condition, scope)
    rows = fetch(
        connection,
        f"SELECT memory_id FROM (SELECT DISTINCT v.memory_id FROM versions v WHERE {condition.sql}) "
        "ORDER BY random() LIMIT ?",
        (*condition.bindings, limit),
    )
    return [memory_id for (memory_id,) in rows]
