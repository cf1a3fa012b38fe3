"""What every ledger must tell the doctor: what projections should hold, and how single changes are applied again."""

from __future__ import annotations

from collections.abc import Sequence

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
    delete,
    due,
    erase_all,
    execute,
    fact,
    finish,
    planned,
    rich,
    update,
)
from memoir_server.domain.consistency import Portion, Version
from memoir_server.domain.graph import facts_of
from memoir_server.domain.memory import NEVER, Scope
from memoir_server.domain.reset import ResetTarget
from memoir_server.domain.store import StoreKind
from memoir_server.ports.ledger import Ledger

INDEX, GRAPH = StoreKind.INDEX, StoreKind.GRAPH


async def wanted(ledger: Ledger, limit: int = 100, **portion: object) -> list[Version]:
    """Every version of a portion, page by page."""
    found: list[Version] = []
    while True:
        after = found[-1].revision if found else 0
        page: Sequence[Version] = await ledger.versions(NS, Portion(**portion), after=after, limit=limit)  # type: ignore[arg-type]
        found.extend(page)
        if len(page) < limit:
            return found


class DoctorSuite(LedgerFixtures):
    """What projections should hold."""

    async def test_every_version_of_what_exists_is_wanted(self, ledger: Ledger) -> None:
        assert await wanted(ledger) == []
        await create(ledger, fact("a"), fact("b", scope=BOB), rich("c"))
        await update(ledger, "a", text="two")
        await update(ledger, "c", text="moved on")
        await create(ledger, fact("gone"))
        await delete(ledger, "gone")
        found = await wanted(ledger)
        for limit in (1, 2, 100):
            assert await wanted(ledger, limit) == found
            assert [(v.memory_id, v.revision, v.retired) for v in found] == [
                ("a", 1, 4),
                ("b", 2, NEVER),
                ("c", 3, 5),
                ("a", 4, NEVER),
                ("c", 5, NEVER),
            ]
        texts = [v.memory.text for v in found if v.memory is not None]
        assert texts == ["likes tea", "likes tea", rich().text, "two", "moved on"]
        assert [v.facts is not None for v in found] == [False, False, True, False, True]
        assert found[2].memory is not None
        assert found[2].facts == facts_of(found[2].memory)

    async def test_portions(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("b", scope=BOB), fact("c", scope=Scope("alice", "guide")))
        await update(ledger, "a", text="two")
        assert [v.revision for v in await wanted(ledger, scope=ALICE)] == [1, 3, 4]
        assert [v.revision for v in await wanted(ledger, scope=Scope(agent_id="guide"))] == [3]
        assert [v.revision for v in await wanted(ledger, until=3)] == [1, 2, 3]
        assert [v.revision for v in await wanted(ledger, memory_ids=["a", "nobody"])] == [1, 4]
        assert [v.revision for v in await wanted(ledger, memory_ids=["a", "b"], until=2)] == [1, 2]
        assert [v.revision for v in await wanted(ledger, memory_ids=[])] == []
        assert [v.revision for v in await wanted(ledger, revisions=[4, 2, 99, NEVER])] == [2, 4]
        assert list(await ledger.versions("nowhere", Portion(), after=0, limit=9)) == []

    async def test_expired_memories_are_wanted_until_their_event(self, ledger: Ledger) -> None:
        await create(ledger, fact("a", expire_time=NOW + SECOND))
        assert [v.memory_id for v in await wanted(ledger)] == ["a"]
        await create(ledger, fact("a", text="again"), now=NOW + 2 * SECOND)
        assert [(v.memory_id, v.revision) for v in await wanted(ledger)] == [("a", 3)]

    async def test_kept_facts_are_wanted_until_an_erasure_takes_them(self, ledger: Ledger) -> None:
        await create(ledger, rich("a"), rich("b", scope=BOB), fact("plain"))
        await planned(ledger, ResetTarget(scope=ALICE, keep_graph=True))
        await execute(ledger)
        await finish(ledger)
        facts = facts_of(rich("a"))
        for limit in (1, 9):
            kept, live = await wanted(ledger, limit)
            assert (kept.memory_id, kept.revision, kept.retired, kept.memory) == ("a", 1, 4, None)
            assert kept.facts is not None
            assert kept.facts.relations == facts.relations
            assert (live.memory_id, live.retired) == ("b", NEVER)
        assert [v.memory_id for v in await wanted(ledger, scope=BOB)] == ["b"]
        assert [v.memory_id for v in await wanted(ledger, scope=ALICE)] == ["a"]
        assert [v.memory_id for v in await wanted(ledger, revisions=[1])] == ["a"]
        await planned(ledger, ResetTarget(scope=ALICE, include_history=True), "erase")
        await execute(ledger, "erase")
        assert [v.memory_id for v in await wanted(ledger)] == ["b"]
        await erase_all(ledger, "erase")
        assert [v.memory_id for v in await wanted(ledger)] == ["b"]

    async def test_facts_that_a_reset_took_are_not_wanted(self, ledger: Ledger) -> None:
        await create(ledger, rich("a"), rich("b", scope=BOB))
        await update(ledger, "a", text="two")
        await planned(ledger, ResetTarget(scope=ALICE, keep_vector=True))
        await execute(ledger)
        found = await wanted(ledger, memory_ids=["a"])
        assert [(v.revision, v.facts_removed, v.facts) for v in found] == [(1, 4, None), (3, 4, None), (4, 0, None)]
        assert all(v.memory is not None for v in found)
        await update(ledger, "a", entities=rich().entities)
        assert [v.facts is None for v in await wanted(ledger, memory_ids=["a"])] == [True, True, True, False]
        # Whoever takes facts away himself replaces a version; the earlier one is still seen as of its time.
        await update(ledger, "b", entities=(), relations=())
        assert [v.facts is None for v in await wanted(ledger, memory_ids=["b"])] == [False, True]

    async def test_counting_and_sampling(self, ledger: Ledger) -> None:
        assert (await ledger.count_memories(NS, Scope()), list(await ledger.sample_memories(NS, Scope(), limit=9))) == (
            0,
            [],
        )
        await create(ledger, *(fact(f"m{i}") for i in range(20)), fact("b", scope=BOB))
        await update(ledger, "m0", text="two")
        await delete(ledger, "m1")
        assert await ledger.count_memories(NS, Scope()) == 20
        assert await ledger.count_memories(NS, BOB) == 1
        assert list(await ledger.sample_memories(NS, BOB, limit=9)) == ["b"]
        everyone = await ledger.sample_memories(NS, ALICE, limit=100)
        assert sorted(everyone) == sorted(f"m{i}" for i in range(20))
        draws = [tuple(await ledger.sample_memories(NS, ALICE, limit=5)) for _ in range(10)]
        assert all(len(set(draw)) == 5 for draw in draws)
        assert len(set(draws)) > 1

    async def test_single_changes_are_applied_again(self, ledger: Ledger, reopen: Reopen) -> None:
        await create(ledger, *(fact(f"m{i}") for i in range(5)))
        await ledger.complete(INDEX, NS, range(1, 6))
        await ledger.append_failure(NS, "m0", "x", now=NOW, origin=ORIGIN)
        await ledger.requeue_changes(INDEX, NS, [4, 2, 6, 99])
        assert await ledger.requeued(INDEX, NS) == {2, 4}
        assert await ledger.requeued(GRAPH, NS) == frozenset()
        assert await ledger.watermark(INDEX, NS) == 6
        assert await due(ledger) == [2, 4]
        ledger = await reopen(ledger)
        assert {2, 4} <= set(await due(ledger))
        await ledger.complete(INDEX, NS, await due(ledger))
        assert await ledger.requeued(INDEX, NS) == frozenset()
        assert await due(ledger) == []
        await ledger.requeue_changes(INDEX, "nowhere", [1])
        assert await ledger.requeued(INDEX, "nowhere") == frozenset()

    async def test_changes_given_up_are_tried_again(self, ledger: Ledger, reopen: Reopen) -> None:
        await create(ledger, fact("a"), fact("b"))
        await ledger.give_up(INDEX, NS, 1, error="bad")
        await ledger.complete(INDEX, NS, [2])
        await ledger.requeue_changes(INDEX, NS, [1])
        assert (await ledger.degraded(INDEX, NS), await due(ledger)) == (0, [1])
        await ledger.postpone(INDEX, NS, [1], until=NOW + SECOND, error="still bad")
        assert await due(ledger) == []
        assert await due(ledger, now=NOW + SECOND) == [1]
        await ledger.give_up(INDEX, NS, 1, error="bad")
        assert (await ledger.degraded(INDEX, NS), await ledger.requeued(INDEX, NS)) == (1, frozenset())
        await create(ledger, fact("c"))
        ledger = await reopen(ledger)
        assert await ledger.degraded(INDEX, NS) == 1
        await ledger.requeue_changes(INDEX, NS, [1])
        ledger = await reopen(ledger)
        assert (await ledger.degraded(INDEX, NS), 1 in await due(ledger)) == (0, True)

    async def test_work_that_waits_its_turn_is_due_once(self, ledger: Ledger) -> None:
        await create(ledger, *(fact(f"m{i}") for i in range(4)))
        await ledger.complete(INDEX, NS, [3])
        await ledger.requeue_changes(INDEX, NS, [2, 3])
        assert await due(ledger) == [1, 2, 3, 4]
        await ledger.complete(INDEX, NS, [1, 2])
        assert await ledger.watermark(INDEX, NS) == 2
        await ledger.complete(INDEX, NS, [3, 4])
        assert await ledger.watermark(INDEX, NS) == 4

    async def test_the_size_of_a_replay_and_what_is_left_of_it(self, ledger: Ledger) -> None:
        assert await ledger.replay_size(INDEX, "nowhere") == 0
        assert await ledger.backlog(INDEX, "nowhere", until=9) == 0
        await create(ledger, fact("a"), fact("b"))
        await delete(ledger, "b")
        await ledger.append_failure(NS, "a", "x", now=NOW, origin=ORIGIN)
        await ledger.complete(INDEX, NS, [1, 2, 3])
        assert await ledger.backlog(INDEX, NS, until=4) == 0
        assert await ledger.replay_size(INDEX, NS) == await ledger.requeue(INDEX, NS, after=0) == 2
        assert await ledger.backlog(INDEX, NS, until=4) == 2
        await ledger.complete(INDEX, NS, [3])
        assert await ledger.backlog(INDEX, NS, until=4) == 1
        await create(ledger, fact("c"))
        assert [await ledger.backlog(INDEX, NS, until=u) for u in (4, 5)] == [1, 2]
        await ledger.give_up(INDEX, NS, 1, error="bad")
        assert await ledger.backlog(INDEX, NS, until=4) == 0
