"""Reading memories: by id, by version, by selection."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import apsw
import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.coherent import CoherentCache
from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, REVISION_BITS, key_of, revision_of
from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.sqlite.caches import HeldVersion, reads_newest, version_charge
from memoir_server.adapters.ledger.sqlite.filters import Condition, add_visible, selection_condition
from memoir_server.adapters.ledger.sqlite.rows import MEMORY_COLUMNS, as_json, fetch
from memoir_server.domain.filter import Family, matches
from memoir_server.domain.memory import NEVER, Memory
from memoir_server.domain.selection import ANY_TIME, Selection
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import ListPosition

_FROM = f"SELECT {MEMORY_COLUMNS} FROM versions v WHERE"
_MOST_MARKS = 128
"""Keys that a statement names one by one."""
_CURRENT = f"{_FROM} v.ns = ? AND v.memory_id = ? AND v.retired = {NEVER} AND v.gone > ?"


def current_memory(connection: apsw.Connection, ns: int, namespace: str, memory_id: str, now: Instant) -> Memory | None:
    """The current version of one memory; the hottest read there is."""
    row = connection.execute(_CURRENT, (ns, memory_id, now)).fetchone()
    return None if row is None else read_memory(namespace, row)


def memories_by_id(
    connection: apsw.Connection, ns: int, namespace: str, memory_ids: Sequence[str], *, revision: int, now: Instant
) -> dict[str, Memory]:
    """The versions current at the revision, of memories that exist."""
    condition = Condition()
    add_visible(condition, ns, revision=revision, now=now)
    rows = connection.execute(
        f"SELECT {MEMORY_COLUMNS} FROM json_each(?) AS wanted CROSS JOIN versions v "
        f"WHERE v.memory_id = wanted.value AND {condition.sql}",
        (as_json(list(dict.fromkeys(memory_ids))), *condition.bindings),
    )
    memories = (read_memory(namespace, row) for row in rows)
    return {memory.memory_id: memory for memory in memories}


def hydrated(
    connection: apsw.Connection,
    cache: CoherentCache[int, HeldVersion],
    ns: int,
    namespace: str,
    revisions: Sequence[int],
    selection: Selection,
) -> dict[int, Memory]:
    """Those of the versions that the selection covers, all of one moment of the file. Visibility is decided by the row,
    the rest by the domain."""
    keys = _keys(ns, revisions)
    moment = cache.moment
    held = cache.find_many(keys)
    if len(held) < len(keys):
        missing = [key for key in keys if key not in held]
        newest = reads_newest(connection)
        read = _read_versions(connection, namespace, missing, selection.now)
        if newest and cache.moment == moment:
            cache.keep(read, moment)
        else:
            # A commit may lie between what memory held and what the file says now.
            held = {}
            read = _read_versions(connection, namespace, keys, selection.now)
        for key, version, _ in read:
            held[key] = version
    return _covered(held.values(), selection)


def _read_versions(
    connection: apsw.Connection, namespace: str, keys: list[int], now: Instant
) -> list[tuple[int, HeldVersion, int]]:
    """Versions of memories that exist, current or not, by key, and what holding them is charged."""
    wanted: tuple[str | int, ...]
    if 0 < len(keys) <= _MOST_MARKS:
        # The hits of a search: marks cost half of what json_each does. Repeated keys fill up to a power of two, so that
        # a handful of statements serves every number of hits.
        marks = 1 << (len(keys) - 1).bit_length()
        source = f"versions v NOT INDEXED WHERE v.key IN ({', '.join('?' * marks)})"
        wanted = (*keys, *keys[:1] * (marks - len(keys)))
    else:
        source = "json_each(?) AS wanted CROSS JOIN versions v WHERE v.key = wanted.value"
        wanted = (as_json(keys),)
    sql = f"SELECT {MEMORY_COLUMNS}, v.retired, v.gone FROM {source} AND v.gone > ?"
    rows = fetch(connection, sql, (*wanted, now))
    return [(row[0], (read_memory(namespace, row), row[3], row[4]), version_charge(row[1], row[2])) for row in rows]


def _covered(versions: Iterable[HeldVersion], selection: Selection) -> dict[int, Memory]:
    """What `filters.selection_condition` says in SQL, of rows that are here already."""
    now, revision, covers = selection.now, selection.revision, selection.scope.covers
    present = revision >= NEVER - 1
    created = None if selection.created is ANY_TIME or selection.created == ANY_TIME else selection.created
    filter_, whenever = selection.filter, selection.valid_at is None
    found = {}
    for memory, retired, gone in versions:
        if (
            gone > now
            and (retired == NEVER if present else memory.revision <= revision < retired)
            and covers(memory.scope)
            and (created is None or created.covers(memory.create_time))
            # What never ends is valid at every reference; whether it has begun is asked of an instant only.
            and ((whenever and memory.valid_until is None) or selection.covers_world_time(memory))
            and (filter_ is None or matches(filter_, memory))
        ):
            found[memory.revision] = memory
    return found


def page(
    connection: apsw.Connection,
    ns: int,
    namespace: str,
    selection: Selection,
    *,
    after: ListPosition | None,
    limit: int,
) -> list[Memory]:
    """One page, newest create_time first, then by memory_id."""
    condition = selection_condition(ns, selection)
    if after is not None:
        condition.add("v.create_time <= ?", after.create_time)
        condition.add("(v.create_time < ? OR v.memory_id > ?)", after.create_time, after.memory_id)
    rows = connection.execute(
        f"{_FROM} {condition.sql} ORDER BY v.create_time DESC, v.memory_id LIMIT ?", (*condition.bindings, limit)
    )
    return [read_memory(namespace, row) for row in rows]


def revisions_matching(connection: apsw.Connection, ns: int, selection: Selection) -> NDArray[np.int64]:
    """Revisions of the versions that the selection covers, ascending; int64, shape (n,)."""
    condition = selection_condition(ns, selection)
    rows = connection.execute(f"SELECT v.key FROM versions v WHERE {condition.sql}", tuple(condition.bindings))
    revisions = np.fromiter((revision_of(key) for (key,) in rows), dtype=np.int64)
    revisions.sort()
    return revisions


def standing(
    connection: apsw.Connection, ns: int, versions: Collection[int], kept: Collection[int], now: Instant
) -> frozenset[int]:
    """Revisions of the versions whose memory exists, and of those whose facts are kept without it."""
    found = connection.execute(
        "SELECT v.key FROM json_each(?) AS wanted CROSS JOIN versions v ON v.key = wanted.value WHERE v.gone > ? "
        "UNION ALL SELECT k.key FROM json_each(?) AS wanted CROSS JOIN kept_facts k ON k.key = wanted.value "
        # A later erasure takes kept facts away by a removal of its own, before it has erased them.
        "WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.memory_id = k.memory_id AND e.type IN (4, 5, 8) "
        "AND e.born = k.born AND e.before IS NULL AND e.key > k.key AND e.key <= ?)",
        (as_json(_keys(ns, versions)), now, as_json(_keys(ns, kept)), key_of(ns, MAX_REVISION)),
    )
    return frozenset(revision_of(key) for (key,) in found)


def _keys(ns: int, revisions: Collection[int]) -> list[int]:
    first = ns << REVISION_BITS
    return [first + revision for revision in revisions if 0 < revision <= MAX_REVISION]


def neighbours(
    connection: apsw.Connection, ns: int, memory: Memory, *, before: int, after: int, now: Instant
) -> list[Memory]:
    """Current episodes of exactly the memory's scope around its turn."""
    scope = memory.scope
    rows = connection.execute(
        f"{_FROM} v.ns = ? AND v.user_id IS ? AND v.session_id IS ? AND v.turn > 0 AND v.turn BETWEEN ? AND ? "
        f"AND v.agent_id IS ? AND v.retired = {NEVER} AND v.gone > ? AND v.memory_id <> ? ORDER BY v.turn",
        (
            *(ns, scope.user_id, scope.session_id, memory.turn - before, memory.turn + after),
            *(scope.agent_id, now, memory.memory_id),
        ),
    )
    return [read_memory(memory.namespace, row) for row in rows]


def families(connection: apsw.Connection, ns: int, keys: frozenset[str]) -> Mapping[str, frozenset[Family]]:
    """Families ever stored under each key."""
    found: dict[str, set[Family]] = {}
    rows = connection.execute(
        "SELECT t.name, t.family FROM json_each(?) AS wanted CROSS JOIN metadata_types t "
        "WHERE t.ns = ? AND t.name = wanted.value",
        (as_json(sorted(keys)), ns),
    )
    for name, family in rows:
        found.setdefault(name, set()).add(Family(family))
    return {name: frozenset(values) for name, values in found.items()}


def expired(connection: apsw.Connection, now: Instant, limit: int) -> list[tuple[str, str]]:
    """(namespace, memory_id) of memories whose expiry is due and not recorded."""
    rows = connection.execute(
        "SELECT n.name, v.memory_id FROM versions v JOIN namespaces n ON n.ns = v.ns "
        f"WHERE v.retired = {NEVER} AND v.gone < 9223372036854775807 AND v.gone <= ? ORDER BY v.gone, v.key LIMIT ?",
        (now, limit),
    )
    return [(name, memory_id) for name, memory_id in rows]
