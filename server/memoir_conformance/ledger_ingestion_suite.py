"""What every ledger must do for accepted inference work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from memoir_conformance.ledger_model import (
    ALICE,
    BOB,
    NOW,
    NS,
    ORIGIN,
    SECOND,
    LedgerFixtures,
    Reopen,
    create,
    creating,
    delete,
    execute,
    fact,
    planned,
    request,
    update,
)
from memoir_server.domain.errors import IngestionLost, IngestionNotFound, RequestIdReused, ScopeMoved
from memoir_server.domain.ingestion import Ingestion, IngestionEnd, IngestionState, Undisturbed
from memoir_server.domain.memory import Memory, MemoryKind, Scope
from memoir_server.domain.mutation import Committed, Mutation
from memoir_server.domain.reset import ResetTarget
from memoir_server.ports.ingestions import IngestionPosition
from memoir_server.ports.ledger import HistoryQuery, Ledger

DAY = 24 * 3600 * SECOND
PENDING, RUNNING = IngestionState.PENDING, IngestionState.RUNNING
SUCCEEDED, FAILED = IngestionState.SUCCEEDED, IngestionState.FAILED


def work(ingestion_id: str, scope: Scope = ALICE, *, now: int = NOW, **fields: object) -> Ingestion:
    made = Ingestion(
        namespace=NS,
        ingestion_id=ingestion_id,
        scope=scope,
        create_time=now,
        update_time=now,
        due=now,
        work=f"what {ingestion_id} asks for \x00".encode(),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


async def accept(ledger: Ledger, *ingestions: Ingestion) -> None:
    for ingestion in ingestions:
        assert await ledger.accept_ingestion(ingestion, key=None) == ingestion


async def claimed(ledger: Ledger, *at_work: str, now: int = NOW) -> str:
    """The id of what is claimed, "" for nothing."""
    found = await ledger.claim_ingestion(at_work, now=now)
    return "" if found is None else found.ingestion_id


async def taken(ledger: Ledger, *at_work: str, now: int = NOW) -> Ingestion:
    """What is claimed, where there must be something."""
    found = await ledger.claim_ingestion(at_work, now=now)
    assert found is not None
    return found


async def state(ledger: Ledger, ingestion_id: str) -> IngestionState:
    return (await ledger.get_ingestion(NS, ingestion_id)).state


async def finish(
    ledger: Ledger,
    ingestion: Ingestion,
    *memories: Memory,
    error: str = "",
    undisturbed: Undisturbed | None = None,
    now: int = NOW,
) -> Committed:
    return await ledger.commit(
        Mutation(
            namespace=ingestion.namespace,
            memory_ids=[memory.memory_id for memory in memories],
            decide=creating(*memories, outcome=b"said so"),
            now=now,
            origin=ORIGIN,
            undisturbed=undisturbed,
            ingestion=IngestionEnd(ingestion.ingestion_id, ingestion.attempts, error),
        )
    )


async def listed(ledger: Ledger, scope: Scope | None = None, states: Sequence[IngestionState] = ()) -> list[str]:
    found = await ledger.list_ingestions(NS, scope or Scope(), states, after=None, limit=100)
    return [ingestion.ingestion_id for ingestion in found]


class IngestionSuite(LedgerFixtures):
    """Acceptance, turns, ends, and what resets do to them."""

    async def test_what_was_accepted_is_there_after_a_restart(self, ledger: Ledger, reopen: Reopen) -> None:
        await accept(ledger, work("i-1", Scope("alice", "helper", "s-1")))
        again = await reopen(ledger)
        assert await again.get_ingestion(NS, "i-1") == work("i-1", Scope("alice", "helper", "s-1"))

    async def test_unknown_ones_are_not_found(self, ledger: Ledger) -> None:
        with pytest.raises(IngestionNotFound, match="i-1"):
            await ledger.get_ingestion(NS, "i-1")
        await accept(ledger, work("i-1"))
        with pytest.raises(IngestionNotFound, match="elsewhere"):
            await ledger.get_ingestion("elsewhere", "i-1")
        assert await ledger.list_ingestions("elsewhere", Scope(), (), after=None, limit=10) == []

    async def test_a_duplicate_request_gets_the_first_one_as_it_is_by_now(self, ledger: Ledger) -> None:
        await ledger.accept_ingestion(work("i-1"), key=request())
        assert await ledger.accept_ingestion(work("i-2"), key=request()) == work("i-1")
        begun = await taken(ledger)
        await finish(ledger, begun, fact("a"))
        assert (await ledger.accept_ingestion(work("i-3"), key=request())).state is SUCCEEDED
        with pytest.raises(RequestIdReused):
            await ledger.accept_ingestion(work("i-4"), key=request(b"g" * 32))
        assert await listed(ledger) == ["i-1"]

    async def test_work_is_claimed_once_and_in_order(self, ledger: Ledger) -> None:
        assert await claimed(ledger) == ""
        await accept(ledger, work("i-1"), work("i-2", BOB), work("i-3", Scope("carol"), due=NOW + SECOND))
        first = await taken(ledger, now=NOW + 5)
        assert first == work("i-1", state=RUNNING, attempts=1, update_time=NOW + 5)
        assert await ledger.get_ingestion(NS, "i-1") == first
        assert await claimed(ledger, "i-1") == "i-2"
        assert await claimed(ledger, "i-1", "i-2") == ""
        assert await claimed(ledger, "i-1", "i-2", now=NOW + SECOND) == "i-3"

    async def test_an_owners_work_is_done_in_the_order_it_was_accepted(self, ledger: Ledger) -> None:
        session = Scope("alice", session_id="s-1")
        await accept(ledger, work("i-1"), work("i-2", session), work("i-3", Scope("alice", "helper")))
        first = await taken(ledger)
        assert first.ingestion_id == "i-1"
        # Alice with a helper is another owner; Alice in a session is not.
        assert await claimed(ledger, "i-1") == "i-3"
        await ledger.postpone_ingestion(first, until=NOW + SECOND, error="the model was busy", now=NOW)
        assert await claimed(ledger, "i-3") == "", "what waits for its next attempt holds up what came later"
        again = await taken(ledger, "i-3", now=NOW + SECOND)
        assert (again.ingestion_id, again.attempts, again.error) == ("i-1", 2, "the model was busy")
        await finish(ledger, again, fact("a"))
        assert await claimed(ledger, "i-3") == "i-2"

    async def test_an_attempt_that_this_server_does_not_know_of_is_begun_again(self, ledger: Ledger) -> None:
        await accept(ledger, work("i-1"))
        lost = await taken(ledger)
        again = await taken(ledger)
        assert (again.ingestion_id, again.attempts) == ("i-1", 2)
        with pytest.raises(IngestionLost):
            await finish(ledger, lost, fact("a"))
        with pytest.raises(IngestionLost):
            await ledger.postpone_ingestion(lost, until=NOW, error="late", now=NOW)
        assert await ledger.get_ingestion(NS, "i-1") == again
        assert (await ledger.head(NS)).revision == 0

    async def test_a_server_that_died_gives_its_work_back(self, ledger: Ledger, reopen: Reopen) -> None:
        await accept(ledger, work("i-1"))
        assert await claimed(ledger) == "i-1"
        again = await reopen(ledger)
        begun = await taken(again)
        assert begun.attempts == 2
        await finish(again, begun, fact("a"))

    async def test_the_commit_ends_it(self, ledger: Ledger, reopen: Reopen) -> None:
        await accept(ledger, work("i-1"))
        await create(ledger, fact("before"))
        begun = await taken(ledger)
        committed = await finish(ledger, begun, fact("a"), fact("b"), now=NOW + SECOND)
        assert committed.revision == 3
        done = replace(
            begun,
            state=SUCCEEDED,
            update_time=NOW + SECOND,
            first=2,
            last=3,
            revision=3,
            outcome=b"said so",
            work=b"",
        )
        assert await ledger.get_ingestion(NS, "i-1") == done
        assert await (await reopen(ledger)).get_ingestion(NS, "i-1") == done

    async def test_whoever_sees_the_end_sees_its_changes(self, ledger: Ledger) -> None:
        async def seen(ingestion_id: str) -> list[str]:
            while not (found := await ledger.get_ingestion(NS, ingestion_id)).state.terminal:  # noqa: ASYNC110  # the moment itself is looked for
                await asyncio.sleep(0)
            changes = await ledger.history(NS, HistoryQuery(after=found.first - 1, until=found.last), limit=10)
            return [change.memory_id for change in changes]

        for number in range(20):
            await accept(ledger, work(f"i-{number}"))
            watching = asyncio.ensure_future(seen(f"i-{number}"))
            await finish(ledger, await taken(ledger), fact(f"m-{number}"))
            assert await watching == [f"m-{number}"]

    async def test_a_commit_without_changes_ends_it_too(self, ledger: Ledger) -> None:
        await create(ledger, fact("before"))
        await accept(ledger, work("i-1"))
        begun = await taken(ledger)
        await finish(ledger, begun)
        done = await ledger.get_ingestion(NS, "i-1")
        assert (done.state, done.first, done.last, done.revision) == (SUCCEEDED, 2, 1, 1)

    async def test_one_that_is_given_up_says_why(self, ledger: Ledger) -> None:
        await accept(ledger, work("i-1"))
        begun = await taken(ledger)
        await finish(ledger, begun, fact("kept", kind=MemoryKind.EPISODE), error="the model made no sense")
        done = await ledger.get_ingestion(NS, "i-1")
        assert (done.state, done.error, done.work) == (FAILED, "the model made no sense", b"")
        assert await claimed(ledger) == ""

    async def test_a_refused_commit_leaves_it_running(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"))
        await accept(ledger, work("i-1"))
        begun = await taken(ledger)
        with pytest.raises(Exception, match="already exists"):
            await finish(ledger, begun, fact("a"))
        assert await state(ledger, "i-1") is RUNNING
        await finish(ledger, begun, fact("b"))
        assert await state(ledger, "i-1") is SUCCEEDED

    async def test_listings_are_newest_first_and_page(self, ledger: Ledger) -> None:
        helped = Scope("alice", "helper", "s-1")
        await accept(ledger, work("i-1"), work("i-3", BOB, now=NOW + 1), work("i-2", helped, now=NOW + 1))
        assert await listed(ledger) == ["i-2", "i-3", "i-1"]
        assert await listed(ledger, ALICE) == ["i-2", "i-1"]
        assert await listed(ledger, Scope(session_id="s-1")) == ["i-2"]
        assert await claimed(ledger) == "i-1"
        assert await listed(ledger, states=[RUNNING]) == ["i-1"]
        assert await listed(ledger, states=[PENDING, SUCCEEDED]) == ["i-2", "i-3"]
        page = await ledger.list_ingestions(NS, Scope(), (), after=IngestionPosition(NOW + 1, "i-2"), limit=1)
        assert [ingestion.ingestion_id for ingestion in page] == ["i-3"]

    async def test_a_reset_cancels_what_is_not_done_of_its_target(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"))
        await accept(ledger, work("i-1"), work("i-2", Scope("alice", session_id="s-1")), work("i-3", BOB))
        running = await taken(ledger)
        assert running.ingestion_id == "i-1"
        await planned(ledger, ResetTarget(scope=ALICE))
        await execute(ledger, now=NOW + SECOND)
        for ingestion_id in ("i-1", "i-2"):
            over = await ledger.get_ingestion(NS, ingestion_id)
            assert (over.state, over.work, over.update_time) == (FAILED, b"", NOW + SECOND)
            assert "reset-1" in over.error
        with pytest.raises(IngestionLost):
            await finish(ledger, running, fact("b"))
        assert await claimed(ledger) == "i-3"
        await accept(ledger, work("i-4"))
        assert await claimed(ledger, "i-3") == "i-4", "what comes after the reset is not its business"

    async def test_an_erasure_takes_the_records_themselves(self, ledger: Ledger) -> None:
        await ledger.accept_ingestion(work("i-1"), key=request())
        begun = await taken(ledger)
        await finish(ledger, begun, fact("a"))
        await accept(ledger, work("i-2"), work("i-3", BOB))
        await planned(ledger, ResetTarget(scope=ALICE, include_history=True))
        await execute(ledger)
        assert await listed(ledger) == ["i-3"]
        with pytest.raises(IngestionNotFound):
            await ledger.accept_ingestion(work("i-4"), key=request())

    async def test_a_reset_of_a_namespace_leaves_the_others_alone(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"))
        await accept(ledger, work("i-1"), work("i-2", namespace="other"))
        await planned(ledger, ResetTarget())
        await execute(ledger)
        assert await state(ledger, "i-1") is FAILED
        assert (await ledger.get_ingestion("other", "i-2")).state is PENDING

    async def test_old_records_are_forgotten_and_unfinished_ones_are_not(self, ledger: Ledger) -> None:
        await accept(ledger, work("i-1"), work("i-2", BOB))
        begun = await taken(ledger)
        await finish(ledger, begun, fact("a"))
        await accept(ledger, work("i-3", now=NOW + 29 * DAY))
        assert await listed(ledger) == ["i-3", "i-1", "i-2"]
        await accept(ledger, work("i-4", now=NOW + 30 * DAY))
        assert await listed(ledger) == ["i-4", "i-3", "i-2"]

    async def test_a_commit_finds_out_that_its_owner_has_moved(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("b", scope=BOB))

        async def late(revision: int) -> None:
            await ledger.commit(
                Mutation(
                    namespace=NS,
                    memory_ids=["late"],
                    decide=creating(fact("late")),
                    now=NOW,
                    origin=ORIGIN,
                    undisturbed=Undisturbed(Scope("alice", session_id="s"), revision),
                )
            )

        await create(ledger, fact("c", scope=BOB))
        await create(ledger, fact("d", scope=Scope("alice", "helper")))
        await create(ledger, fact("e", kind=MemoryKind.EPISODE))
        await delete(ledger, "e")
        head = (await ledger.head(NS)).revision
        with pytest.raises(ScopeMoved):
            await late(0)
        await update(ledger, "a", text="likes cocoa")
        with pytest.raises(ScopeMoved):
            await late(head)
        assert await ledger.get(NS, ["late"], revision=head, now=NOW) == {}
        await late(head + 1)

    async def test_others_and_episodes_do_not_disturb(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"))
        await create(ledger, fact("b", scope=BOB), fact("c", scope=Scope("alice", "helper")))
        await create(ledger, fact("e", kind=MemoryKind.EPISODE))
        await accept(ledger, work("i-1"))
        begun = await taken(ledger)
        await finish(ledger, begun, fact("x"), undisturbed=Undisturbed(ALICE, 1))
        assert await state(ledger, "i-1") is SUCCEEDED

    async def test_waiting_ends_with_news(self, ledger: Ledger) -> None:
        await ledger.wait_for_ingestions(0.01)
        waiting = asyncio.ensure_future(ledger.wait_for_ingestions(20))
        await asyncio.sleep(0.05)
        await accept(ledger, work("i-1"))
        await asyncio.wait_for(waiting, 10)
        begun = await taken(ledger)
        waiting = asyncio.ensure_future(ledger.wait_for_ingestions(20))
        await asyncio.sleep(0.05)
        await finish(ledger, begun, fact("a"))
        await asyncio.wait_for(waiting, 10)
