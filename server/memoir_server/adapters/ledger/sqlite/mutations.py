"""Writing changes: idempotency, decision, place in the log, and the rows that follow from each change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import apsw

from memoir_server.adapters.inserting import insert_rows
from memoir_server.adapters.ledger.forms.changing import (
    Current,
    Entropy,
    Replay,
    births_of,
    content_of,
    dealt_turns,
    episode_scopes,
    event_rows,
    gone_time,
    with_before,
)
from memoir_server.adapters.ledger.forms.encoding import encode_facts, encode_memory
from memoir_server.adapters.ledger.forms.layout import LIST_ITEM, REMOVED, key_of
from memoir_server.adapters.ledger.forms.rows import read_changes, read_memory
from memoir_server.adapters.ledger.sqlite.accesses import forget_accesses
from memoir_server.adapters.ledger.sqlite.filters import metadata_rows
from memoir_server.adapters.ledger.sqlite.ingestions import check_undisturbed, finish, hold
from memoir_server.adapters.ledger.sqlite.requests import find_replay, remember
from memoir_server.adapters.ledger.sqlite.rows import EVENTS, MEMORY_COLUMNS, as_json
from memoir_server.adapters.ledger.sqlite.speakers import count_speakers
from memoir_server.adapters.ledger.sqlite.twins import twins_of
from memoir_server.adapters.ledger.sqlite.writer import NamespaceRow, Transaction, moved_to
from memoir_server.domain.change import Actor, ActorKind, Change, Draft, EventType, Head, Origin, stamp
from memoir_server.domain.duplicate import said_code
from memoir_server.domain.graph import facts_of
from memoir_server.domain.memory import NEVER, Memory, Scope
from memoir_server.domain.mutation import Committed, Mutation
from memoir_server.domain.time import Instant

_SYSTEM: Final = Origin(actor=Actor("memoir", ActorKind.SYSTEM))


def load_current(connection: apsw.Connection, row: NamespaceRow, memory_ids: Sequence[str]) -> dict[str, Current]:
    """Current versions of those of the memories that exist, expired or not."""
    rows = connection.execute(
        f"SELECT {MEMORY_COLUMNS}, v.memory_id, v.born, v.gone FROM json_each(?) AS wanted CROSS JOIN versions v "
        f"WHERE v.ns = ? AND v.memory_id = wanted.value AND v.retired = {NEVER}",
        (as_json(memory_ids), row.ns),
    )
    return {r[3]: Current(read_memory(row.name, r), r[4], r[5]) for r in rows}


class Mutations:
    """Commits mutations. Every method runs on the writer, inside a transaction."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy

    def commit(self, transaction: Transaction, mutation: Mutation) -> Committed:
        """See Ledger.commit. The changes returned are those that were decided, without EXPIRED ones recorded first."""
        key = mutation.idempotency
        if key is not None:
            replay = find_replay(transaction.connection, key, mutation.now)
            if replay is not None:
                return self._replay(transaction, mutation.namespace, replay)
        ending = mutation.ingestion
        number = 0 if ending is None else hold(transaction, mutation.namespace, ending)
        if mutation.undisturbed is not None:
            check_undisturbed(transaction, mutation.namespace, mutation.undisturbed)
        row = transaction.namespace(mutation.namespace)
        current = load_current(transaction.connection, row, mutation.memory_ids) if row is not None else {}
        expired = [c for c in current.values() if c.gone <= mutation.now]
        found = {k: c.memory for k, c in current.items() if c.gone > mutation.now}
        if mutation.twins and row is not None:
            for twin in twins_of(transaction.connection, row.ns, row.name, mutation.twins, mutation.now):
                found.setdefault(twin.memory_id, twin)
        decision = mutation.decide(found)
        if expired:
            drafts = [Draft(type=EventType.EXPIRED, memory_id=c.memory.memory_id, before=c.memory) for c in expired]
            self.append(transaction, mutation.namespace, drafts, current, now=mutation.now, origin=_SYSTEM)
            for item in expired:
                del current[item.memory.memory_id]
        allowed = frozenset(mutation.memory_ids)
        for draft in decision.drafts:
            if draft.memory_id not in allowed:
                raise ValueError(f"draft for memory {draft.memory_id!r}, which is not among the mutation's memory_ids")
        changes = self.append(
            transaction, mutation.namespace, decision.drafts, current, now=mutation.now, origin=mutation.origin
        )
        row = transaction.namespace(mutation.namespace)
        head = row.head.revision if row is not None else 0
        first, last = (changes[0].revision, changes[-1].revision) if changes else (head + 1, head)
        if ending is not None:
            finish(
                transaction,
                number,
                ending,
                first=first,
                last=last,
                revision=head,
                outcome=decision.outcome,
                now=mutation.now,
            )
        if key is not None:
            replay = Replay(first, last, head, decision.outcome)
            remember(transaction.connection, key, replay, mutation.now, mentions=decision.mentions)
        return Committed(changes=changes, outcome=decision.outcome, revision=head)

    def append_failure(
        self, transaction: Transaction, namespace: str, memory_id: str, reason: str, *, now: Instant, origin: Origin
    ) -> Change:
        """See Ledger.append_failure."""
        draft = Draft(type=EventType.FAILED, memory_id=memory_id, reason=reason)
        found = transaction.connection.execute(
            "SELECT born FROM versions WHERE ns = ? AND memory_id = ? ORDER BY key DESC LIMIT 1",
            (transaction.make_namespace(namespace).ns, memory_id),
        ).get
        (change,) = self.append(transaction, namespace, [draft], {}, now=now, origin=origin, born=found or 0)
        return change

    def append(
        self,
        transaction: Transaction,
        namespace: str,
        drafts: Sequence[Draft],
        current: Mapping[str, Current],
        *,
        now: Instant,
        origin: Origin,
        born: int = 0,
    ) -> tuple[Change, ...]:
        """Writes drafts as the next changes of the namespace. `current` holds the memories they concern, as far as
        these exist; `born` is used for changes of memories that do not."""
        if not drafts:
            return ()
        row = transaction.make_namespace(namespace)
        drafts = [with_before(draft, current) for draft in drafts]
        turns = _next_turns(transaction.connection, row.ns, drafts)
        changes = stamp(namespace, drafts, head=row.head, now=now, origin=origin, first_turns=turns)
        births = births_of(changes, current, born)
        bodies = [None if c.after is None else encode_memory(c.after) for c in changes]
        chain = self._write_events(transaction.connection, row, changes, births, bodies)
        _write_versions(transaction.connection, row.ns, changes, births, bodies)
        _end_versions(transaction.connection, row.ns, changes, births, current)
        count_speakers(transaction.connection, row.ns, changes)
        last = changes[-1]
        transaction.advance(moved_to(row, Head(last.revision, last.commit_time), chain))
        return changes

    def _write_events(
        self,
        connection: apsw.Connection,
        row: NamespaceRow,
        changes: Sequence[Change],
        births: Sequence[int],
        bodies: Sequence[bytes | None],
    ) -> bytes:
        rows, chain = event_rows(row.ns, row.chain, changes, births, bodies, self._entropy)
        insert_rows(
            connection,
            "INSERT OR FAIL INTO events (key, commit_time, type, memory_id, born, before, detail, salt, digest)",
            rows,
        )
        return chain

    def _replay(self, transaction: Transaction, namespace: str, replay: Replay) -> Committed:
        row = transaction.namespace(namespace)
        changes: tuple[Change, ...] = ()
        if row is not None and replay.first <= replay.last:
            rows = transaction.connection.execute(
                f"{EVENTS} WHERE e.key BETWEEN ? AND ? AND e.type <> ? ORDER BY e.key",
                (key_of(row.ns, replay.first), key_of(row.ns, replay.last), int(EventType.ERASED)),
            )
            changes = tuple(read_changes(namespace, rows))
        return Committed(changes=changes, outcome=replay.outcome, revision=replay.revision, replayed=True)


