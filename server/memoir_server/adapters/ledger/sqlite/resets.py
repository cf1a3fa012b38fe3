"""Resets in the ledger: counting a target, the plan, the execution that hides everything, and the end."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

import apsw

from memoir_server.adapters.ledger.forms.changing import Current, Replay
from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, REMOVED, key_of, revision_of
from memoir_server.adapters.ledger.forms.reset_codec import (
    decode_answer,
    decode_reset,
    drafted_receipt,
    encode_answer,
    encode_reset,
    receipt_digest,
)
from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.sqlite.filters import Condition, add_filter, add_scope
from memoir_server.adapters.ledger.sqlite.ingestions import cancel, forget
from memoir_server.adapters.ledger.sqlite.mutations import Mutations
from memoir_server.adapters.ledger.sqlite.requests import find_replay, remember
from memoir_server.adapters.ledger.sqlite.rows import MEMORY_COLUMNS, as_json, fetch
from memoir_server.adapters.ledger.sqlite.writer import Transaction
from memoir_server.domain.change import Draft, EventType, Origin
from memoir_server.domain.errors import ResetNotFound, ResetPlanStale
from memoir_server.domain.memory import NEVER, Memory
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.reset import Reset, ResetReceipt, ResetState, ResetTarget
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import Recount, TargetCount

_LAST_VERSION: Final = (
    "NOT EXISTS (SELECT 1 FROM versions w WHERE w.ns = v.ns AND w.memory_id = v.memory_id AND w.born = v.born "
    "AND w.key > v.key)"
)
_ENDINGS: Final = "(4, 5, 8)"
"""Types of events that make no version: DELETED, EXPIRED, FAILED."""


def _target_condition(ns: int, target: ResetTarget) -> Condition:
    """Versions of the target's scope that the preserve filter does not spare."""
    condition = Condition()
    condition.add("v.ns = ?", ns)
    if target.scope is not None:
        add_scope(condition, target.scope)
    if target.preserve is not None:
        add_filter(condition, target.preserve, negated=True)
    return condition


def _existing(ns: int, target: ResetTarget) -> Condition:
    """Current versions the target removes. One that has expired without a record of it still exists here: a reset that
    passed it over would leave it behind."""
    condition = _target_condition(ns, target)
    condition.add(f"v.retired = {NEVER}")
    return condition


def _removed_before(ns: int, target: ResetTarget) -> Condition:
    """Last versions of memories that were removed earlier. An erasure takes their history too, which is all there is
    left of them."""
    condition = _target_condition(ns, target)
    condition.add(f"v.gone = {REMOVED} AND {_LAST_VERSION}")
    return condition


def count_target(connection: apsw.Connection, ns: int, target: ResetTarget, sample: int) -> TargetCount:
    """See Ledger.count_target."""
    existing = _existing(ns, target)
    ((memories,),) = fetch(connection, f"SELECT count(*) FROM versions v WHERE {existing.sql}", existing.bindings)
    rows = connection.execute(
        f"SELECT v.memory_id FROM versions v WHERE {existing.sql} ORDER BY v.memory_id LIMIT ?",
        (*existing.bindings, sample),
    )
    ids = tuple(memory_id for (memory_id,) in rows)
    versions, with_facts = fetch(
        connection,
        f"SELECT count(*), ifnull(sum(x.has_facts), 0) FROM versions v JOIN versions x ON x.ns = v.ns "
        f"AND x.memory_id = v.memory_id AND x.born = v.born WHERE {existing.sql}",
        existing.bindings,
    )[0]
    events = _count_events(connection, ns, existing)
    if target.include_history:
        events += _count_events(connection, ns, _removed_before(ns, target))
    return TargetCount(
        memories=memories,
        versions=versions,
        events=events,
        with_facts=with_facts,
        sample=ids,
        changed_revision=_changed_revision(connection, ns, target),
    )


def _count_events(connection: apsw.Connection, ns: int, lives: Condition) -> int:
    """Events of the memories whose current or last versions meet the condition."""
    ((made,),) = fetch(
        connection,
        "SELECT count(*) FROM versions v JOIN versions x ON x.ns = v.ns AND x.memory_id = v.memory_id "
        f"AND x.born = v.born WHERE {lives.sql}",
        lives.bindings,
    )
    ((ended,),) = fetch(
        connection,
        "SELECT count(*) FROM versions v JOIN events e ON e.memory_id = v.memory_id AND e.born = v.born "
        f"AND e.type IN {_ENDINGS} WHERE {lives.sql} AND e.key BETWEEN ? AND ?",
        (*lives.bindings, key_of(ns, 0), key_of(ns, MAX_REVISION)),
    )
    return int(made) + int(ended)


