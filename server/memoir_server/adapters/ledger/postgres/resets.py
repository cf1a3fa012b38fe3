"""Resets in the ledger: the plan, the execution that hides everything, and the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace

from memoir_server.adapters.ledger.forms.changing import Current, Replay
from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, key_of, revision_of
from memoir_server.adapters.ledger.forms.reset_codec import (
    decode_answer,
    decode_reset,
    drafted_receipt,
    encode_answer,
    encode_reset,
    receipt_digest,
)
from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.postgres.adaptation import Int8s, Texts
from memoir_server.adapters.ledger.postgres.ingestions import cancel, forget
from memoir_server.adapters.ledger.postgres.mutations import Mutations
from memoir_server.adapters.ledger.postgres.requests import find_replay, remember
from memoir_server.adapters.ledger.postgres.rows import MEMORY_COLUMNS
from memoir_server.adapters.ledger.postgres.targets import changed_revision, count_target, existing, removed_before
from memoir_server.adapters.ledger.postgres.transaction import NamespaceRow, Reader, Row, Statement, Transaction
from memoir_server.domain.change import Draft, EventType, Origin
from memoir_server.domain.errors import ResetNotFound, ResetPlanStale
from memoir_server.domain.memory import Memory
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.reset import Reset, ResetReceipt, ResetState, ResetTarget
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import Recount


def finding_reset(namespace: str, reset_id: str) -> Statement:
    """A reset, for `read_reset`."""
    return (
        (
            "SELECT r.id, r.state, r.body FROM namespaces n JOIN resets r ON r.ns = n.ns "
            "WHERE n.name = %s AND r.reset_id = %s"
        ),
        (namespace, reset_id),
    )


def read_reset(namespace: str, reset_id: str, rows: Sequence[Row]) -> tuple[int, Reset]:
    """A reset and the number of its row. Raises ResetNotFound."""
    if not rows:
        raise ResetNotFound(namespace, reset_id)
    number, state, body = rows[0]
    return number, decode_reset(namespace, reset_id, state, body)


async def find_reset(reader: Reader, namespace: str, reset_id: str) -> tuple[int, Reset]:
    """A reset and the number of its row. Raises ResetNotFound."""
    return read_reset(namespace, reset_id, await reader.fetch(*finding_reset(namespace, reset_id)))


async def lock_reset(transaction: Transaction, namespace: str, reset_id: str) -> tuple[NamespaceRow, int, Reset]:
    """The same under the lock of its namespace, which everything that changes a reset takes. Raises ResetNotFound."""
    row = await transaction.namespace(namespace)
    if row is None:
        raise ResetNotFound(namespace, reset_id)
    return row, *await find_reset(transaction, namespace, reset_id)


async def stored_receipt(reader: Reader, number: int) -> ResetReceipt | None:
    """The receipt of a reset, drafted or final."""
    ((body,),) = await reader.fetch("SELECT body FROM resets WHERE id = %s", (number,))
    return drafted_receipt(body)


def finding_running() -> Statement:
    """Resets whose clean-up is under way, for `running`."""
    return (
        (
            "SELECT n.name, r.reset_id, r.state, r.body FROM resets r JOIN namespaces n ON n.ns = r.ns "
            "WHERE r.state = %s ORDER BY r.id"
        ),
        (int(ResetState.RUNNING),),
    )


def running(rows: Sequence[Row]) -> list[Reset]:
    """The answer to `finding_running`."""
    return [decode_reset(name, reset_id, state, body) for name, reset_id, state, body in rows]


def topic_of(namespace: str, reset_id: str) -> str:
    """What is announced when a reset has moved."""
    return f"reset {reset_id} {namespace}"


async def store(transaction: Transaction, number: int, reset: Reset) -> Reset:
    """Writes a reset down, as the next of its states. One that does not run any more belongs to no server."""
    reset = replace(reset, sequence=reset.sequence + 1)
    row = reset if reset.receipt is not None else replace(reset, receipt=await stored_receipt(transaction, number))
    transaction.put(
        "UPDATE resets SET state = %s, body = %s, owner = CASE WHEN %s THEN owner END WHERE id = %s",
        (int(reset.state), encode_reset(row), reset.state is ResetState.RUNNING, number),
    )
    transaction.announce(topic_of(reset.namespace, reset.reset_id))
    return reset


class ResetRecords:
    """Writes resets. Every method runs inside a transaction."""

    def __init__(self, mutations: Mutations) -> None:
        self._mutations = mutations

    async def save_plan(
        self, transaction: Transaction, reset: Reset, key: IdempotencyKey | None, now: Instant
    ) -> Reset:
        """See Ledger.save_plan."""
        ns = (await transaction.make_namespace(reset.namespace)).ns
        if key is not None:
            replay = await find_replay(transaction, key, now)
            if replay is not None:
                return (await find_reset(transaction, reset.namespace, replay.outcome.decode()))[1]
        planned = replace(reset, state=ResetState.PLANNED, sequence=max(reset.sequence, 1))
        transaction.put(
            "INSERT INTO resets (ns, reset_id, state, executed, body) VALUES (%s, %s, %s, false, %s)",
            (ns, planned.reset_id, int(planned.state), encode_reset(planned)),
        )
        if key is not None:
            remember(transaction, key, Replay(1, 0, planned.planned_revision, planned.reset_id.encode()), now)
        return planned

    async def execute(
        self,
        transaction: Transaction,
        namespace: str,
        reset_id: str,
        *,
        allow_drift: bool,
        now: Instant,
        origin: Origin,
        recount: Recount,
    ) -> Reset:
        """See Ledger.execute_reset."""
        row, number, reset = await lock_reset(transaction, namespace, reset_id)
        ((executed,),) = await transaction.fetch("SELECT executed FROM resets WHERE id = %s", (number,))
        if executed:
            if reset.state is ResetState.FAILED:
                return await store(transaction, number, replace(reset, state=ResetState.RUNNING, error=""))
            return reset
        head = row.head.revision
        if reset.state is not ResetState.PLANNED:
            raise ResetPlanStale(
                reset_id, planned=reset.planned_revision, current=head, why=f"it is {reset.state.name.lower()}"
            )
        if reset.expire_time <= now:
            raise ResetPlanStale(reset_id, planned=reset.planned_revision, current=head, why="the plan has expired")
        changed = await changed_revision(transaction, row.ns, reset.target)
        if changed > reset.planned_revision and not allow_drift:
            why = f"the target has changed at revision {changed}, after the plan at {reset.planned_revision}"
            raise ResetPlanStale(reset_id, planned=reset.planned_revision, current=head, why=why)
        if allow_drift:
            # The receipt counts what goes now, which may no longer be what was planned.
            count = await count_target(transaction, row.ns, reset.target, sample=0)
            reset = replace(reset, effects=recount(reset.target, count))
        await self._remove(transaction, row, number, reset, now=now, origin=replace(origin, reset_id=reset_id))
        row = await transaction.make_namespace(namespace)
        transaction.put("UPDATE resets SET executed = true WHERE id = %s", (number,))
        fence = row.head.revision
        return await store(transaction, number, replace(reset, state=ResetState.RUNNING, fence_revision=fence))

    async def _remove(
        self,
        transaction: Transaction,
        row: NamespaceRow,
        number: int,
        reset: Reset,
        *,
        now: Instant,
        origin: Origin,
    ) -> None:
        target, ns, namespace = reset.target, row.ns, row.name
        condition = existing(ns, target)
        if target.keep_vector:
            condition.add("v.has_facts")
        rows = await transaction.fetch(
            f"SELECT {MEMORY_COLUMNS}, v.memory_id, v.born, v.gone FROM versions v WHERE {condition.sql} "
            "ORDER BY v.memory_id",
            condition.bindings,
        )
        current = {r[3]: Current(read_memory(namespace, r), r[4], r[5]) for r in rows}
        lives: set[tuple[str, int]] = {(memory_id, found.born) for memory_id, found in current.items()}
        if target.include_history:
            earlier = removed_before(ns, target)
            found = await transaction.fetch(
                f"SELECT v.memory_id, v.born FROM versions v WHERE {earlier.sql}", earlier.bindings
            )
            lives.update((memory_id, born) for memory_id, born in found)
        ordered = sorted(lives)
        transaction.put(
            "INSERT INTO reset_memories (reset, memory_id, born) SELECT %s, memory_id, born "
            "FROM unnest(%s, %s) AS w (memory_id, born)",
            (number, Texts([memory_id for memory_id, _ in ordered]), Int8s([born for _, born in ordered])),
        )
        if target.include_history:
            forget(transaction, ns, target.scope)
        else:
            cancel(transaction, ns, target.scope, reset.reset_id, now)
        drafts = [_removal(found.memory, target) for found in current.values()]
        await self._mutations.append(transaction, namespace, drafts, current, now=now, origin=origin)
        if target.include_history:
            await self._unlink_kept_facts(transaction, row, number, now=now, origin=origin)

    async def _unlink_kept_facts(
        self, transaction: Transaction, row: NamespaceRow, number: int, *, now: Instant, origin: Origin
    ) -> None:
        """One more DELETED for each memory whose relations an earlier reset left in the graph: they go now."""
        rows = await transaction.fetch(
            "SELECT k.memory_id, k.born FROM kept_facts k JOIN reset_memories r ON r.reset = %s "
            "AND r.memory_id = k.memory_id AND r.born = k.born WHERE k.key BETWEEN %s AND %s "
            "GROUP BY k.memory_id, k.born ORDER BY min(k.key)",
            (number, key_of(row.ns, 0), key_of(row.ns, MAX_REVISION)),
        )
        for memory_id, born in rows:
            draft = Draft(type=EventType.DELETED, memory_id=memory_id, reason="erased")
            await self._mutations.append(transaction, row.name, [draft], {}, now=now, origin=origin, born=born)

    async def once(
        self,
        transaction: Transaction,
        key: IdempotencyKey | None,
        now: Instant,
        act: Callable[[], Awaitable[Reset]],
    ) -> Reset:
        """Runs a step of a reset, or gives a duplicate of its request the answer of the first. What a finished reset
        has forgotten by then (the sample, after an erasure) stays forgotten."""
        if key is None:
            return await act()
        # Locked before the record is looked for: a duplicate in flight waits for the first.
        row = await transaction.namespace(key.namespace)
        replay = await find_replay(transaction, key, now) if row is not None else None
        if replay is None:
            answer = await act()
            remember(transaction, key, Replay(1, 0, answer.fence_revision, encode_answer(answer)), now)
            return answer
        first = decode_answer(replay.outcome)
        stored = (await find_reset(transaction, key.namespace, first.reset_id))[1]
        return replace(
            stored,
            state=first.state,
            effects=first.effects,
            sequence=first.sequence,
            error=first.error,
            waiting_for=None,
            receipt=stored.receipt if first.state is ResetState.SUCCEEDED else None,
        )

    async def cancel(self, transaction: Transaction, namespace: str, reset_id: str) -> Reset:
        """See Ledger.cancel_reset."""
        _, number, reset = await lock_reset(transaction, namespace, reset_id)
        if reset.state.terminal:
            return reset
        transaction.put("DELETE FROM forgotten WHERE reset = %s", (number,))
        return await store(transaction, number, replace(reset, state=ResetState.CANCELLED, waiting_for=None, error=""))

    async def save_progress(self, transaction: Transaction, reset: Reset) -> Reset:
        """See Ledger.save_progress."""
        _, number, stored = await lock_reset(transaction, reset.namespace, reset.reset_id)
        if stored.state.terminal:
            return stored
        moved = replace(
            stored, state=reset.state, effects=reset.effects, waiting_for=reset.waiting_for, error=reset.error
        )
        return await store(transaction, number, moved)

    async def finish(
        self, transaction: Transaction, namespace: str, reset_id: str, receipt: ResetReceipt, *, origin: Origin
    ) -> Reset:
        """See Ledger.finish_reset."""
        row, number, reset = await lock_reset(transaction, namespace, reset_id)
        if reset.state.terminal:
            return reset
        receipt = await stored_receipt(transaction, number) or receipt
        receipt = replace(receipt, revision=row.head.revision + 1)
        receipt = replace(receipt, digest=receipt_digest(row.chain, receipt))
        draft = Draft(type=EventType.RESET, memory_id="", reason=f"receipt sha-256 {receipt.digest}")
        await self._mutations.append(
            transaction, namespace, [draft], {}, now=receipt.complete_time, origin=replace(origin, reset_id=reset_id)
        )
        transaction.put("DELETE FROM reset_memories WHERE reset = %s", (number,))
        transaction.put("DELETE FROM forgotten WHERE reset = %s", (number,))
        return await store(
            transaction, number, replace(reset, state=ResetState.SUCCEEDED, receipt=receipt, waiting_for=None, error="")
        )


def _removal(memory: Memory, target: ResetTarget) -> Draft:
    if target.keep_vector:
        return Draft(
            type=EventType.UPDATED,
            memory_id=memory.memory_id,
            before=memory,
            after=replace(memory, entities=(), relations=()),
            reason="reset: entities and relations removed",
        )
    return Draft(
        type=EventType.DELETED, memory_id=memory.memory_id, before=memory, reason="reset", keep_facts=target.keep_graph
    )


def finding_removed_memories(number: int, after: str, limit: int) -> Statement:
    """Ids of what a reset removed, ascending."""
    return (
        "SELECT DISTINCT memory_id FROM reset_memories WHERE reset = %s AND memory_id > %s ORDER BY memory_id LIMIT %s",
        (number, after, limit),
    )


def finding_versions_of_others(ns: int, number: int, revisions: Collection[int]) -> Statement:
    """Keys of those of the revisions that made versions of lives which the reset did not remove."""
    return (
        (
            "SELECT v.key FROM versions v WHERE v.key = ANY(%s) AND NOT EXISTS "
            "(SELECT FROM reset_memories r WHERE r.reset = %s AND r.memory_id = v.memory_id AND r.born = v.born)"
        ),
        (Int8s(key_of(ns, revision) for revision in revisions), number),
    )


def finding_removed_versions(ns: int, number: int, reset: Reset, after: int, limit: int) -> Statement:
    """Versions of what a reset removed, by revision, as far as they are not yet erased."""
    return (
        (
            f"SELECT {MEMORY_COLUMNS} FROM reset_memories r JOIN versions v ON v.ns = %s AND v.memory_id = r.memory_id "
            "AND v.born = r.born WHERE r.reset = %s AND v.key > %s AND v.key <= %s ORDER BY v.key LIMIT %s"
        ),
        (ns, number, key_of(ns, after), key_of(ns, reset.fence_revision), limit),
    )


def revisions_of(rows: Sequence[Row]) -> frozenset[int]:
    """Keys as revisions."""
    return frozenset(revision_of(key) for (key,) in rows)
