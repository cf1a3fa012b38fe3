"""Erasure: what a reset with include_history takes out of the file.

SQLite overwrites what it deletes (secure_delete), but when it moves rows between pages it may leave copies behind, and
the write-ahead log keeps old pages. So an erasure ends with a rewrite of the file and an empty log: only then is the
receipt written.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

import apsw

from memoir_server.adapters.ledger.forms.layout import key_of, revision_of
from memoir_server.adapters.ledger.forms.reset_codec import decode_reset, encode_reset
from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.sqlite.resets import read_reset, store, stored_receipt
from memoir_server.adapters.ledger.sqlite.rows import as_json, fetch
from memoir_server.adapters.ledger.sqlite.vectors import drop_unused
from memoir_server.adapters.ledger.sqlite.writer import NamespaceRow, Transaction
from memoir_server.domain.change import EventType
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.reset import ResetReceipt
from memoir_server.domain.store import StoreKind

_CHECKPOINT_SECONDS: Final = 10.0


def erase(transaction: Transaction, row: NamespaceRow, reset_id: str, limit: int) -> list[int]:
    """Erases up to `limit` events of a reset, and counts them in its effects; returns their revisions."""
    connection = transaction.connection
    number, reset = read_reset(connection, row.ns, row.name, reset_id)
    fence = key_of(row.ns, reset.fence_revision)
    found = connection.execute(
        "SELECT v.key FROM reset_memories r CROSS JOIN versions v WHERE r.reset = ?1 AND v.ns = ?2 "
        "AND v.memory_id = r.memory_id AND v.born = r.born AND v.key <= ?3 "
        "UNION ALL SELECT e.key FROM reset_memories r CROSS JOIN events e WHERE r.reset = ?1 "
        "AND e.memory_id = r.memory_id AND e.born = r.born AND e.type IN (4, 5, 8) "
        "AND e.key > ?4 AND e.key <= ?3 LIMIT ?5",
        (number, row.ns, fence, key_of(row.ns, 0), limit),
    )
    keys = [key for (key,) in found]
    if keys:
        _erase_events(connection, row, keys)
        effects = tuple(
            replace(effect, removed=effect.removed + len(keys)) if effect.store is StoreKind.LEDGER else effect
            for effect in reset.effects
        )
        store(connection, number, replace(reset, effects=effects))
    return [revision_of(key) for key in keys]


def _erase_events(connection: apsw.Connection, row: NamespaceRow, keys: Sequence[int]) -> None:
    among = "IN (SELECT value FROM json_each(?))"
    wanted = as_json(keys)
    memories = [
        read_memory(row.name, r)
        for r in connection.execute(f"SELECT key, text, body FROM versions WHERE key {among}", (wanted,))
    ]
    connection.execute(
        f"UPDATE events SET type = {int(EventType.ERASED)}, memory_id = '', born = 0, before = NULL, detail = NULL, "
        f"salt = NULL WHERE key {among}",
        (wanted,),
    )
    for table in ("versions", "metadata", "kept_facts", "exceptions"):
        connection.execute(f"DELETE FROM {table} WHERE key {among}", (wanted,))
    drop_unused(connection, row.ns, [memory.content_hash for memory in memories])
    _forget_requests(connection, row, keys, {memory.memory_id for memory in memories})


def _forget_requests(
    connection: apsw.Connection, row: NamespaceRow, keys: Sequence[int], memory_ids: Collection[str]
) -> None:
    """Drops the records of requests of which nothing is left, and the outcomes of those of which something is: a
    duplicate of the latter must still not write again. A request that only found an erased memory counts among them."""
    revisions = sorted(revision_of(key) for key in keys)
    records = fetch(
        connection,
        "SELECT first, last, request_id, principal, method FROM idempotency "
        "WHERE namespace = ? AND last >= ? AND first <= ? AND first <= last",
        (row.name, revisions[0], revisions[-1]),
    )
    erased = frozenset(revisions)
    concerned = {record for record in records if not erased.isdisjoint(range(record[0], record[1] + 1))}
    concerned.update(
        connection.execute(
            "SELECT first, last, request_id, principal, method FROM idempotency WHERE namespace = ? "
            "AND mentions IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(mentions) AS mentioned "
            "WHERE mentioned.value IN (SELECT value FROM json_each(?)))",
            (row.name, as_json(sorted(memory_ids))),
        )
    )
    for first, last, *identity in sorted(concerned):
        left = connection.execute(
            "SELECT count(*) FROM events WHERE key BETWEEN ? AND ? AND type <> ?",
            (key_of(row.ns, first), key_of(row.ns, last), int(EventType.ERASED)),
        ).get
        where = "WHERE namespace = ? AND request_id = ? AND principal = ? AND method = ?"
        verb = (
            f"UPDATE idempotency SET outcome = x'', mentions = NULL {where}"
            if left
            else f"DELETE FROM idempotency {where}"
        )
        connection.execute(verb, (row.name, *identity))


def strip_traces(transaction: Transaction, row: NamespaceRow, reset_id: str, receipt: ResetReceipt) -> None:
    """Takes the ids of erased memories out of plans, and turn counters of scopes that hold nothing any more.

    With them goes the list of what was removed, so that the file can be rewritten without it. The receipt is kept as a
    draft: after a crash nobody could count again what it says. Doing this twice changes nothing.
    """
    connection = transaction.connection
    number, reset = read_reset(connection, row.ns, row.name, reset_id)
    if stored_receipt(connection, number) is not None:
        return
    removed = {
        memory_id
        for (memory_id,) in connection.execute("SELECT memory_id FROM reset_memories WHERE reset = ?", (number,))
    }
    plans = fetch(connection, "SELECT id, reset_id, state, body FROM resets WHERE ns = ?", (row.ns,))
    for identity, plan_id, state, body in plans:
        plan = decode_reset(row.name, plan_id, state, body)
        sample = tuple(memory_id for memory_id in plan.sample if memory_id not in removed)
        if sample != plan.sample:
            stripped = encode_reset(replace(plan, sample=sample))
            connection.execute("UPDATE resets SET body = ? WHERE id = ?", (stripped, identity))
    connection.execute("DELETE FROM reset_memories WHERE reset = ?", (number,))
    kept = replace(reset, receipt=receipt, sample=tuple(i for i in reset.sample if i not in removed))
    connection.execute("UPDATE resets SET body = ? WHERE id = ?", (encode_reset(kept), number))
    connection.execute(
        "DELETE FROM turns WHERE ns = ? AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.ns = turns.ns AND v.turn > 0 "
        "AND v.user_id IS turns.user_id AND v.agent_id IS turns.agent_id AND v.session_id IS turns.session_id)",
        (row.ns,),
    )


def rewrite_file(connection: apsw.Connection) -> None:
    """Rewrites the file without what was deleted and empties the write-ahead log. Takes about as long as copying it.

    Raises StoreUnavailable when readers keep the log in use.
    """
    connection.execute("VACUUM")
    deadline = time.monotonic() + _CHECKPOINT_SECONDS
    while True:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
        if not busy:
            return
        if time.monotonic() > deadline:
            raise StoreUnavailable("ledger", "readers keep the write-ahead log in use; the erasure is tried again")
