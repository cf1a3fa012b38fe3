"""What tests of ledgers share: sample memories, mutations and questions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from memoir_server.domain.change import Actor, Draft, EventType, Origin
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.errors import (
    EtagMismatch,
    MemoryAlreadyExists,
    MemoryNotFound,
)
from memoir_server.domain.memory import (
    NEVER,
    EntityMention,
    Memory,
    MemoryKind,
    Moment,
    Provenance,
    RelationStatement,
    Role,
    Scope,
)
from memoir_server.domain.mutation import Committed, Decide, Decision, IdempotencyKey, Mutation
from memoir_server.domain.reset import Reset, ResetReceipt, ResetTarget, StoreEffect, StoreReceipt
from memoir_server.domain.selection import Selection
from memoir_server.domain.store import StoreKind
from memoir_server.ports.ledger import HistoryQuery, Ledger, TargetCount

NS = "lab"
NOW = 1_700_000_000_000_000
SECOND = 1_000_000
ORIGIN = Origin(actor=Actor("tester"), request_id="r-1", traceparent="00-aa-bb-01")
ALICE = Scope("alice")
BOB = Scope("bob")
MODEL = EmbeddingModel("hash", "1", 4)

OpenLedger = Callable[[], Awaitable[Ledger]]
Reopen = Callable[[Ledger], Awaitable[Ledger]]


# -- what tests ask of a ledger


def fact(memory_id: str, text: str = "likes tea", scope: Scope = ALICE, **fields: object) -> Memory:
    return replace(Memory(namespace=NS, memory_id=memory_id, text=text, scope=scope, create_time=NOW), **fields)  # type: ignore[arg-type]


def rich(memory_id: str = "rich", scope: Scope = ALICE) -> Memory:
    return Memory(
        namespace=NS,
        memory_id=memory_id,
        text="Alice moved to Ghent \x00 \U0001f600",
        kind=MemoryKind.EVENT,
        scope=scope,
        metadata={
            "big": 2**63 - 1,
            "small": -(2**63),
            "float": 5.0,
            "yes": True,
            "when": Moment(-12),
            "tags": ("b", "a"),
            "none": (),
            "one": ("x",),
            "s": "",
        },
        importance=0.25,
        valid_from=NOW - 5,
        valid_until=NOW + 5 * SECOND,
        create_time=NOW - 7,
        provenance=(
            Provenance(
                session_id="s", message_id="m", role=Role.USER, actor_id="Alice", quote="I moved", create_time=NOW - 9
            ),
            Provenance(),
        ),
        entities=(EntityMention(name="Alice", type="person", aliases=("Ali",)), EntityMention(name="Ghent")),
        relations=(
            RelationStatement(subject="Alice", predicate="lives_in", object="Ghent", confidence=0.5, valid_from=NOW),
        ),
        supersedes=("old",),
        superseded_by="newer",
    )


async def commit(
    ledger: Ledger,
    decide: Decide | Sequence[Draft],
    ids: Sequence[str] | None = None,
    *,
    namespace: str = NS,
    now: int = NOW,
    key: IdempotencyKey | None = None,
) -> Committed:
    if not callable(decide):
        drafts = decide
        ids = [d.memory_id for d in drafts] if ids is None else ids

        def decide(found: Mapping[str, Memory]) -> Decision:
            return Decision(drafts)

    return await ledger.commit(
        Mutation(namespace=namespace, memory_ids=ids or [], decide=decide, now=now, origin=ORIGIN, idempotency=key)
    )


def creating(*memories: Memory, outcome: bytes = b"") -> Decide:
    def decide(found: Mapping[str, Memory]) -> Decision:
        for memory in memories:
            if memory.memory_id in found:
                raise MemoryAlreadyExists(memory.namespace, memory.memory_id)
        return Decision([Draft(type=EventType.CREATED, memory_id=m.memory_id, after=m) for m in memories], outcome)

    return decide


async def create(ledger: Ledger, *memories: Memory, now: int = NOW, key: IdempotencyKey | None = None) -> Committed:
    return await commit(
        ledger,
        creating(*memories, outcome=b"outcome"),
        [m.memory_id for m in memories],
        namespace=memories[0].namespace,
        now=now,
        key=key,
    )


async def update(ledger: Ledger, memory_id: str, *, now: int = NOW, etag: str = "", **fields: object) -> Committed:
    def decide(found: Mapping[str, Memory]) -> Decision:
        if memory_id not in found:
            raise MemoryNotFound(NS, memory_id)
        before = found[memory_id]
        if etag and etag != before.etag:
            raise EtagMismatch(memory_id, before.etag)
        after = replace(before, **fields)  # type: ignore[arg-type]
        return Decision([Draft(type=EventType.UPDATED, memory_id=memory_id, before=before, after=after, reason="why")])

    return await commit(ledger, decide, [memory_id], now=now)


async def delete(ledger: Ledger, *memory_ids: str, now: int = NOW, keep_facts: bool = False) -> Committed:
    def decide(found: Mapping[str, Memory]) -> Decision:
        drafts = []
        for memory_id in memory_ids:
            if memory_id not in found:
                raise MemoryNotFound(NS, memory_id)
            draft = Draft(type=EventType.DELETED, memory_id=memory_id, before=found[memory_id], keep_facts=keep_facts)
            drafts.append(draft)
        return Decision(drafts)

    return await commit(ledger, decide, memory_ids, now=now)


def select(**fields: object) -> Selection:
    return replace(Selection(reference=NOW, now=NOW), **fields)  # type: ignore[arg-type]


async def get(ledger: Ledger, memory_id: str, *, revision: int = NEVER - 1, now: int = NOW) -> Memory | None:
    return (await ledger.get(NS, [memory_id], revision=revision, now=now)).get(memory_id)


async def ids(ledger: Ledger, **selection: object) -> list[str]:
    return [m.memory_id for m in await ledger.list_memories(NS, select(**selection), after=None, limit=1000)]


async def log(ledger: Ledger, **query: object) -> list[tuple[int, EventType, str]]:
    changes = await ledger.history(NS, replace(HistoryQuery(), **query), limit=1000)  # type: ignore[arg-type]
    return [(c.revision, c.type, c.memory_id) for c in changes]


def request(fingerprint: bytes = b"f" * 32, request_id: str = "req") -> IdempotencyKey:
    return IdempotencyKey("alice-key", NS, "CreateMemory", request_id, fingerprint)


async def planned(ledger: Ledger, target: ResetTarget, reset_id: str = "reset-1", **fields: object) -> Reset:
    head = await ledger.head(NS)
    count = await ledger.count_target(NS, target, sample=100, now=NOW)
    reset = Reset(
        namespace=NS,
        reset_id=reset_id,
        target=target,
        effects=(StoreEffect(StoreKind.LEDGER, count.events),),
        sample=count.sample,
        planned_revision=head.revision,
        create_time=NOW,
        expire_time=NOW + 60 * SECOND,
    )
    return await ledger.save_plan(replace(reset, **fields), key=None, now=NOW)  # type: ignore[arg-type]


async def execute(ledger: Ledger, reset_id: str = "reset-1", *, allow_drift: bool = False, now: int = NOW) -> Reset:
    return await ledger.execute_reset(NS, reset_id, allow_drift=allow_drift, now=now, origin=ORIGIN, recount=effects_of)


def effects_of(target: ResetTarget, count: TargetCount) -> tuple[StoreEffect, ...]:
    return (StoreEffect(StoreKind.LEDGER, count.events), StoreEffect(StoreKind.INDEX, count.versions))


async def erase_all(ledger: Ledger, reset_id: str = "reset-1", limit: int = 2) -> int:
    total = 0
    while erased := await ledger.erase(NS, reset_id, limit=limit):
        assert erased <= limit
        total += erased
    return total


RECEIPT = ResetReceipt(
    stores=(StoreReceipt(StoreKind.INDEX, 3, 0),), memories=1, events_erased=2, complete_time=NOW + SECOND
)


async def finish(ledger: Ledger, reset_id: str = "reset-1") -> Reset:
    return await ledger.finish_reset(NS, reset_id, RECEIPT, origin=ORIGIN)


async def due(ledger: Ledger, store: StoreKind = StoreKind.INDEX, *, limit: int = 100, now: int = NOW) -> list[int]:
    return [w.change.revision for w in (await ledger.pending(store, limit=limit, now=now)).get(NS, [])]


class LedgerFixtures:
    """What an adapter's module provides."""

    @pytest.fixture
    async def ledger(self, open_ledger: OpenLedger) -> Ledger:
        return await open_ledger()