def _next_turns(connection: apsw.Connection, ns: int, drafts: Sequence[Draft]) -> list[int]:
    """The turn ordinal of each draft that creates an EPISODE, 0 for the others; counts the scopes' turns on."""
    scopes = episode_scopes(drafts)
    counters: Counter[Scope] = Counter(scope for scope in scopes if scope is not None)
    following: dict[Scope, int] = {}
    for scope, count in counters.items():
        values = (ns, scope.session_id, scope.user_id, scope.agent_id)
        found = connection.execute(
            "SELECT id, last FROM turns WHERE ns = ? AND session_id IS ? AND user_id IS ? AND agent_id IS ?", values
        ).get
        if found is None:
            following[scope] = 1
            connection.execute(
                "INSERT INTO turns (ns, session_id, user_id, agent_id, last) VALUES (?, ?, ?, ?, ?)", (*values, count)
            )
        else:
            identity, last = found
            following[scope] = last + 1
            connection.execute("UPDATE turns SET last = ? WHERE id = ?", (last + count, identity))
    return dealt_turns(scopes, following)


def _write_versions(
    connection: apsw.Connection,
    ns: int,
    changes: Sequence[Change],
    births: Sequence[int],
    bodies: Sequence[bytes | None],
) -> None:
    rows: list[tuple[Any, ...]] = []
    metadata: list[tuple[Any, ...]] = []
    for change, born, body in zip(changes, births, bodies, strict=True):
        memory = change.after
        if memory is None:
            continue
        key = key_of(ns, change.revision)
        rows.append((key, ns, memory.memory_id, born, NEVER, *_columns(memory), memory.text, body))
        if memory.metadata:
            metadata.extend(metadata_rows(key, memory.metadata))
    if rows:
        insert_rows(connection, _INSERT_VERSION, rows)
    if metadata:
        insert_rows(connection, "INSERT OR FAIL INTO metadata (key, name, family, value)", metadata)
        types = {(ns, name, family) for _, name, family, _ in metadata if family != LIST_ITEM}
        insert_rows(connection, "INSERT OR IGNORE INTO metadata_types (ns, name, family)", sorted(types))


