"""Mutations: idempotency, decision, and their place in the log. `writing` has the rows that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from memoir_server.adapters.ledger.forms.changing import (
    Current,
    Entropy,
    Replay,
    births_of,
    dealt_turns,
    episode_scopes,
    with_before,
)
from memoir_server.adapters.ledger.forms.encoding import encode_memory
from memoir_server.adapters.ledger.forms.layout import key_of
from memoir_server.adapters.ledger.forms.rows import read_changes, read_memory
from memoir_server.adapters.ledger.postgres.adaptation import Bytes, Int8s, Texts
from memoir_server.adapters.ledger.postgres.ingestions import check_undisturbed, finish, hold
from memoir_server.adapters.ledger.postgres.progress import skip
from memoir_server.adapters.ledger.postgres.requests import finding_replay, remember, replay_of
from memoir_server.adapters.ledger.postgres.rows import EVENTS, MEMORY_COLUMNS
from memoir_server.adapters.ledger.postgres.speakers import counting_changes, place_of
from memoir_server.adapters.ledger.postgres.transaction import Row, Statement, Transaction, locking, together
from memoir_server.adapters.ledger.postgres.twins import finding_twins, matching
from memoir_server.adapters.ledger.postgres.writing import ending_versions, writing_events, writing_versions
from memoir_server.domain.change import Actor, ActorKind, Change, Draft, EventType, Head, Origin, stamp
from memoir_server.domain.memory import NEVER, Memory, Scope
from memoir_server.domain.mutation import Committed, Mutation
from memoir_server.domain.time import Instant

_SYSTEM: Final = Origin(actor=Actor("memoir", ActorKind.SYSTEM))
_CURRENT: Final = (
    f"SELECT {MEMORY_COLUMNS}, v.memory_id, v.born, v.gone FROM unnest(%s) AS w (memory_id) CROSS JOIN LATERAL ("
    # OFFSET 0: each memory is looked up by its id, instead of reading through a namespace.
    f"SELECT x.* FROM versions x WHERE x.ns = %s AND x.memory_id = w.memory_id AND x.retired >= {NEVER} OFFSET 0) v"
)
_TURNS: Final = (
    "INSERT INTO turns (ns, place, user_id, agent_id, session_id, last) "
    "SELECT %s, * FROM unnest(%s, %s, %s, %s, %s) "
    "ON CONFLICT (ns, place) DO UPDATE SET last = turns.last + excluded.last RETURNING place, last"
)


def _finding_current(ns: int, memory_ids: Sequence[str]) -> Statement:
    return _CURRENT, (Texts(dict.fromkeys(memory_ids)), ns)


def _current(namespace: str, rows: Sequence[Row]) -> dict[str, Current]:
    return {row[3]: Current(read_memory(namespace, row), row[4], row[5]) for row in rows}


@dataclass(frozen=True, slots=True)
class _Situation:
    """What a mutation finds under the namespace's lock."""

    replay: Replay | None
    current: dict[str, Current]
    twins: list[Memory]


