"""Reading memories: by id, by version, by selection. Statements, and what becomes of their rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, NOT_EXPIRING, key_of
from memoir_server.adapters.ledger.postgres.adaptation import Int8s, Texts
from memoir_server.adapters.ledger.postgres.filters import (
    CURRENT,
    Condition,
    add_same,
    add_visible,
    selection_condition,
)
from memoir_server.adapters.ledger.postgres.rows import MEMORY_COLUMNS
from memoir_server.adapters.ledger.postgres.transaction import Statement
from memoir_server.domain.change import EventType
from memoir_server.domain.memory import NEVER, Memory
from memoir_server.domain.selection import Selection
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import ListPosition

_FROM: Final = f"SELECT {MEMORY_COLUMNS} FROM versions v WHERE"
_ENDINGS: Final = f"({EventType.DELETED:d}, {EventType.EXPIRED:d}, {EventType.FAILED:d})"
_EXPIRED: Final = (
    "SELECT n.name, v.memory_id FROM versions v JOIN namespaces n ON n.ns = v.ns "
    f"WHERE v.retired = {NEVER} AND v.gone < {NOT_EXPIRING} AND v.gone <= %s ORDER BY v.gone, v.key LIMIT %s"
)
_STANDING: Final = (
    "SELECT v.key FROM versions v WHERE v.key = ANY(%s) AND v.gone > %s "
    "UNION SELECT k.key FROM kept_facts k WHERE k.key = ANY(%s) "
    # A later erasure takes kept facts away by a removal of its own, before it has erased them.
    f"AND NOT EXISTS (SELECT 1 FROM events e WHERE e.memory_id = k.memory_id AND e.type IN {_ENDINGS} "
    "AND e.born = k.born AND e.before IS NULL AND e.key > k.key AND e.key <= %s)"
)


def by_id(ns: int, memory_ids: Sequence[str], *, revision: int, now: Instant) -> Statement:
    """The versions current at the revision, of memories that exist."""
    condition = Condition()
    condition.add("v.memory_id = w.memory_id")
    add_visible(condition, ns, revision=revision, now=now)
    return (
        # OFFSET 0: each memory is looked up by its id, instead of reading through a namespace.
        f"SELECT {MEMORY_COLUMNS} FROM unnest(%s) AS w (memory_id) CROSS JOIN LATERAL "
        f"(SELECT v.key, v.text, v.body FROM versions v WHERE {condition.sql} OFFSET 0) v"
    ), (Texts(dict.fromkeys(memory_ids)), *condition.bindings)


def covered(ns: int, revisions: Collection[int], selection: Selection) -> Statement:
    """Those of the versions that the selection covers."""
    condition = selection_condition(ns, selection, keyed=True)
    condition.add("v.key = ANY(%s)", Int8s(keys_of(ns, revisions)))
    return f"{_FROM} {condition.sql}", condition.bindings


def page(ns: int, selection: Selection, *, after: ListPosition | None, limit: int) -> Statement:
    """One page, newest create_time first, then by memory_id."""
    condition = selection_condition(ns, selection)
    if after is not None:
        condition.add("v.create_time <= %s", after.create_time)
        condition.add("(v.create_time < %s OR v.memory_id > %s)", after.create_time, after.memory_id)
    return (
        f"{_FROM} {condition.sql} ORDER BY v.create_time DESC, v.memory_id LIMIT %s",
        (*condition.bindings, limit),
    )


def keys_matching(ns: int, selection: Selection) -> Statement:
    """Keys of the versions that the selection covers, ascending: one row, one array; NULL for none."""
    condition = selection_condition(ns, selection)
    return f"SELECT array_agg(v.key ORDER BY v.key) FROM versions v WHERE {condition.sql}", condition.bindings


def standing(ns: int, versions: Collection[int], kept: Collection[int], now: Instant) -> Statement:
    """Keys of the versions whose memory exists, and of those whose facts are kept without it."""
    return _STANDING, (
        Int8s(keys_of(ns, versions)),
        now,
        Int8s(keys_of(ns, kept)),
        key_of(ns, MAX_REVISION),
    )


def keys_of(ns: int, revisions: Collection[int]) -> list[int]:
    """Keys of those of the numbers that can be revisions."""
    first = key_of(ns, 0)
    return [first + revision for revision in revisions if 0 < revision <= MAX_REVISION]


def neighbours(ns: int, memory: Memory, *, before: int, after: int, now: Instant) -> Statement:
    """Current episodes of exactly the memory's scope around its turn."""
    scope, condition = memory.scope, Condition()
    condition.add("v.ns = %s", ns)
    add_same(condition, "v.user_id", scope.user_id)
    add_same(condition, "v.session_id", scope.session_id)
    add_same(condition, "v.agent_id", scope.agent_id)
    condition.add("v.turn > 0 AND v.turn BETWEEN %s AND %s", memory.turn - before, memory.turn + after)
    condition.add(f"{CURRENT} AND v.gone > %s AND v.memory_id <> %s", now, memory.memory_id)
    return f"{_FROM} {condition.sql} ORDER BY v.turn", condition.bindings


def families(ns: int, keys: Collection[str]) -> Statement:
    """(key, family) for every family ever stored under each key."""
    return "SELECT name, family FROM metadata_types WHERE ns = %s AND name = ANY(%s)", (ns, Texts(sorted(keys)))


def expired(now: Instant, limit: int) -> Statement:
    """(namespace, memory_id) of memories whose expiry is due and not recorded."""
    return _EXPIRED, (now, limit)
