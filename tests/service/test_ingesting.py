"""Accepted inference work is carried out in the background, in order, once, until it is done or given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from memoir_conformance.ledger_model import ORIGIN, effects_of
from memoir_server.adapters.ledger.sqlite import SqliteLedger
from memoir_server.app.testing import CountingEntropy, CountingIds
from memoir_server.domain.change import Actor, ActorKind, Draft, EventType
from memoir_server.domain.conversation import Message
from memoir_server.domain.errors import IngestionNotFound, RequestIdReused, StoreUnavailable
from memoir_server.domain.inference.failure import InferenceFailed
from memoir_server.domain.inference.order import Order
from memoir_server.domain.inference.usage import Usage
from memoir_server.domain.ingestion import Ingestion, IngestionEnd, IngestionState
from memoir_server.domain.memory import Memory, MemoryKind, Moment, Role, Scope
from memoir_server.domain.mutation import Committed, Decision, Mutation
from memoir_server.domain.reset import Reset, ResetTarget
from memoir_server.domain.store import Durability
from memoir_server.ports.embedder import EmbedderUnavailable
from memoir_server.ports.ledger import HistoryQuery
from memoir_server.service import ingesting
from memoir_server.service.call import Call
from memoir_server.service.ingesting import Ingesting
from tests.service.harness import ANA, BO, NS, SetClock, calling, until

PENDING, RUNNING = IngestionState.PENDING, IngestionState.RUNNING
SUCCEEDED, FAILED = IngestionState.SUCCEEDED, IngestionState.FAILED
HOUR = 3600.0


@dataclass(slots=True)
class Inferring:
    """Stores each order's messages as FACTs, or does as it is told before."""

    ledger: SqliteLedger
    clock: SetClock
    failures: list[Exception] = field(default_factory=list)
    unkept: list[Exception] = field(default_factory=list)
    """Raised instead of keeping messages."""
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    orders: list[Order] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    in_hand: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.hold.set()

    async def remember(self, order: Order, call: Call, *, ending: IngestionEnd | None = None) -> Committed:
        self.orders.append(order)
        self.calls.append(call)
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        try:
            await self.hold.wait()
            if self.failures:
                raise self.failures.pop(0)
            return await self._store(order, call, MemoryKind.FACT, ending)
        finally:
            self.in_hand -= 1

    async def keep(
        self, order: Order, call: Call, why: str, *, ending: IngestionEnd | None = None, usage: Usage | None = None
    ) -> Committed:
        if self.unkept:
            raise self.unkept.pop(0)
        return await self._store(order, call, MemoryKind.EPISODE, ending)

    async def _store(self, order: Order, call: Call, kind: MemoryKind, ending: IngestionEnd | None) -> Committed:
        memories = [
            Memory(
                namespace=order.namespace,
                memory_id=f"{message.message_id}-{kind.name}",
                text=message.content,
                kind=kind,
                scope=order.scope,
                create_time=order.accepted,
            )
            for message in order.messages
        ]

        def decide(found: Mapping[str, Memory]) -> Decision:
            return Decision([Draft(type=EventType.CREATED, memory_id=m.memory_id, after=m) for m in memories], b"done")

        return await self.ledger.commit(
            Mutation(
                namespace=order.namespace,
                memory_ids=[memory.memory_id for memory in memories],
                decide=decide,
                now=self.clock.now(),
                origin=call.origin,
                ingestion=ending,
            )
        )


@dataclass(frozen=True, slots=True)
class Workshop:
    """A ledger, the work on it, and what carries it out."""

    ledger: SqliteLedger
    clock: SetClock
    inferring: Inferring
    ingesting: Ingesting

    async def accept(self, name: str, scope: Scope = ANA, *, call: Call | None = None) -> str:
        return (await self.ingesting.accept(order(name, scope, self.clock.now()), call or calling())).ingestion_id

    async def read(self, ingestion_id: str) -> Ingestion:
        return (await self.ingesting.get(NS, ingestion_id)).ingestion

    async def over(self, ingestion_id: str, state: IngestionState = SUCCEEDED) -> Ingestion:
        async def reached() -> bool:
            return (await self.read(ingestion_id)).state is state

        await until(reached)
        return await self.read(ingestion_id)

    async def waiting(self, ingestion_id: str, attempts: int) -> Ingestion:
        """Once it waits for its next attempt after so many."""

        async def reached() -> bool:
            found = await self.read(ingestion_id)
            return found.state is PENDING and found.attempts == attempts

        await until(reached)
        return await self.read(ingestion_id)

    async def texts(self) -> list[str]:
        found = await self.ledger.history(NS, HistoryQuery(), limit=100)
        return [f"{change.after.kind.name} {change.after.text}" for change in found if change.after is not None]


def order(name: str, scope: Scope, accepted: int) -> Order:
    return Order(
        namespace=NS,
        scope=scope,
        messages=[
            Message(role=Role.USER, content=f"about {name} \x00", message_id=name, actor_id="Ana", create_time=5),
        ],
        metadata={"when": Moment(7), "tags": ("a", "b"), "exact": 5.0, "yes": True},
        instruction="only what lasts",
        accepted=accepted,
    )


