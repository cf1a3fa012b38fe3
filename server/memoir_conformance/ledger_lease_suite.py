"""What every ledger must do for the servers that use it: claims and leases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from memoir_conformance.ledger_model import (
    ALICE,
    MODEL,
    NOW,
    NS,
    SECOND,
    LedgerFixtures,
    create,
    due,
    execute,
    fact,
    planned,
)
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.reset import ResetState, ResetTarget
from memoir_server.domain.store import StoreKind
from memoir_server.ports.ledger import Claim, Lease, LeaseLost, Ledger

INDEX, GRAPH = StoreKind.INDEX, StoreKind.GRAPH


async def claim(ledger: Ledger, store: StoreKind = INDEX, *, limit: int = 100, now: int = NOW) -> dict[str, Claim]:
    """Claims with work, by namespace."""
    claims = (await ledger.claim(store, limit=limit, now=now)).claims
    return {str(each.lease.namespace): each for each in claims if each.work}


async def done(ledger: Ledger, claimed: Claim) -> None:
    """Completes what was claimed."""
    lease = claimed.lease
    assert lease.namespace is not None
    revisions = [work.change.revision for work in claimed.work]
    await ledger.complete(lease.store, lease.namespace, revisions, lease=lease)


async def wait_until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """The first true answer."""
    async with asyncio.timeout(20):
        while not (found := await condition()):  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(0.02)
    return found


class LeaseSuite(LedgerFixtures):
    """Claims of a server that is alone."""

    async def test_a_claim_is_due_work_and_the_right_to_do_it(self, ledger: Ledger) -> None:
        assert await ledger.renew(MODEL) > 0
        assert await claim(ledger) == {}
        await create(ledger, fact("a"), fact("b"), fact("c"))
        first = (await claim(ledger, limit=2))[NS]
        assert list(first.work) == (await ledger.pending(INDEX, limit=2, now=NOW))[NS]
        assert (first.lease.store, first.lease.namespace, first.applied) == (INDEX, NS, 0)
        await done(ledger, first)
        rest = (await claim(ledger))[NS]
        assert (rest.applied, [w.change.revision for w in rest.work]) == (2, [3])
        await done(ledger, rest)
        assert await claim(ledger) == {}
        assert [w.change.revision for w in (await claim(ledger, GRAPH))[NS].work] == [1, 2, 3]

    async def test_limits_hold_over_all_claims(self, ledger: Ledger) -> None:
        await ledger.renew(MODEL)
        for namespace in ("one", "two", "three", "four", "five", "six"):
            await create(ledger, *(replace(fact(f"m{i}"), namespace=namespace) for i in range(20)))
        seen: set[tuple[str, int]] = set()
        while claims := await claim(ledger, limit=30):
            assert sum(len(each.work) for each in claims.values()) <= 30
            for namespace, each in claims.items():
                seen.update((namespace, work.change.revision) for work in each.work)
                await done(ledger, each)
        assert len(seen) == 120

    async def test_work_is_postponed_and_given_up_under_a_lease(self, ledger: Ledger) -> None:
        await ledger.renew(MODEL)
        await create(ledger, fact("a"), fact("b"))
        lease = (await claim(ledger))[NS].lease
        await ledger.postpone(INDEX, NS, [1], until=NOW + SECOND, error="refused", lease=lease)
        await ledger.complete(INDEX, NS, [2], lease=lease)
        assert await claim(ledger) == {}
        later = (await claim(ledger, now=NOW + SECOND))[NS]
        assert [(w.change.revision, w.attempts) for w in later.work] == [(1, 1)]
        await ledger.give_up(INDEX, NS, 1, error="bad", lease=later.lease)
        assert (await ledger.degraded(INDEX, NS), await ledger.watermark(INDEX, NS)) == (1, 2)

    async def test_holding_what_is_free(self, ledger: Ledger) -> None:
        await ledger.renew(MODEL)
        await create(ledger, fact("a"))
        for namespace in (NS, None, "nowhere"):
            lease = await ledger.hold(INDEX, namespace)
            assert lease is not None
            assert (lease.store, lease.namespace) == (INDEX, namespace)
            assert await ledger.hold(INDEX, namespace) is not None, "it is this server's own"
            await ledger.release([lease])
            await ledger.release([lease])
        await ledger.release([Lease(INDEX, NS, 99), Lease(INDEX, None, 99)])
        await ledger.resign()
        await ledger.renew(MODEL)
        assert NS in await claim(ledger)

    async def test_how_far_projections_are_behind(self, ledger: Ledger) -> None:
        assert await ledger.behind(INDEX) == 0
        await create(ledger, fact("a"), fact("b"))
        await create(ledger, replace(fact("a"), namespace="other"))
        await ledger.complete(INDEX, NS, [1])
        assert (await ledger.behind(INDEX), await ledger.behind(GRAPH)) == (2, 3)

    async def test_news_since_a_claim_ends_the_wait_for_work(self, ledger: Ledger) -> None:
        await ledger.renew(MODEL)
        seen = (await ledger.claim(INDEX, limit=1, now=NOW)).seen
        await create(ledger, fact("a"))
        async with asyncio.timeout(5):
            await ledger.wait_for_work(60.0, seen=seen)

    async def test_a_running_reset_is_claimed(self, ledger: Ledger) -> None:
        await ledger.renew(MODEL)
        await create(ledger, fact("a"))
        await planned(ledger, ResetTarget(scope=ALICE))
        assert not await ledger.claim_reset(NS, "reset-1"), "it does not run"
        running = await execute(ledger)
        assert await ledger.claim_reset(NS, "reset-1")
        assert await ledger.claim_reset(NS, "reset-1"), "it is this server's own"
        await ledger.save_progress(replace(running, state=ResetState.CANCELLED))
        assert not await ledger.claim_reset(NS, "reset-1")


class SharingSuite:
    """Claims of servers that share a ledger. The fixture `pair` gives two of one ledger; leases last a second."""

    @pytest.fixture
    async def pair(self) -> tuple[Ledger, Ledger]:
        raise NotImplementedError("the adapter's module says how two servers open one ledger")

    async def test_a_namespace_has_one_holder(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        async with living(a, b):
            await create(a, fact("a"))
            first = (await claim(a))[NS]
            assert await claim(b) == {}
            assert NS in await wait_until(lambda: claim(b, GRAPH)), "the graph is another matter"
            again = (await claim(a))[NS]
            assert again.lease == first.lease, "it stays its holder's while there is work"
            await done(a, again)
            assert await claim(a) == {}
            await create(a, fact("b"))
            taken = (await wait_until(lambda: claim(b)))[NS]
            assert taken.lease.token != first.lease.token
            assert (taken.applied, [w.change.revision for w in taken.work]) == (1, [2])

    async def test_namespaces_are_shared_out(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        names = {f"n{i}" for i in range(6)}
        async with living(a, b):
            for namespace in names:
                await create(a, replace(fact("a"), namespace=namespace))
            of_a, of_b = await claim(a), await wait_until(lambda: claim(b))
            assert of_a
            assert not of_a.keys() & of_b.keys()
            assert of_a.keys() | of_b.keys() <= names

    async def test_what_a_dead_server_held_is_taken_over_and_its_late_word_is_refused(
        self, pair: tuple[Ledger, Ledger]
    ) -> None:
        a, b = pair
        await a.renew(MODEL)
        await create(a, fact("a"), fact("b"))
        late = (await claim(a))[NS]
        async with living(b):
            taken = (await wait_until(lambda: claim(b)))[NS]
            assert taken.lease.token != late.lease.token
            with pytest.raises(LeaseLost):
                await done(a, late)
            with pytest.raises(LeaseLost):
                await a.give_up(INDEX, NS, 1, error="bad", lease=late.lease)
            with pytest.raises(LeaseLost):
                await a.postpone(INDEX, NS, [1], until=NOW + SECOND, error="bad", lease=late.lease)
            assert await b.watermark(INDEX, NS) == 0
            assert await due(b) == [1, 2]
            await a.renew(MODEL)
            assert await claim(a) == {}, "it lives again, and has nothing"
            await a.release([late.lease])
            await done(b, taken)
            assert await b.watermark(INDEX, NS) == 2

    async def test_a_lease_that_ran_out_and_was_not_taken_is_still_good(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        await a.renew(MODEL)
        await create(a, fact("a"))
        late = (await claim(a))[NS]
        async with living(b):
            # The end of a's lease, seen from outside: a lease of the graph that b may take.
            await claim(a, GRAPH)
            await wait_until(lambda: claim(b, GRAPH))
            await done(a, late)
        assert await a.watermark(INDEX, NS) == 1

    async def test_whoever_waits_is_served_next(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        async with living(a, b):
            await create(a, fact("a"), fact("b"))
            busy = (await claim(a, limit=1))[NS]
            assert await b.hold(INDEX, NS) is None
            await done(a, busy)
            assert await claim(a) == {}, "b waits for it"
            lease = await b.hold(INDEX, NS)
            assert lease is not None
            assert await a.hold(INDEX, NS) is None
            assert await claim(a) == {}
            await b.release([lease])
            assert NS in await wait_until(lambda: claim(a))

    async def test_a_whole_projection_is_held_by_one(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        async with living(a, b):
            await create(a, fact("a"))
            busy = (await claim(a))[NS]
            assert await b.hold(INDEX, None) is None
            assert await claim(a) == {}, "b waits for all of it"
            whole = await b.hold(INDEX, None)
            assert whole is not None
            with pytest.raises(LeaseLost):
                await done(a, busy)
            assert await a.hold(INDEX, None) is None
            assert await a.hold(INDEX, NS) is None
            assert await claim(a) == {}
            assert NS in await claim(a, GRAPH)
            await b.release([whole])
            assert NS in await wait_until(lambda: claim(a))

    async def test_a_hold_whose_release_was_lost_ends_with_the_next_claim(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        async with living(a, b):
            await create(a, fact("a"))
            assert await a.hold(INDEX, None) is not None
            assert await b.hold(INDEX, None) is None
            await done(a, (await wait_until(lambda: claim(a)))[NS])
            await wait_until(lambda: b.hold(INDEX, None))

    async def test_a_whole_projection_is_taken_from_the_dead(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        await a.renew(MODEL)
        await create(a, fact("a"))
        late = (await claim(a))[NS]
        assert await a.hold(GRAPH, None) is not None
        async with living(b):
            for store in (INDEX, GRAPH):
                whole = await wait_until(lambda store=store: b.hold(store, None))  # type: ignore[misc]  # bound now
                await b.release([whole])
            with pytest.raises(LeaseLost):
                await done(a, late)

    async def test_a_lease_lingers(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        async with living(a, b):
            await create(a, fact("a"))
            lease = (await claim(a))[NS].lease
            await a.release([lease], linger=3600.0)
            assert await claim(b) == {}
            held = await a.hold(INDEX, NS)
            assert held is not None, "the lingering holder may go on at any time"
            assert await b.hold(INDEX, NS) is None
            await a.release([held], linger=0.2)
            assert NS in await wait_until(lambda: claim(b))

    async def test_who_resigns_leaves_nothing_behind(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        async with living(b):
            await a.renew(EmbeddingModel("another", "1", 4))
            assert await b.others_with_another_model(MODEL) == 1
            assert await a.others_with_another_model(MODEL) == 0, "it is no other to itself, and b has this one"
            await create(a, fact("a"))
            await claim(a)
            assert await a.hold(GRAPH, None) is not None
            await a.resign()
            for store in (INDEX, GRAPH):
                assert NS in await wait_until(lambda store=store: claim(b, store))  # type: ignore[misc]  # bound now
            assert await b.others_with_another_model(MODEL) == 0

    async def test_servers_with_another_model_count_while_they_live(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        await a.renew(EmbeddingModel("another", "1", 4))

        async def forgotten() -> bool:
            return await b.others_with_another_model(MODEL) == 0

        assert not await forgotten()
        await wait_until(forgotten)

    async def test_a_reset_has_one_server(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        await a.renew(MODEL)
        await create(a, fact("a"))
        await planned(a, ResetTarget(scope=ALICE))
        running = await execute(a)
        assert await a.claim_reset(NS, "reset-1")
        async with living(b):
            assert not await b.claim_reset(NS, "reset-1")
            await wait_until(lambda: b.claim_reset(NS, "reset-1"))
            await a.renew(MODEL)
            assert not await a.claim_reset(NS, "reset-1")
            failed = await b.save_progress(replace(running, state=ResetState.FAILED, error="disk"))
            assert (await execute(a)).state is ResetState.RUNNING
            assert await a.claim_reset(NS, failed.reset_id), "one that failed is nobody's"

    async def test_a_reset_that_is_given_up_is_anybodys(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        async with living(a, b):
            await create(a, fact("a"))
            await planned(a, ResetTarget(scope=ALICE))
            await execute(a)
            assert await a.claim_reset(NS, "reset-1")
            await b.release_reset(NS, "reset-1")
            assert not await b.claim_reset(NS, "reset-1"), "only its own"
            await a.release_reset(NS, "reset-1")
            assert await b.claim_reset(NS, "reset-1")
            assert not await a.claim_reset(NS, "reset-1")

    async def test_who_has_not_forgotten_what_is_erased(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        async with living(a, b):
            await create(a, fact("a"))
            await planned(a, ResetTarget(scope=ALICE, include_history=True))
            await execute(a)
            assert await a.not_forgotten(NS, "reset-1") == await b.not_forgotten(NS, "reset-1") == 1
            for _ in range(2):
                await b.say_forgotten(NS, "reset-1")
            assert await a.not_forgotten(NS, "reset-1") == 0
            assert await b.not_forgotten(NS, "reset-1") == 1

    async def test_a_server_that_is_not_heard_of_is_not_waited_for(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        await b.renew(MODEL)
        async with living(a):
            await create(a, fact("a"))
            await planned(a, ResetTarget(scope=ALICE, include_history=True))
            await execute(a)

            async def alone() -> bool:
                return await a.not_forgotten(NS, "reset-1") == 0

            assert not await alone()
            await wait_until(alone)

    async def test_what_is_to_be_done_again_wakes_other_servers(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        await create(a, fact("a"))
        await a.complete(INDEX, NS, [1])
        seen = (await b.claim(INDEX, limit=1, now=NOW)).seen
        waiting = asyncio.create_task(b.wait_for_work(60.0, seen=seen))
        await a.requeue(INDEX, NS, after=0)
        async with asyncio.timeout(10):
            await waiting

    async def test_a_server_finds_what_others_leave_undone(self, pair: tuple[Ledger, Ledger]) -> None:
        a, b = pair
        async with living(a, b):
            assert await claim(b) == {}
            await create(a, fact("a"))
            taken = (await wait_until(lambda: claim(b)))[NS]
            await create(a, fact("b"))
            await done(b, taken)
            assert [w.change.revision for w in (await wait_until(lambda: claim(b)))[NS].work] == [2]


@asynccontextmanager
async def living(*ledgers: Ledger):  # type: ignore[no-untyped-def]  # a context manager of nothing
    """The servers are heard of all the time."""

    async def renew(ledger: Ledger) -> None:
        while True:
            await ledger.renew(MODEL)
            await asyncio.sleep(0.1)

    for ledger in ledgers:
        await ledger.renew(MODEL)
    tasks = [asyncio.create_task(renew(ledger)) for ledger in ledgers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