_INSERT_VERSION: Final = (
    "INSERT OR FAIL INTO versions (key, ns, memory_id, born, retired, gone, user_id, agent_id, session_id, kind, turn, "
    "create_time, update_time, valid_from, valid_until, expire_time, importance, actor_id, message_id, content, "
    "has_facts, said, text, body)"
)


def _columns(memory: Memory) -> tuple[Any, ...]:
    scope = memory.scope
    first = memory.provenance[0] if memory.provenance else None
    return (
        gone_time(memory),
        scope.user_id,
        scope.agent_id,
        scope.session_id,
        int(memory.kind),
        memory.turn,
        memory.create_time,
        memory.update_time,
        memory.valid_from,
        memory.valid_until,
        memory.expire_time,
        memory.importance,
        (first.actor_id or None) if first else None,
        (first.message_id or None) if first else None,
        content_of(memory.content_hash),
        bool(memory.entities or memory.relations),
        said_code(memory),
    )


def _end_versions(
    connection: apsw.Connection,
    ns: int,
    changes: Sequence[Change],
    births: Sequence[int],
    current: Mapping[str, Current],
) -> None:
    """Retires what was replaced, hides what was removed, and keeps the facts that are to stay."""
    retired: list[tuple[int, int]] = []
    gone: list[tuple[int, int, str, int]] = []
    kept: list[tuple[Any, ...]] = []
    for change, born in zip(changes, births, strict=True):
        before = change.before
        if before is None or change.type in (EventType.FAILED, EventType.RESET):
            continue
        retired.append((change.revision, key_of(ns, before.revision)))
        if change.type.removes:
            gone.append((REMOVED, ns, change.memory_id, born))
            if change.keep_facts:
                facts = facts_of(before)
                if not facts.empty:
                    kept.append((key_of(ns, before.revision), change.memory_id, born, encode_facts(facts)))
        elif change.after is not None and gone_time(change.after) != current[change.memory_id].gone:
            gone.append((gone_time(change.after), ns, change.memory_id, born))
    if retired:
        connection.executemany("UPDATE versions SET retired = ? WHERE key = ?", retired)
    if gone:
        connection.executemany("UPDATE versions SET gone = ? WHERE ns = ? AND memory_id = ? AND born = ?", gone)
        removed = [(ns, memory_id) for instant, _, memory_id, _ in gone if instant == REMOVED]
        if removed:
            forget_accesses(connection, removed)
    if kept:
        insert_rows(connection, "INSERT OR REPLACE INTO kept_facts (key, memory_id, born, facts)", kept)