@asynccontextmanager
async def workshop(directory: Path, *, clock: SetClock | None = None, workers: int = 4) -> AsyncIterator[Workshop]:
    ledger = SqliteLedger(directory, entropy=CountingEntropy())
    await ledger.open()
    clock = clock or SetClock()
    inferring = Inferring(ledger, clock)
    worker = Ingesting(
        ledger=ledger, inference=inferring, clock=clock, ids=CountingIds(), workers=workers, jitter=lambda: 1.0
    )
    try:
        yield Workshop(ledger, clock, inferring, worker)
    finally:
        await worker.stop()
        await ledger.close()


@pytest.fixture
async def shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Workshop]:
    monkeypatch.setattr(ingesting, "LOOK_SECONDS", 0.02)
    async with workshop(tmp_path) as found:
        yield found
    assert not [record for record in caplog.records if "begins anew" in record.message and record.exc_info]


async def test_accepted_work_is_done_and_says_what_came_of_it(shop: Workshop) -> None:
    ingestion_id = await shop.accept("tea")
    assert (await shop.read(ingestion_id)).state is PENDING
    await shop.ingesting.start()
    done = await shop.over(ingestion_id)
    assert (done.revision, done.outcome, done.work, done.error) == (1, b"done", b"", "")
    (change,) = (await shop.ingesting.get(NS, ingestion_id)).changes
    assert change.after is not None
    assert change.after.text == "about tea \x00"
    assert [i.ingestion.ingestion_id for i in await shop.ingesting.list(NS, ANA, (), after=None, limit=5)] == [
        ingestion_id
    ]


async def test_the_order_and_its_caller_are_those_that_were_accepted(shop: Workshop) -> None:
    caller = Call(
        deadline=1.0,
        actor=Actor("ana-key", ActorKind.EXTRACTOR),
        request_id="r-1",
        traceparent="00-aa-bb-01",
    )
    accepted = shop.clock.now()
    ingestion_id = await shop.accept("tea", Scope("ana", "helper", "s-1"), call=caller)
    shop.clock.advance(HOUR)
    await shop.ingesting.start()
    await shop.over(ingestion_id)
    assert shop.inferring.orders == [order("tea", Scope("ana", "helper", "s-1"), accepted)]
    (call,) = shop.inferring.calls
    assert call.origin == caller.origin
    assert call.durability is Durability.ACCEPTED
    assert call.remaining() > 60


async def test_a_duplicate_request_is_accepted_once(shop: Workshop) -> None:
    first = await shop.accept("tea", call=calling(request_id="r-1"))
    assert await shop.accept("tea", call=calling(request_id="r-1")) == first
    with pytest.raises(RequestIdReused):
        await shop.accept("cocoa", call=calling(request_id="r-1", fingerprint=b"another"))
    await shop.ingesting.start()
    await shop.over(first)
    assert await shop.accept("tea", call=calling(request_id="r-1")) == first
    assert await shop.texts() == ["FACT about tea \x00"]


async def test_an_outage_is_waited_out(shop: Workshop) -> None:
    shop.inferring.failures += [
        InferenceFailed("the model is out of reach", passing=True),
        InferenceFailed("the model is busy", passing=True, retry_after=30.0),
        EmbedderUnavailable("hash", "it is out of reach", "start it"),
    ]
    ingestion_id = await shop.accept("tea")
    await shop.ingesting.start()
    first = await shop.waiting(ingestion_id, 1)
    assert (first.error, first.due) == ("the model is out of reach", shop.clock.time + 2_000_000)
    shop.clock.advance(2)
    second = await shop.waiting(ingestion_id, 2)
    assert (second.error, second.due) == ("the model is busy", shop.clock.time + 30_000_000)
    shop.clock.advance(30)
    third = await shop.waiting(ingestion_id, 3)
    assert third.due == shop.clock.time + 8_000_000, "the delay doubles"
    shop.clock.advance(8)
    assert (await shop.over(ingestion_id)).attempts == 4
    assert await shop.texts() == ["FACT about tea \x00"]


async def test_work_that_makes_no_sense_is_given_up_and_its_messages_are_kept(shop: Workshop) -> None:
    shop.inferring.failures.append(InferenceFailed("the model's answer is no answer"))
    ingestion_id = await shop.accept("tea")
    await shop.ingesting.start()
    over = await shop.over(ingestion_id, FAILED)
    assert (over.error, over.revision) == ("the model's answer is no answer", 1)
    assert await shop.texts() == ["EPISODE about tea \x00"]


async def test_an_outage_of_a_day_is_given_up(shop: Workshop) -> None:
    shop.inferring.failures += [InferenceFailed("the model is out of reach", passing=True) for _ in range(2)]
    ingestion_id = await shop.accept("tea")
    await shop.ingesting.start()
    await shop.waiting(ingestion_id, 1)
    shop.clock.advance(24 * HOUR)
    assert (await shop.over(ingestion_id, FAILED)).error == "the model is out of reach"
    assert await shop.texts() == ["EPISODE about tea \x00"]