def _changed_revision(connection: apsw.Connection, ns: int, target: ResetTarget) -> int:
    """Newest revision that made, replaced or removed a version of the target's scope."""
    if target.scope is None:
        newest = fetch(
            connection,
            "SELECT key FROM events WHERE key BETWEEN ? AND ? AND type <= 5 ORDER BY key DESC LIMIT 1",
            (key_of(ns, 0), key_of(ns, MAX_REVISION)),
        )
        return revision_of(newest[0][0]) if newest else 0
    condition = Condition()
    condition.add("v.ns = ?", ns)
    add_scope(condition, target.scope)
    made, ended = fetch(
        connection,
        f"SELECT max(v.key), max(CASE WHEN v.retired < {NEVER} THEN v.retired END) FROM versions v "
        f"WHERE {condition.sql}",
        condition.bindings,
    )[0]
    return max(revision_of(made or 0), ended or 0)


def read_reset(connection: apsw.Connection, ns: int | None, namespace: str, reset_id: str) -> tuple[int, Reset]:
    """A reset and the number of its row. Raises ResetNotFound."""
    row = connection.execute(
        "SELECT id, state, body FROM resets WHERE ns = ? AND reset_id = ?", (ns, reset_id)
    ).fetchone()
    if row is None:
        raise ResetNotFound(namespace, reset_id)
    return row[0], decode_reset(namespace, reset_id, row[1], row[2])


def stored_receipt(connection: apsw.Connection, number: int) -> ResetReceipt | None:
    """The receipt of a reset, drafted or final."""
    ((body,),) = fetch(connection, "SELECT body FROM resets WHERE id = ?", (number,))
    return drafted_receipt(body)


def running(connection: apsw.Connection) -> list[Reset]:
    """Resets whose clean-up is under way."""
    rows = connection.execute(
        "SELECT n.name, r.reset_id, r.state, r.body FROM resets r JOIN namespaces n ON n.ns = r.ns WHERE r.state = ? "
        "ORDER BY r.id",
        (int(ResetState.RUNNING),),
    )
    return [decode_reset(name, reset_id, state, body) for name, reset_id, state, body in rows]


def token_of(secret: bytes, namespace: str, reset_id: str) -> str:
    """Confirm token of a plan, hex."""
    identity = b"\x00".join((b"memoir-reset", namespace.encode(), reset_id.encode()))
    return hmac.new(secret, identity, hashlib.sha256).hexdigest()


