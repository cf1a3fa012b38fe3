"""Erasure: what a reset with include_history takes out of the tables.

No query finds it afterwards. The bytes stay in free space of the files until PostgreSQL writes over them, in its log
until that is recycled, and in backups: docs/operations.md says so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from memoir_server.adapters.ledger.forms.layout import key_of, revision_of
from memoir_server.adapters.ledger.forms.reset_codec import decode_reset, encode_reset
from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.postgres.adaptation import Int8s, Texts
from memoir_server.adapters.ledger.postgres.progress import skip
from memoir_server.adapters.ledger.postgres.resets import lock_reset, store, stored_receipt
from memoir_server.adapters.ledger.postgres.transaction import NamespaceRow, Transaction
from memoir_server.adapters.ledger.postgres.vectors import drop_unused
from memoir_server.domain.change import EventType
from memoir_server.domain.reset import ResetReceipt
from memoir_server.domain.store import StoreKind


async def erase(transaction: Transaction, namespace: str, reset_id: str, limit: int) -> int:
    """Erases up to `limit` events of a reset, and counts them in its effects; returns how many."""
    row, number, reset = await lock_reset(transaction, namespace, reset_id)
    fence = key_of(row.ns, reset.fence_revision)
    found = await transaction.fetch(
        "SELECT v.key FROM reset_memories r JOIN versions v ON v.ns = %s AND v.memory_id = r.memory_id "
        "AND v.born = r.born WHERE r.reset = %s AND v.key <= %s "
        "UNION ALL SELECT e.key FROM reset_memories r JOIN events e ON e.memory_id = r.memory_id AND e.born = r.born "
        "AND e.type IN (4, 5, 8) WHERE r.reset = %s AND e.key > %s AND e.key <= %s LIMIT %s",
        (row.ns, number, fence, number, key_of(row.ns, 0), fence, limit),
    )
    keys = [key for (key,) in found]
    if keys:
        await _erase_events(transaction, row, keys)
        effects = tuple(
            replace(effect, removed=effect.removed + len(keys)) if effect.store is StoreKind.LEDGER else effect
            for effect in reset.effects
        )
        await store(transaction, number, replace(reset, effects=effects))
    return len(keys)


async def _erase_events(transaction: Transaction, row: NamespaceRow, keys: Sequence[int]) -> None:
    among = Int8s(keys)
    rows = await transaction.fetch("SELECT key, text, body FROM versions WHERE key = ANY(%s)", (among,))
    memories = [read_memory(row.name, found) for found in rows]
    transaction.put(
        f"UPDATE events SET type = {int(EventType.ERASED)}, memory_id = '', born = 0, before = NULL, detail = NULL, "
        "salt = NULL WHERE key = ANY(%s)",
        (among,),
    )
    for table in ("versions", "metadata", "kept_facts"):
        transaction.put(f"DELETE FROM {table} WHERE key = ANY(%s)", (among,))
    skip(transaction, row.ns, [revision_of(key) for key in keys])
    drop_unused(transaction, row.ns, [memory.content_hash for memory in memories])
    await _forget_requests(transaction, row, keys, {memory.memory_id for memory in memories})


async def _forget_requests(
    transaction: Transaction, row: NamespaceRow, keys: Sequence[int], memory_ids: Collection[str]
) -> None:
    """Drops the records of requests of which nothing is left, and the outcomes of those of which something is: a
    duplicate of the latter must still not write again. A request that only found an erased memory counts among them."""
    revisions = sorted(revision_of(key) for key in keys)
    identity = "first, last, request_id, principal, method"
    spanning, mentioning = await transaction.fetch_each(
        [
            (
                (
                    f"SELECT {identity} FROM idempotency WHERE namespace = %s AND last >= %s AND first <= %s "
                    "AND first <= last"
                ),
                (row.name, revisions[0], revisions[-1]),
            ),
            (
                f"SELECT {identity} FROM idempotency WHERE namespace = %s AND mentions IS NOT NULL AND mentions && %s",
                (row.name, Texts(sorted(memory_ids))),
            ),
        ]
    )
    erased = frozenset(revisions)
    concerned = {record for record in spanning if not erased.isdisjoint(range(record[0], record[1] + 1))}
    concerned.update(mentioning)
    ordered = sorted(concerned)
    if not ordered:
        return
    transaction.put(
        "WITH concerned AS (SELECT w.*, EXISTS (SELECT FROM events e WHERE e.key BETWEEN %s + w.first AND %s + w.last "
        f"AND e.type <> {int(EventType.ERASED)}) AS stays "
        "FROM unnest(%s, %s, %s, %s, %s) AS w (first, last, request_id, principal, method)), "
        "emptied AS (UPDATE idempotency i SET outcome = '', mentions = NULL FROM concerned c WHERE c.stays "
        "AND i.namespace = %s AND i.request_id = c.request_id AND i.principal = c.principal AND i.method = c.method) "
        "DELETE FROM idempotency i USING concerned c WHERE NOT c.stays AND i.namespace = %s "
        "AND i.request_id = c.request_id AND i.principal = c.principal AND i.method = c.method",
        (
            key_of(row.ns, 0),
            key_of(row.ns, 0),
            Int8s([record[0] for record in ordered]),
            Int8s([record[1] for record in ordered]),
            *(Texts([record[column] for record in ordered]) for column in (2, 3, 4)),
            row.name,
            row.name,
        ),
    )


async def strip_traces(transaction: Transaction, namespace: str, reset_id: str, receipt: ResetReceipt) -> None:
    """Takes the ids of erased memories out of plans, and turn counters of scopes that hold nothing any more.

    The receipt is kept as a draft: after a crash nobody could count again what it says. Doing this twice changes
    nothing.
    """
    row, number, reset = await lock_reset(transaction, namespace, reset_id)
    if reset.state.terminal or await stored_receipt(transaction, number) is not None:
        return
    removed_rows, plans = await transaction.fetch_each(
        [
            ("SELECT DISTINCT memory_id FROM reset_memories WHERE reset = %s", (number,)),
            ("SELECT id, reset_id, state, body FROM resets WHERE ns = %s", (row.ns,)),
        ]
    )
    removed = {memory_id for (memory_id,) in removed_rows}
    for identity, plan_id, state, body in plans:
        plan = decode_reset(namespace, plan_id, state, body)
        sample = tuple(memory_id for memory_id in plan.sample if memory_id not in removed)
        if sample != plan.sample:
            stripped = encode_reset(replace(plan, sample=sample))
            transaction.put("UPDATE resets SET body = %s WHERE id = %s", (stripped, identity))
    transaction.put("DELETE FROM reset_memories WHERE reset = %s", (number,))
    kept = replace(reset, receipt=receipt, sample=tuple(i for i in reset.sample if i not in removed))
    transaction.put("UPDATE resets SET body = %s WHERE id = %s", (encode_reset(kept), number))
    transaction.put(
        "DELETE FROM turns t WHERE t.ns = %s AND NOT EXISTS (SELECT FROM versions v WHERE v.ns = t.ns AND v.turn > 0 "
        "AND v.user_id IS NOT DISTINCT FROM t.user_id AND v.agent_id IS NOT DISTINCT FROM t.agent_id "
        "AND v.session_id IS NOT DISTINCT FROM t.session_id)",
        (row.ns,),
    )