async def test_a_defect_is_tried_a_few_times(shop: Workshop) -> None:
    shop.inferring.failures += [ZeroDivisionError("secret contents") for _ in range(5)]
    ingestion_id = await shop.accept("tea")
    await shop.ingesting.start()
    for attempts in range(1, 5):
        await shop.waiting(ingestion_id, attempts)
        shop.clock.advance(HOUR)
    over = await shop.over(ingestion_id, FAILED)
    assert "ZeroDivisionError" in over.error
    assert "secret" not in over.error
    assert await shop.texts() == ["EPISODE about tea \x00"]


async def test_messages_that_cannot_be_kept_wait_with_their_work(shop: Workshop) -> None:
    shop.inferring.failures += [InferenceFailed("the model's answer is no answer") for _ in range(3)]
    shop.inferring.unkept += [ZeroDivisionError("secret contents") for _ in range(2)]
    ingestion_id = await shop.accept("tea")
    await shop.ingesting.start()
    delays = []
    for attempts in (1, 2):
        waiting = await shop.waiting(ingestion_id, attempts)
        assert waiting.error == "the server could not end it: ZeroDivisionError"
        delays.append(waiting.due - shop.clock.now())
        shop.clock.advance(HOUR)
    assert 1_000_000 <= delays[0] <= 2_000_000 <= delays[1]
    await shop.over(ingestion_id, FAILED)
    assert await shop.texts() == ["EPISODE about tea \x00"]


async def test_a_ledger_that_is_down_for_a_moment_costs_an_attempt_at_most(shop: Workshop) -> None:
    shop.inferring.failures.append(StoreUnavailable("ledger", "disk full"))
    ingestion_id = await shop.accept("tea")
    await shop.ingesting.start()
    assert (await shop.over(ingestion_id)).attempts == 2
    assert await shop.texts() == ["FACT about tea \x00"]


async def test_an_owners_work_is_done_in_order_and_others_beside_it(shop: Workshop) -> None:
    shop.inferring.hold.clear()
    first, second, other = await shop.accept("one"), await shop.accept("two"), await shop.accept("three", BO)
    await shop.ingesting.start()

    async def both() -> bool:
        return shop.inferring.in_hand == 2

    await until(both)
    assert [o.messages[0].message_id for o in shop.inferring.orders] == ["one", "three"]
    shop.inferring.hold.set()
    for ingestion_id in (first, second, other):
        await shop.over(ingestion_id)
    assert (await shop.read(first)).revision < (await shop.read(second)).revision


async def test_no_more_than_so_many_at_once(tmp_path: Path) -> None:
    async with workshop(tmp_path, workers=2) as shop:
        ids = [await shop.accept(f"n-{n}", Scope(f"user-{n}")) for n in range(7)]
        await shop.ingesting.start()
        for ingestion_id in ids:
            await shop.over(ingestion_id)
        assert shop.inferring.most <= 2


async def test_a_restart_begins_again_what_was_in_hand(tmp_path: Path) -> None:
    clock = SetClock()
    async with workshop(tmp_path, clock=clock) as shop:
        shop.inferring.hold.clear()
        ingestion_id = await shop.accept("tea")
        await shop.ingesting.start()
        await shop.over(ingestion_id, RUNNING)
    async with workshop(tmp_path, clock=clock) as shop:
        await shop.ingesting.start()
        assert (await shop.over(ingestion_id)).attempts == 2
        assert await shop.texts() == ["FACT about tea \x00"]


async def test_a_reset_cancels_what_is_in_hand(shop: Workshop) -> None:
    shop.inferring.hold.clear()
    ingestion_id = await shop.accept("tea")
    erased = await shop.accept("cocoa", BO)
    await shop.ingesting.start()
    await shop.over(ingestion_id, RUNNING)
    for target, reset_id in ((ResetTarget(scope=ANA), "r-1"), (ResetTarget(scope=BO, include_history=True), "r-2")):
        count = await shop.ledger.count_target(NS, target, sample=0, now=shop.clock.now())
        reset = Reset(
            namespace=NS,
            reset_id=reset_id,
            target=target,
            effects=(),
            planned_revision=count.changed_revision,
            create_time=shop.clock.now(),
            expire_time=shop.clock.now() + 1,
        )
        await shop.ledger.save_plan(reset, key=None, now=shop.clock.now())
        await shop.ledger.execute_reset(
            NS,
            reset_id,
            allow_drift=False,
            now=shop.clock.now(),
            origin=ORIGIN,
            recount=effects_of,
        )
    shop.inferring.hold.set()

    async def idle() -> bool:
        return shop.inferring.in_hand == 0

    await until(idle)
    assert "r-1" in (await shop.read(ingestion_id)).error
    with pytest.raises(IngestionNotFound):
        await shop.read(erased)
    assert await shop.texts() == []
    again = await shop.accept("tea")
    await shop.over(again)