class ResetRecords:
    """Writes resets. Every method runs on the writer, inside a transaction."""

    def __init__(self, mutations: Mutations) -> None:
        self._mutations = mutations

    def save_plan(self, transaction: Transaction, reset: Reset, key: IdempotencyKey | None, now: Instant) -> Reset:
        """See Ledger.save_plan."""
        ns = transaction.make_namespace(reset.namespace).ns
        connection = transaction.connection
        if key is not None:
            replay = find_replay(connection, key, now)
            if replay is not None:
                return read_reset(connection, ns, reset.namespace, replay.outcome.decode())[1]
        planned = replace(reset, state=ResetState.PLANNED, sequence=max(reset.sequence, 1))
        connection.execute(
            "INSERT INTO resets (ns, reset_id, state, executed, body) VALUES (?, ?, ?, 0, ?)",
            (ns, planned.reset_id, int(planned.state), encode_reset(planned)),
        )
        if key is not None:
            remember(connection, key, Replay(1, 0, planned.planned_revision, planned.reset_id.encode()), now)
        return planned

    def execute(
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
        row = transaction.namespace(namespace)
        connection = transaction.connection
        number, reset = read_reset(connection, row.ns if row else None, namespace, reset_id)
        executed = bool(connection.execute("SELECT executed FROM resets WHERE id = ?", (number,)).get)
        if executed:
            if reset.state is ResetState.FAILED:
                return store(connection, number, replace(reset, state=ResetState.RUNNING, error=""))
            return reset
        assert row is not None
        head = row.head.revision
        if reset.state is not ResetState.PLANNED:
            raise ResetPlanStale(
                reset_id, planned=reset.planned_revision, current=head, why=f"it is {reset.state.name.lower()}"
            )
        if reset.expire_time <= now:
            raise ResetPlanStale(reset_id, planned=reset.planned_revision, current=head, why="the plan has expired")
        changed = _changed_revision(connection, row.ns, reset.target)
        if changed > reset.planned_revision and not allow_drift:
            why = f"the target has changed at revision {changed}, after the plan at {reset.planned_revision}"
            raise ResetPlanStale(reset_id, planned=reset.planned_revision, current=head, why=why)
        if allow_drift:
            # The receipt counts what goes now, which may no longer be what was planned.
            count = count_target(connection, row.ns, reset.target, sample=0)
            reset = replace(reset, effects=recount(reset.target, count))
        self._remove(transaction, namespace, number, reset, now=now, origin=replace(origin, reset_id=reset_id))
        row = transaction.make_namespace(namespace)
        connection.execute("UPDATE resets SET executed = 1 WHERE id = ?", (number,))
        return store(connection, number, replace(reset, state=ResetState.RUNNING, fence_revision=row.head.revision))

    def _remove(
        self, transaction: Transaction, namespace: str, number: int, reset: Reset, *, now: Instant, origin: Origin
    ) -> None:
        connection, target = transaction.connection, reset.target
        ns = transaction.make_namespace(namespace).ns
        existing = _existing(ns, target)
        if target.keep_vector:
            existing.add("v.has_facts = 1")
        rows = connection.execute(
            f"SELECT {MEMORY_COLUMNS}, v.memory_id, v.born, v.gone FROM versions v WHERE {existing.sql} "
            "ORDER BY v.memory_id",
            tuple(existing.bindings),
        )
        current = {r[3]: Current(read_memory(namespace, r), r[4], r[5]) for r in rows}
        lives = {(memory_id, found.born) for memory_id, found in current.items()}
        if target.include_history:
            earlier = _removed_before(ns, target)
            lives.update(
                connection.execute(
                    f"SELECT v.memory_id, v.born FROM versions v WHERE {earlier.sql}", tuple(earlier.bindings)
                )
            )
        connection.executemany(
            "INSERT INTO reset_memories (reset, memory_id, born) VALUES (?, ?, ?)",
            [(number, memory_id, born) for memory_id, born in sorted(lives)],
        )
        if target.include_history:
            forget(connection, ns, target.scope)
        else:
            cancel(connection, ns, target.scope, reset.reset_id, now)
        drafts = [_removal(found.memory, target) for found in current.values()]
        self._mutations.append(transaction, namespace, drafts, current, now=now, origin=origin)
        if target.include_history:
            self._unlink_kept_facts(transaction, namespace, number, now=now, origin=origin)

    def _unlink_kept_facts(
        self, transaction: Transaction, namespace: str, number: int, *, now: Instant, origin: Origin
    ) -> None:
        """One more DELETED for each memory whose relations an earlier reset left in the graph: they go now."""
        ns = transaction.make_namespace(namespace).ns
        rows = fetch(
            transaction.connection,
            "SELECT DISTINCT k.memory_id, k.born FROM kept_facts k JOIN reset_memories r ON r.reset = ? "
            "AND r.memory_id = k.memory_id AND r.born = k.born WHERE k.key BETWEEN ? AND ? ORDER BY k.key",
            (number, key_of(ns, 0), key_of(ns, MAX_REVISION)),
        )
        for memory_id, born in rows:
            draft = Draft(type=EventType.DELETED, memory_id=memory_id, reason="erased")
            self._mutations.append(transaction, namespace, [draft], {}, now=now, origin=origin, born=born)

    def once(
        self, transaction: Transaction, key: IdempotencyKey | None, now: Instant, act: Callable[[], Reset]
    ) -> Reset:
        """Runs a step of a reset, or gives a duplicate of its request the answer of the first. What a finished reset
        has forgotten by then (the sample, after an erasure) stays forgotten."""
        connection = transaction.connection
        replay = find_replay(connection, key, now) if key is not None else None
        if key is None or replay is None:
            answer = act()
            if key is not None:
                remember(connection, key, Replay(1, 0, answer.fence_revision, encode_answer(answer)), now)
            return answer
        row = transaction.namespace(key.namespace)
        first = decode_answer(replay.outcome)
        stored = read_reset(connection, row.ns if row else None, key.namespace, first.reset_id)[1]
        return replace(
            stored,
            state=first.state,
            effects=first.effects,
            sequence=first.sequence,
            error=first.error,
            waiting_for=None,
            receipt=stored.receipt if first.state is ResetState.SUCCEEDED else None,
        )

    def cancel(self, transaction: Transaction, namespace: str, reset_id: str) -> Reset:
        """See Ledger.cancel_reset."""
        row = transaction.namespace(namespace)
        number, reset = read_reset(transaction.connection, row.ns if row else None, namespace, reset_id)
        if reset.state.terminal:
            return reset
        return store(
            transaction.connection, number, replace(reset, state=ResetState.CANCELLED, waiting_for=None, error="")
        )

    def save_progress(self, transaction: Transaction, reset: Reset) -> Reset:
        """See Ledger.save_progress."""
        row = transaction.namespace(reset.namespace)
        number, stored = read_reset(transaction.connection, row.ns if row else None, reset.namespace, reset.reset_id)
        if stored.state.terminal:
            return stored
        moved = replace(
            stored, state=reset.state, effects=reset.effects, waiting_for=reset.waiting_for, error=reset.error
        )
        return store(transaction.connection, number, moved)

    def finish(
        self, transaction: Transaction, namespace: str, reset_id: str, receipt: ResetReceipt, *, origin: Origin
    ) -> Reset:
        """See Ledger.finish_reset."""
        row = transaction.namespace(namespace)
        connection = transaction.connection
        number, reset = read_reset(connection, row.ns if row else None, namespace, reset_id)
        if reset.state.terminal or row is None:
            return reset
        receipt = stored_receipt(connection, number) or receipt
        receipt = replace(receipt, revision=row.head.revision + 1)
        receipt = replace(receipt, digest=receipt_digest(row.chain, receipt))
        draft = Draft(type=EventType.RESET, memory_id="", reason=f"receipt sha-256 {receipt.digest}")
        self._mutations.append(
            transaction, namespace, [draft], {}, now=receipt.complete_time, origin=replace(origin, reset_id=reset_id)
        )
        connection.execute("DELETE FROM reset_memories WHERE reset = ?", (number,))
        return store(
            connection, number, replace(reset, state=ResetState.SUCCEEDED, receipt=receipt, waiting_for=None, error="")
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


def store(connection: apsw.Connection, number: int, reset: Reset) -> Reset:
    """Writes a reset down, as the next of its states."""
    reset = replace(reset, sequence=reset.sequence + 1)
    row = reset if reset.receipt is not None else replace(reset, receipt=stored_receipt(connection, number))
    connection.execute(
        "UPDATE resets SET state = ?, body = ? WHERE id = ?", (int(reset.state), encode_reset(row), number)
    )
    return reset


def removed_memories(connection: apsw.Connection, number: int, after: str, limit: int) -> Sequence[str]:
    """Ids of what a reset removed, ascending."""
    rows = connection.execute(
        "SELECT DISTINCT memory_id FROM reset_memories WHERE reset = ? AND memory_id > ? ORDER BY memory_id LIMIT ?",
        (number, after, limit),
    )
    return [memory_id for (memory_id,) in rows]


def versions_of_others(connection: apsw.Connection, ns: int, number: int, revisions: Collection[int]) -> frozenset[int]:
    """Those of the revisions that made versions of lives which the reset did not remove."""
    rows = connection.execute(
        "SELECT v.key FROM json_each(?) AS wanted CROSS JOIN versions v ON v.key = wanted.value WHERE NOT EXISTS "
        "(SELECT 1 FROM reset_memories r WHERE r.reset = ? AND r.memory_id = v.memory_id AND r.born = v.born)",
        (as_json([key_of(ns, revision) for revision in revisions]), number),
    )
    return frozenset(revision_of(key) for (key,) in rows)


def removed_versions(
    connection: apsw.Connection, ns: int, number: int, reset: Reset, after: int, limit: int
) -> list[Memory]:
    """Versions of what a reset removed, by revision, as far as they are not yet erased."""
    rows = connection.execute(
        f"SELECT {MEMORY_COLUMNS} FROM reset_memories r CROSS JOIN versions v WHERE r.reset = ? AND v.ns = ? "
        "AND v.memory_id = r.memory_id AND v.born = r.born AND v.key > ? AND v.key <= ? ORDER BY v.key LIMIT ?",
        (number, ns, key_of(ns, after), key_of(ns, reset.fence_revision), limit),
    )
    return [read_memory(reset.namespace, row) for row in rows]
