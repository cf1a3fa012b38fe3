"""What every ledger must do for projections and resets."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from memoir_conformance.ledger_model import (
    ALICE,
    BOB,
    MODEL,
    NOW,
    NS,
    ORIGIN,
    RECEIPT,
    SECOND,
    LedgerFixtures,
    Reopen,
    create,
    delete,
    due,
    erase_all,
    execute,
    fact,
    finish,
    get,
    ids,
    log,
    planned,
    request,
    rich,
    select,
    update,
)
from memoir_server.domain.change import EventType
from memoir_server.domain.errors import RequestIdReused, ResetNotFound, ResetPlanStale
from memoir_server.domain.filter import And, Compare, Not, Operator, Or
from memoir_server.domain.graph import facts_of
from memoir_server.domain.memory import NEVER, Moment, Scope
from memoir_server.domain.reset import Reset, ResetState, ResetTarget, StoreEffect
from memoir_server.domain.store import PROJECTIONS, StoreKind
from memoir_server.ports.ledger import HistoryQuery, Ledger

INDEX, GRAPH = StoreKind.INDEX, StoreKind.GRAPH
ALICES = ResetTarget(scope=ALICE)
ERASE_ALICE = ResetTarget(scope=ALICE, include_history=True)


class WorkSuite(LedgerFixtures):
    """Projection work, vectors, rebuilds."""

    async def test_work_is_the_same_after_a_restart(self, ledger: Ledger, reopen: Reopen) -> None:
        async def same_after_a_restart() -> None:
            again = await reopen(ledger)
            for store in PROJECTIONS:
                work = (await ledger.pending(store, limit=20, now=NOW))[NS]
                # What was completed a moment ago may be due once more after a crash, before the rest.
                assert work == (await again.pending(store, limit=20, now=NOW))[NS][-len(work) :]

        await create(ledger, fact("a"), fact("b"), fact("c", scope=BOB), rich(scope=BOB), key=request())
        await create(ledger, fact("a"), fact("b"), fact("c", scope=BOB), rich(scope=BOB), key=request())
        await same_after_a_restart()
        await update(ledger, "a", text="two")
        await update(ledger, "c", text="two")
        await delete(ledger, "b")
        await same_after_a_restart()
        await ledger.complete(INDEX, NS, [1, 2])
        await same_after_a_restart()
        await ledger.complete(GRAPH, NS, [1, 2, 3])
        await same_after_a_restart()
        await planned(ledger, ERASE_ALICE)
        await execute(ledger)
        await ledger.erase(NS, "reset-1", limit=2)
        await same_after_a_restart()
        await erase_all(ledger)
        await same_after_a_restart()

    async def test_work_is_what_was_committed_and_not_applied(self, ledger: Ledger) -> None:
        assert await ledger.pending(INDEX, limit=10, now=NOW) == {}
        await create(ledger, fact("a"), fact("b"))
        await update(ledger, "a", text="two")
        work = (await ledger.pending(INDEX, limit=10, now=NOW))[NS]
        history = await ledger.history(NS, HistoryQuery(), limit=10)
        assert [w.change for w in work] == list(history)
        assert [(w.attempts, w.live, w.retired) for w in work] == [(0, True, 3), (0, True, NEVER), (0, True, NEVER)]
        assert await ledger.watermark(INDEX, NS) == 0
        await ledger.complete(INDEX, NS, [2])
        assert await ledger.watermark(INDEX, NS) == 0
        assert await due(ledger) == [1, 3]
        await ledger.complete(INDEX, NS, [1, 3])
        assert await ledger.watermark(INDEX, NS) == 3
        assert await due(ledger) == []
        assert await due(ledger, GRAPH) == [1, 2, 3]
        assert await ledger.watermark(INDEX, "nowhere") == 0

    async def test_work_of_what_was_removed_since_is_not_live(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"))
        await delete(ledger, "a")
        await create(ledger, fact("a"))
        work = (await ledger.pending(INDEX, limit=10, now=NOW))[NS]
        assert [(w.change.type, w.live, w.retired) for w in work] == [
            (EventType.CREATED, False, 2),
            (EventType.DELETED, False, 2),
            (EventType.CREATED, True, NEVER),
        ]

    async def test_limits_hold_over_all_namespaces(self, ledger: Ledger) -> None:
        for namespace in ("one", "two", "three"):
            await create(ledger, *(replace(fact(f"m{i}"), namespace=namespace) for i in range(40)))
        seen: set[tuple[str, int]] = set()
        while work := await ledger.pending(INDEX, limit=50, now=NOW):
            assert sum(len(items) for items in work.values()) <= 50
            for namespace, items in work.items():
                revisions = [w.change.revision for w in items]
                assert revisions == sorted(revisions)
                seen.update((namespace, r) for r in revisions)
                await ledger.complete(INDEX, namespace, revisions)
        assert len(seen) == 120

    async def test_postponed_work_holds_up_its_memory_only(self, ledger: Ledger, reopen: Reopen) -> None:
        await create(ledger, fact("a"), fact("b"))
        await update(ledger, "a", text="two")
        await ledger.postpone(INDEX, NS, [1], until=NOW + SECOND, error="refused")
        assert await due(ledger) == [2]
        assert await due(ledger, now=NOW + SECOND) == [1, 2, 3]
        await ledger.complete(INDEX, NS, [2])
        assert await ledger.watermark(INDEX, NS) == 0
        await ledger.postpone(INDEX, NS, [1], until=NOW + 2 * SECOND, error="refused")
        await create(ledger, fact("later"))
        ledger = await reopen(ledger)
        assert 1 not in await due(ledger, now=NOW + SECOND)
        assert 3 not in await due(ledger, now=NOW + SECOND)
        (first, *_) = (await ledger.pending(INDEX, limit=1, now=NOW + 2 * SECOND))[NS]
        assert (first.change.revision, first.attempts) == (1, 2)

    async def test_work_given_up_is_passed_and_listed(self, ledger: Ledger, reopen: Reopen) -> None:
        await create(ledger, fact("a"), fact("b"))
        await ledger.give_up(INDEX, NS, 1, error="bad")
        assert await ledger.watermark(INDEX, NS) == 1
        assert (await ledger.degraded(INDEX, NS), await ledger.degraded(GRAPH, NS)) == (1, 0)
        failure = await ledger.append_failure(NS, "a", "given up", now=NOW, origin=ORIGIN)
        assert (failure.revision, failure.type, failure.memory_id) == (3, EventType.FAILED, "a")
        await ledger.complete(INDEX, NS, [2])
        assert await ledger.watermark(INDEX, NS) == 3
        ledger = await reopen(ledger)
        assert await ledger.degraded(INDEX, NS) == 1
        assert await ledger.requeue(INDEX, NS, after=0) == 2
        assert await ledger.degraded(INDEX, NS) == 0
        assert await due(ledger) == [1, 2]
        await ledger.complete(INDEX, NS, [1, 2])
        assert await ledger.watermark(INDEX, NS) == 3

    async def test_a_restart_repeats_no_less_than_what_is_left(self, ledger: Ledger, reopen: Reopen) -> None:
        await create(ledger, *(fact(f"m{i}") for i in range(5)))
        await ledger.complete(INDEX, NS, [1, 2, 4])
        assert await ledger.watermark(INDEX, NS) == 2
        ledger = await reopen(ledger)
        assert await ledger.watermark(INDEX, NS) <= 2
        assert {3, 5} <= set(await due(ledger))
        assert await due(ledger, GRAPH) == [1, 2, 3, 4, 5]

    async def test_a_rebuild_covers_what_exists_and_removals(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("b"))
        await update(ledger, "a", text="two")
        await delete(ledger, "b")
        await ledger.append_failure(NS, "a", "x", now=NOW, origin=ORIGIN)
        await ledger.complete(INDEX, NS, [1, 2, 3, 4])
        assert await ledger.watermark(INDEX, NS) == 5
        assert await ledger.requeue(INDEX, NS, after=0) == 3
        assert await due(ledger) == [1, 3, 4]
        assert await ledger.requeue(INDEX, NS, after=3) == 1
        await ledger.complete(INDEX, NS, [1, 3, 4])
        assert await ledger.requeue(INDEX, NS, after=2) == 2
        assert await due(ledger) == [3, 4]
        assert await ledger.watermark(INDEX, NS) == 2
        assert await ledger.requeue(GRAPH, "nowhere", after=0) == 0

    async def test_a_rebuild_of_the_graph_leaves_out_what_states_nothing(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), rich("said"), fact("b"))
        await update(ledger, "a", text="two")
        await delete(ledger, "b")
        await create(ledger, fact("c"))
        assert await ledger.replay_size(GRAPH, NS) == 3
        assert await ledger.replay_size(INDEX, NS) == 5
        await ledger.complete(GRAPH, NS, [1, 2, 3, 4, 5, 6])
        assert await ledger.requeue(GRAPH, NS, after=0) == 3
        assert await due(ledger, GRAPH) == [2, 4, 5]
        assert await ledger.watermark(GRAPH, NS) == 1
        await ledger.complete(GRAPH, NS, [2, 4, 5])
        assert await ledger.watermark(GRAPH, NS) == 6
        assert await ledger.requeue(GRAPH, NS, after=5) == 0
        assert await ledger.watermark(GRAPH, NS) == 6

    async def test_waiting_for_work(self, ledger: Ledger) -> None:
        waiting = asyncio.create_task(ledger.wait_for_work(10.0))
        await asyncio.sleep(0.01)
        await create(ledger, fact("a"))
        await asyncio.wait_for(waiting, 5.0)
        await ledger.wait_for_work(0.01)

    async def test_vectors_are_kept_for_contents_that_exist(self, ledger: Ledger, reopen: Reopen) -> None:
        await create(ledger, fact("a", text="one"))
        kept, stranger = fact("a", text="one").content_hash, fact("a", text="never stored").content_hash
        vector = np.array([0.5, 0.5, -0.5, 0.5], dtype=np.float32)
        await ledger.keep_vectors(NS, MODEL, {kept: vector})
        assert list(await ledger.vectors(NS, [kept, stranger], MODEL)) == [kept]
        await ledger.keep_vectors(NS, MODEL, {stranger: vector})
        await create(ledger, fact("b"))
        await asyncio.sleep(0.1)
        found = await ledger.vectors(NS, [kept, stranger], MODEL)
        assert list(found) == [kept]
        assert found[kept].dtype == np.float32
        assert found[kept].tolist() == vector.tolist()
        assert await ledger.vectors(NS, [kept], replace(MODEL, version="2")) == {}
        assert await ledger.vectors("nowhere", [kept], MODEL) == {}
        await update(ledger, "a", text="two")
        ledger = await reopen(ledger)
        assert list(await ledger.vectors(NS, [kept], MODEL)) == [kept]


class ResetSuite(LedgerFixtures):
    """Plans, execution, progress, erasure, receipts."""

    async def test_counting_a_target(self, ledger: Ledger) -> None:
        await create(ledger, rich("a"), fact("b"), fact("other", scope=BOB))
        await update(ledger, "a", text="two")
        await update(ledger, "other", text="bob's")
        await create(ledger, fact("gone"))
        await delete(ledger, "gone")
        count = await ledger.count_target(NS, ALICES, sample=1, now=NOW)
        assert (count.memories, count.versions, count.events, count.with_facts) == (2, 3, 3, 2)
        assert (count.sample, count.changed_revision) == (("a",), 7)
        everything = await ledger.count_target(NS, ResetTarget(), sample=9, now=NOW)
        assert (everything.memories, everything.sample) == (3, ("a", "b", "other"))
        # What was deleted before has nothing left but its history, and an erasure takes that too.
        assert (await ledger.count_target(NS, ERASE_ALICE, sample=1, now=NOW)).events == 5
        spared = replace(ALICES, preserve=Compare("memory_id", Operator.EQUAL, "a"))
        assert (await ledger.count_target(NS, spared, sample=9, now=NOW)).sample == ("b",)
        assert (await ledger.count_target("nowhere", ALICES, sample=9, now=NOW)).memories == 0

    async def test_plans_are_stored_once(self, ledger: Ledger, reopen: Reopen) -> None:
        preserve = And(
            (
                Or((Compare("metadata.n", Operator.LESS, 2**60), Compare("metadata.t", Operator.CONTAINS, "x"))),
                Not(Compare("create_time", Operator.EQUAL, Moment(5))),
                Compare("metadata.l", Operator.EQUAL, ("a", "b")),
            )
        )
        target = ResetTarget(scope=Scope("alice", None, "s"), preserve=preserve, keep_graph=True)
        plan = Reset(
            namespace=NS, reset_id="reset-1", target=target, sample=("a",), warnings=("w",), expire_time=NOW + 9
        )
        saved = await ledger.save_plan(plan, key=request(), now=NOW)
        assert saved.state is ResetState.PLANNED
        assert await ledger.save_plan(replace(plan, reset_id="reset-2"), key=request(), now=NOW) == saved
        with pytest.raises(RequestIdReused):
            await ledger.save_plan(replace(plan, reset_id="reset-3"), key=request(b"g" * 32), now=NOW)
        assert await ledger.get_reset(NS, "reset-1") == saved
        assert replace(saved, sequence=0) == plan
        token = await ledger.confirm_token(NS, "reset-1")
        assert len(token) == 64
        assert token != await ledger.confirm_token(NS, "reset-2")
        assert list(await ledger.namespaces()) == []
        ledger = await reopen(ledger)
        assert await ledger.confirm_token(NS, "reset-1") == token
        with pytest.raises(ResetNotFound):
            await ledger.get_reset(NS, "reset-2")
        with pytest.raises(ResetNotFound):
            await execute(ledger, "reset-2")

    async def test_executing_hides_at_once_and_spares_the_rest(self, ledger: Ledger, reopen: Reopen) -> None:
        await create(ledger, fact("a"), fact("keep", metadata={"pin": True}), fact("bob", scope=BOB))
        await update(ledger, "a", text="two")
        await planned(ledger, replace(ALICES, preserve=Compare("metadata.pin", Operator.EQUAL, True)))
        reset = await execute(ledger)
        assert (reset.state, reset.fence_revision) == (ResetState.RUNNING, 5)
        assert await ids(ledger) == ["bob", "keep"]
        assert await ids(ledger, revision=1) == []
        (event,) = await ledger.history(NS, HistoryQuery(after=4), limit=5)
        assert (event.type, event.memory_id, event.origin.reset_id) == (EventType.DELETED, "a", "reset-1")
        assert event.before is not None
        assert event.before.text == "two"
        assert await execute(ledger) == reset
        assert list(await ledger.removed_memories(NS, "reset-1", after="", limit=5)) == ["a"]
        assert list(await ledger.removed_memories(NS, "reset-1", after="a", limit=5)) == []
        removed = await ledger.removed_versions(NS, "reset-1", after=0, limit=5)
        assert [(m.revision, m.text) for m in removed] == [(1, "likes tea"), (4, "two")]
        assert [m.revision for m in await ledger.removed_versions(NS, "reset-1", after=1, limit=1)] == [4]
        assert [r.reset_id for r in await ledger.unfinished_resets()] == ["reset-1"]
        # A later memory of the same id and scope survives everything that follows.
        await create(ledger, fact("a", text="later"))
        ledger = await reopen(ledger)
        assert [r.reset_id for r in await ledger.unfinished_resets()] == ["reset-1"]
        done = await finish(ledger)
        assert done.state is ResetState.SUCCEEDED
        assert done.receipt is not None
        assert (done.receipt.revision, len(done.receipt.digest)) == (7, 64)
        assert replace(done.receipt, revision=0, digest="") == RECEIPT
        assert await finish(ledger) == done
        assert await execute(ledger) == done
        assert await log(ledger, after=6) == [(7, EventType.RESET, "")]
        (event,) = await ledger.history(NS, HistoryQuery(after=6), limit=5)
        assert done.receipt.digest in event.reason
        assert await ids(ledger) == ["a", "bob", "keep"]
        assert await ledger.verify_chain(NS)
        assert list(await ledger.unfinished_resets()) == []

    async def test_versions_of_other_lives_of_an_id_are_told_apart(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"))
        await delete(ledger, "a")
        await create(ledger, fact("a", scope=BOB), fact("b"))
        await update(ledger, "a", text="Bob's")
        await planned(ledger, ERASE_ALICE)
        await execute(ledger)
        assert await ledger.versions_of_others(NS, "reset-1", [1, 3, 4, 5, 9]) == {3, 5}
        await erase_all(ledger)
        assert await ledger.versions_of_others(NS, "reset-1", [1, 3, 4, 5, 9]) == {3, 5}
        assert await ledger.versions_of_others(NS, "reset-1", []) == frozenset()
        with pytest.raises(ResetNotFound):
            await ledger.versions_of_others(NS, "reset-2", [1])

    async def test_expired_memories_are_not_left_behind(self, ledger: Ledger) -> None:
        await create(ledger, fact("a", expire_time=NOW + 1))
        await planned(ledger, ERASE_ALICE)
        await execute(ledger, now=NOW + 2)
        assert await erase_all(ledger) == 2
        assert list(await ledger.expired(NOW + SECOND, limit=5)) == []

    async def test_drift_expiry_and_cancel_make_a_plan_stale(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("bob", scope=BOB))
        await planned(ledger, ALICES)
        await update(ledger, "bob", text="unrelated")
        await update(ledger, "a", text="drift")
        with pytest.raises(ResetPlanStale) as stale:
            await execute(ledger)
        assert (stale.value.planned_revision, stale.value.current_revision) == (2, 4)
        with pytest.raises(ResetPlanStale, match="expired"):
            await execute(ledger, allow_drift=True, now=NOW + 60 * SECOND)
        await planned(ledger, ALICES, "reset-2")
        cancelled = await ledger.save_progress(
            replace(await ledger.get_reset(NS, "reset-2"), state=ResetState.CANCELLED)
        )
        assert cancelled.state is ResetState.CANCELLED
        with pytest.raises(ResetPlanStale, match="cancelled"):
            await execute(ledger, "reset-2")
        assert await ids(ledger) == ["a", "bob"]
        assert (await execute(ledger, allow_drift=True)).state is ResetState.RUNNING
        assert await ids(ledger) == ["bob"]

    async def test_deletions_are_drift_and_plans_of_the_namespace_see_all(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("b"), fact("bob", scope=BOB))
        await planned(ledger, ALICES)
        await delete(ledger, "a")
        with pytest.raises(ResetPlanStale):
            await execute(ledger)
        await planned(ledger, ResetTarget(), "all")
        await update(ledger, "bob", text="new")
        with pytest.raises(ResetPlanStale):
            await execute(ledger, "all")
        assert (await execute(ledger, "all", allow_drift=True)).fence_revision == 7
        assert await ids(ledger) == []

    async def test_what_drifted_is_counted_again(self, ledger: Ledger, reopen: Reopen) -> None:
        """In the transaction that hides it: no write comes between the count and the fence, and no crash."""
        await create(ledger, fact("a"), fact("bob", scope=BOB))
        plan = await planned(ledger, ALICES)
        await create(ledger, fact("b"))
        await update(ledger, "a", text="two")
        drifted = await execute(ledger, allow_drift=True)
        assert plan.effects == (StoreEffect(StoreKind.LEDGER, 1),)
        assert drifted.effects == (StoreEffect(StoreKind.LEDGER, 3), StoreEffect(INDEX, 3))
        ledger = await reopen(ledger)
        assert await ledger.get_reset(NS, "reset-1") == drifted

    async def test_progress_and_waiting_for_it(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"))
        plan = await planned(ledger, ALICES)
        assert (await ledger.wait_reset(NS, "reset-1", plan.sequence, 0.01)) == plan
        running = await execute(ledger)
        assert running.sequence > plan.sequence
        waiting = asyncio.create_task(ledger.wait_reset(NS, "reset-1", running.sequence, 10.0))
        await asyncio.sleep(0.01)
        effects = (StoreEffect(INDEX, 1, 1),)
        progress = await ledger.save_progress(replace(running, effects=effects))
        assert (progress.sequence, progress.effects) == (running.sequence + 1, effects)
        assert await asyncio.wait_for(waiting, 5.0) == progress
        failed = await ledger.save_progress(replace(progress, state=ResetState.FAILED, error="disk"))
        assert await ledger.save_progress(replace(progress, state=ResetState.RUNNING)) == failed
        again = await execute(ledger)
        assert (again.state, again.fence_revision, again.error) == (ResetState.RUNNING, running.fence_revision, "")
        cancelled = await ledger.save_progress(replace(again, state=ResetState.CANCELLED))
        assert await execute(ledger) == cancelled
        assert await ids(ledger) == []
        with pytest.raises(ResetNotFound):
            await ledger.get_reset("nowhere", "reset-1")

    async def test_keep_vector_removes_facts_only(self, ledger: Ledger) -> None:
        await create(ledger, rich("a"), fact("b"))
        await planned(ledger, ResetTarget(scope=ALICE, keep_vector=True))
        reset = await execute(ledger)
        assert reset.fence_revision == 3
        assert await log(ledger, after=2) == [(3, EventType.UPDATED, "a")]
        memory = await get(ledger, "a")
        assert memory is not None
        assert (memory.entities, memory.relations, memory.text) == ((), (), rich().text)
        assert list(await ledger.removed_memories(NS, "reset-1", after="", limit=5)) == ["a"]
        assert list(await ledger.kept_facts(NS)) == []

    async def test_keep_graph_keeps_relations_until_an_erasure(self, ledger: Ledger) -> None:
        await create(ledger, rich("a"), fact("b"))
        facts = facts_of(replace(rich("a"), revision=1))
        await planned(ledger, ResetTarget(scope=ALICE, keep_graph=True))
        await execute(ledger)
        await finish(ledger)
        assert await ids(ledger) == []
        assert [c.keep_facts for c in await ledger.history(NS, HistoryQuery(after=2), limit=9)] == [True, True, False]
        assert list(await ledger.kept_facts(NS)) == [facts]
        await planned(ledger, ERASE_ALICE, "erase")
        reset = await execute(ledger, "erase")
        (unlinking,) = await ledger.history(NS, HistoryQuery(after=5), limit=9)
        assert (unlinking.type, unlinking.memory_id, unlinking.keep_facts) == (EventType.DELETED, "a", False)
        assert reset.fence_revision == 6
        assert await erase_all(ledger, "erase") == 5
        assert list(await ledger.kept_facts(NS)) == []

    async def test_deleting_with_kept_facts(self, ledger: Ledger) -> None:
        await create(ledger, rich("a"), rich("b"))
        await delete(ledger, "a", keep_facts=True)
        await delete(ledger, "b")
        assert [f.memory_id for f in await ledger.kept_facts(NS)] == ["a"]

    async def test_erasure_leaves_stubs_and_a_chain(self, ledger: Ledger, reopen: Reopen) -> None:
        await create(ledger, fact("a", text="secret one"), fact("bob", scope=BOB, text="likes tea"), key=request())
        await create(ledger, fact("a2"), key=request(request_id="second"))
        await update(ledger, "a", text="secret two")
        await create(ledger, fact("earlier"))
        await delete(ledger, "earlier")
        vector = np.array([0.5, 0.5, 0.5, 0.5], dtype=np.float32)
        secret = fact("a", text="secret one").content_hash
        shared = fact("x", text="likes tea").content_hash
        await ledger.keep_vectors(NS, MODEL, {secret: vector, shared: vector})
        await planned(ledger, ERASE_ALICE)
        await execute(ledger)
        for store in PROJECTIONS:
            await ledger.complete(store, NS, range(1, 9))
        await create(ledger, fact("a", text="a later life"))
        assert await erase_all(ledger) == 7
        assert await ledger.erase(NS, "reset-1", limit=10) == 0
        done = await finish(ledger)
        assert done.receipt is not None
        ledger = await reopen(ledger)
        erased = EventType.ERASED
        stubs = [(1, erased, ""), *((r, erased, "") for r in range(3, 9))]
        expected = [stubs[0], (2, EventType.CREATED, "bob"), *stubs[1:], (9, EventType.CREATED, "a")]
        assert await log(ledger) == [*expected, (10, EventType.RESET, "")]
        assert await log(ledger, scope=BOB) == [(2, EventType.CREATED, "bob")]
        assert await log(ledger, scope=BOB, watch=True) == [stubs[0], (2, EventType.CREATED, "bob"), *stubs[1:]]
        only = frozenset({EventType.DELETED})
        assert await log(ledger, types=only, memory_id="a", watch=True) == stubs
        assert await log(ledger, types=only, memory_id="a") == []
        stub = (await ledger.history(NS, HistoryQuery(), limit=1))[0]
        assert (stub.before, stub.after, stub.reason, stub.origin.request_id) == (None, None, "", "")
        assert await ledger.verify_chain(NS)
        assert list(await ledger.vectors(NS, [secret, shared], MODEL)) == [shared]
        assert await ids(ledger) == ["a", "bob"]
        assert await ledger.watermark(INDEX, NS) == 8
        # Of the first request something is left: a duplicate must not write again. Of the second nothing is.
        again = await create(ledger, fact("a", text="secret one"), fact("bob", scope=BOB), key=request())
        assert again.replayed
        assert [c.memory_id for c in again.changes] == ["bob"]
        assert again.outcome == b""
        assert not (await create(ledger, fact("a3"), key=request(request_id="second"))).replayed
        assert list(await ledger.removed_memories(NS, "reset-1", after="", limit=5)) == []
        assert (await ledger.get_reset(NS, "reset-1")).sample == ()

    async def test_an_erasure_counts_what_it_removed(self, ledger: Ledger, reopen: Reopen) -> None:
        """In the batch's own transaction: whoever goes on after a crash finds the count, and adds to it."""
        await create(ledger, fact("a"), fact("b"), fact("bob", scope=BOB))
        await update(ledger, "a", text="two")
        index = StoreEffect(INDEX, 3, 2)
        await planned(ledger, ERASE_ALICE, effects=(StoreEffect(StoreKind.LEDGER, 6), index))
        await execute(ledger)
        # Three versions and the two events of the removal; Bob's stay.
        for limit, erased, total in ((2, 2, 2), (1, 1, 3), (10, 2, 5), (10, 0, 5)):
            assert await ledger.erase(NS, "reset-1", limit=limit) == erased
            ledger = await reopen(ledger)
            reset = await ledger.get_reset(NS, "reset-1")
            assert reset.effects == (StoreEffect(StoreKind.LEDGER, 6, total), index)
        done = await finish(ledger)
        assert done.effect(StoreKind.LEDGER).removed == 5
        assert await ids(ledger) == ["bob"]

    async def test_erasure_spares_another_life_of_the_id(self, ledger: Ledger) -> None:
        await create(ledger, fact("x", scope=BOB, text="bob's"))
        await delete(ledger, "x")
        await create(ledger, fact("x", text="alice's"))
        await planned(ledger, ERASE_ALICE)
        await execute(ledger)
        assert await erase_all(ledger) == 2
        history = await ledger.history(NS, HistoryQuery(scope=BOB), limit=9)
        assert [(c.revision, c.type) for c in history] == [(1, EventType.CREATED), (2, EventType.DELETED)]

    async def test_erasure_of_a_preserving_target(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("keep", metadata={"pin": 1}))
        pinned = Compare("metadata.pin", Operator.GREATER_OR_EQUAL, 0.5)
        await planned(ledger, replace(ERASE_ALICE, preserve=pinned))
        await execute(ledger)
        assert await erase_all(ledger) == 2
        await finish(ledger)
        assert await ids(ledger, filter=pinned) == ["keep"]
        assert await ledger.hydrate(NS, [1, 2], select()) == {2: await get(ledger, "keep")}