class Mutations:
    """Commits mutations. Every method runs in a transaction."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy

    async def commit(self, transaction: Transaction, mutation: Mutation, known: int | None) -> Committed:
        """See Ledger.commit. The changes returned are those that were decided, without EXPIRED ones recorded first.

        `known` is the namespace's number as far as it is known before the namespace is locked: then the lock and all
        that is to be read under it take one round trip.
        """
        found = await self._look(transaction, mutation, known)
        namespace, now = mutation.namespace, mutation.now
        if found.replay is not None:
            return await _replayed(transaction, namespace, found.replay)
        ending = mutation.ingestion
        number = 0 if ending is None else await hold(transaction, namespace, ending)
        if mutation.undisturbed is not None:
            await check_undisturbed(transaction, namespace, mutation.undisturbed)
        current = found.current
        expired = [c for c in current.values() if c.gone <= now]
        existing = {k: c.memory for k, c in current.items() if c.gone > now}
        for twin in found.twins:
            existing.setdefault(twin.memory_id, twin)
        decision = mutation.decide(existing)
        if expired:
            drafts = [Draft(type=EventType.EXPIRED, memory_id=c.memory.memory_id, before=c.memory) for c in expired]
            await self.append(transaction, namespace, drafts, current, now=now, origin=_SYSTEM)
            for item in expired:
                del current[item.memory.memory_id]
        allowed = frozenset(mutation.memory_ids)
        for draft in decision.drafts:
            if draft.memory_id not in allowed:
                raise ValueError(f"draft for memory {draft.memory_id!r}, which is not among the mutation's memory_ids")
        changes = await self.append(transaction, namespace, decision.drafts, current, now=now, origin=mutation.origin)
        head = (await transaction.make_namespace(namespace)).head.revision
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
                now=now,
            )
        if mutation.idempotency is not None:
            replay = Replay(first, last, head, decision.outcome)
            remember(transaction, mutation.idempotency, replay, now, mentions=decision.mentions)
        return Committed(changes=changes, outcome=decision.outcome, revision=head)

    async def _look(self, transaction: Transaction, mutation: Mutation, known: int | None) -> _Situation:
        namespace, key = mutation.namespace, mutation.idempotency
        if known is None:
            known = (await transaction.make_namespace(namespace)).ns
        while True:
            statements = [locking(namespace)]
            statements.append(finding_replay(key, mutation.now) if key is not None else _NOTHING)
            statements.append(_finding_current(known, mutation.memory_ids) if mutation.memory_ids else _NOTHING)
            statements.append(finding_twins(known, mutation.twins, mutation.now) if mutation.twins else _NOTHING)
            wanted = [statement for statement in statements if statement is not _NOTHING]
            answers = iter(await transaction.fetch_each(wanted))
            head, replay, current, twins = ([] if statement is _NOTHING else next(answers) for statement in statements)
            row = transaction.hold(namespace, head) or await transaction.make_namespace(namespace)
            if row.ns == known:
                return _Situation(
                    replay=None if key is None else replay_of(key, replay),
                    current=_current(namespace, current),
                    twins=matching(namespace, mutation.twins, twins),
                )
            known = row.ns

    async def append_failure(
        self, transaction: Transaction, namespace: str, memory_id: str, reason: str, *, now: Instant, origin: Origin
    ) -> Change:
        """See Ledger.append_failure."""
        draft = Draft(type=EventType.FAILED, memory_id=memory_id, reason=reason)
        row = await transaction.make_namespace(namespace)
        found = await transaction.fetch(
            "SELECT max(born) FROM versions WHERE ns = %s AND memory_id = %s", (row.ns, memory_id)
        )
        born = found[0][0] or 0
        (change,) = await self.append(transaction, namespace, [draft], {}, now=now, origin=origin, born=born)
        return change

    async def append(
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
        row = await transaction.make_namespace(namespace)
        drafts = [with_before(draft, current) for draft in drafts]
        turns = await _next_turns(transaction, row.ns, drafts)
        changes = stamp(namespace, drafts, head=row.head, now=now, origin=origin, first_turns=turns)
        births = births_of(changes, current, born)
        bodies = [None if c.after is None else encode_memory(c.after) for c in changes]
        events, chain = writing_events(row, changes, births, bodies, self._entropy)
        counted, following = counting_changes(row.ns, changes)
        statements = [
            events,
            *writing_versions(row.ns, changes, births, bodies),
            *ending_versions(row.ns, changes, births, {i: c.gone for i, c in current.items()}),
            *counted,
        ]
        for statement in (together(statements), *following):
            transaction.put(*statement)
        skip(transaction, row.ns, [c.revision for c in changes if c.type >= EventType.RESET])
        last = changes[-1]
        transaction.advance(row.moved_to(Head(last.revision, last.commit_time), chain))
        return changes


_NOTHING: Final[Statement] = ("", ())


async def load_current(
    transaction: Transaction, ns: int, namespace: str, memory_ids: Sequence[str]
) -> dict[str, Current]:
    """Current versions of those of the memories that exist, expired or not."""
    return _current(namespace, await transaction.fetch(*_finding_current(ns, memory_ids)))


async def _replayed(transaction: Transaction, namespace: str, replay: Replay) -> Committed:
    changes: tuple[Change, ...] = ()
    if replay.first <= replay.last:
        ns = (await transaction.make_namespace(namespace)).ns
        rows = await transaction.fetch(
            f"{EVENTS} WHERE e.key BETWEEN %s AND %s AND e.type <> {int(EventType.ERASED)} ORDER BY e.key",
            (key_of(ns, replay.first), key_of(ns, replay.last)),
        )
        changes = tuple(read_changes(namespace, rows))
    return Committed(changes=changes, outcome=replay.outcome, revision=replay.revision, replayed=True)


async def _next_turns(transaction: Transaction, ns: int, drafts: Sequence[Draft]) -> list[int]:
    """The turn ordinal of each draft that creates an EPISODE, 0 for the others; counts the scopes' turns on."""
    scopes = episode_scopes(drafts)
    counters: Counter[Scope] = Counter(scope for scope in scopes if scope is not None)
    if not counters:
        return [0] * len(drafts)
    places = {place_of(s.user_id, s.agent_id, s.session_id): s for s in counters}
    rows = await transaction.fetch(
        _TURNS,
        (
            ns,
            Bytes(places),
            Texts([s.user_id for s in counters]),
            Texts([s.agent_id for s in counters]),
            Texts([s.session_id for s in counters]),
            Int8s(counters.values()),
        ),
    )
    following = {places[place]: last - counters[places[place]] + 1 for place, last in rows}
    return dealt_turns(scopes, following)
