"""Resets that are cancelled, fail, or are interrupted (semantics 14)."""

from __future__ import annotations

import asyncio

import pytest

from memoir_server.domain.change import EventType
from memoir_server.domain.consistency import FindingKind
from memoir_server.domain.errors import ResetPlanStale, StoreUnavailable
from memoir_server.domain.reset import Reset, ResetState, ResetTarget
from memoir_server.domain.store import StoreKind
from memoir_server.ports.cache import CacheUnavailable
from memoir_server.ports.projection import Remove
from memoir_server.service import clearing
from tests.service.harness import ANA, NS, Memoir, World, calling, knows, until
from tests.service.test_doctor import doctor_of, findings

MEMORIES = 6


async def fill(memoir: Memoir) -> None:
    for i in range(MEMORIES):
        await memoir.create(f"Ana knows tea {i}", memory_id=f"m{i}", **knows("Ana", f"Bo{i}"))
    await memoir.settle()


async def execute(memoir: Memoir, **target: object) -> tuple[Reset, str]:
    """Plans and executes; returns the running reset and its token."""
    plan, token = await memoir.resets.plan(NS, ResetTarget(scope=ANA, **target), calling())  # type: ignore[arg-type]
    return await memoir.resets.execute(NS, plan.reset_id, token, calling(), allow_drift=False), token


async def again(memoir: Memoir, reset: Reset, token: str) -> Reset:
    return await memoir.resets.execute(NS, reset.reset_id, token, calling(), allow_drift=False)


async def clean(memoir: Memoir) -> None:
    """Nothing is left of what `fill` made."""
    ids = [f"m{i}" for i in range(MEMORIES)]
    assert await memoir.listed() == []
    assert await memoir.found("Ana knows tea") == []
    assert await memoir.index.find(NS, ids) == await memoir.graph.find(NS, ids) == []


def failing(memoir: Memoir, store: StoreKind, method: str, times: int = 1) -> None:
    memoir.faults[store].fail(method, times=times)


async def test_a_cancelled_plan_cannot_be_executed(memoir: Memoir) -> None:
    await fill(memoir)
    plan, token = await memoir.resets.plan(NS, ResetTarget(scope=ANA), calling())
    assert (await memoir.resets.cancel(NS, plan.reset_id)).state is ResetState.CANCELLED
    with pytest.raises(ResetPlanStale, match="cancelled"):
        await again(memoir, plan, token)
    assert len(await memoir.listed()) == MEMORIES


@pytest.mark.parametrize("include_history", [False, True])
async def test_cancelling_a_clean_up_stops_it_and_hides_all_the_same(memoir: Memoir, include_history: bool) -> None:
    await fill(memoir)
    held = memoir.index_faults.hold("apply")
    reset, _ = await execute(memoir, include_history=include_history)
    await held.reached.wait()
    cancelled = await memoir.resets.cancel(NS, reset.reset_id)
    assert cancelled.state is ResetState.CANCELLED
    assert await memoir.found("Ana knows tea") == []
    assert await memoir.listed() == []
    assert (await memoir.finished(reset)).state is ResetState.CANCELLED
    held.release()
    await memoir.settle()
    await asyncio.sleep(0.15)
    assert (await memoir.resets.get(NS, reset.reset_id)).state is ResetState.CANCELLED
    types = {e.type for e in await memoir.events()}
    assert types == {EventType.CREATED, EventType.DELETED}, "nothing was erased, and there is no receipt"
    assert (await memoir.resets.get(NS, reset.reset_id)).receipt is None


async def test_cancelling_between_two_batches_of_an_erasure(memoir: Memoir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "BATCH", 2)
    await fill(memoir)
    batches = 0

    async def cancel(*_: object) -> None:
        nonlocal batches
        batches += 1
        if batches == 3:
            await memoir.resets.cancel(NS, reset.reset_id)

    memoir.ledger_faults.on("erase", cancel)
    reset, _ = await execute(memoir, include_history=True)
    assert (await memoir.finished(reset)).state is ResetState.CANCELLED
    await asyncio.sleep(0.1)
    assert batches == 3
    erased = [e for e in await memoir.events() if e.type is EventType.ERASED]
    assert 4 <= len(erased) <= 6


async def test_a_cancel_during_the_probe_holds(memoir: Memoir) -> None:
    await fill(memoir)
    held = memoir.index_faults.hold("find")
    reset, _ = await execute(memoir)
    await held.reached.wait()
    assert (await memoir.resets.cancel(NS, reset.reset_id)).state is ResetState.CANCELLED
    held.release()
    await asyncio.sleep(0.1)
    assert (await memoir.resets.get(NS, reset.reset_id)).state is ResetState.CANCELLED


async def test_cancelling_what_is_over_changes_nothing(memoir: Memoir) -> None:
    await fill(memoir)
    done = await memoir.finished(await memoir.reset())
    assert await memoir.resets.cancel(NS, done.reset_id) == done
    assert done.state is ResetState.SUCCEEDED


STEPS = [
    (StoreKind.LEDGER, "erase"),
    (StoreKind.LEDGER, "removed_versions"),
    (StoreKind.LEDGER, "removed_memories"),
    (StoreKind.LEDGER, "finish_reset"),
    (StoreKind.INDEX, "find"),
    (StoreKind.GRAPH, "find"),
]


async def waiting(memoir: Memoir, reset: Reset, store: StoreKind) -> Reset:
    """The reset, once it says that it waits for the store."""

    async def said() -> bool:
        return (await memoir.resets.get(NS, reset.reset_id)).waiting_for is store

    await until(said)
    return await memoir.resets.get(NS, reset.reset_id)


@pytest.mark.parametrize(("store", "method"), STEPS)
async def test_a_clean_up_that_meets_an_outage_is_tried_again(memoir: Memoir, store: StoreKind, method: str) -> None:
    await fill(memoir)
    failing(memoir, store, method, times=3)
    reset, _ = await execute(memoir, include_history=True)
    steps = [step async for step in memoir.resets.watch(NS, reset.reset_id, after_sequence=0)]
    assert {step.state for step in steps[:-1]} == {ResetState.RUNNING}
    done = steps[-1]
    assert (done.state, done.error, done.waiting_for) == (ResetState.SUCCEEDED, "", None)
    assert done.receipt is not None
    assert (done.receipt.memories, done.receipt.events_erased) == (MEMORIES, 2 * MEMORIES)
    await clean(memoir)


@pytest.mark.parametrize("include_history", [False, True])
@pytest.mark.parametrize("store", [StoreKind.INDEX, StoreKind.GRAPH])
async def test_a_reset_waits_for_a_store_that_its_probe_does_not_reach(
    memoir: Memoir, store: StoreKind, include_history: bool
) -> None:
    await fill(memoir)
    memoir.faults[store].fail("find", times=1_000_000)
    reset, token = await execute(memoir, include_history=include_history)
    told = await waiting(memoir, reset, store)
    assert told.state is ResetState.RUNNING
    assert "switched off by the test" in told.error
    assert told.receipt is None
    assert (await again(memoir, reset, token)).state is ResetState.RUNNING
    await asyncio.sleep(0.2)
    assert (await memoir.resets.get(NS, reset.reset_id)).sequence == told.sequence, "said once"
    memoir.faults[store].up()
    done = await memoir.finished(reset)
    assert (done.state, done.error, done.waiting_for) == (ResetState.SUCCEEDED, "", None)
    assert done.receipt is not None
    assert not any(receipt.remaining for receipt in done.receipt.stores)
    await clean(memoir)


async def test_a_reset_that_waits_can_be_cancelled(memoir: Memoir) -> None:
    await fill(memoir)
    memoir.index_faults.fail("find", times=1_000_000)
    reset, _ = await execute(memoir)
    await waiting(memoir, reset, StoreKind.INDEX)
    cancelled = await memoir.resets.cancel(NS, reset.reset_id)
    assert (cancelled.state, cancelled.error, cancelled.waiting_for) == (ResetState.CANCELLED, "", None)
    memoir.index_faults.up()
    # The attempt that was in hand may still ask.
    await asyncio.sleep(0.3)
    asked = memoir.index_faults.calls["find"]
    await asyncio.sleep(0.3)
    assert memoir.index_faults.calls["find"] == asked, "nobody cleans up any more"
    assert (await memoir.resets.get(NS, reset.reset_id)).state is ResetState.CANCELLED


def broken() -> Exception:
    return ValueError("an answer that makes no sense")


@pytest.mark.parametrize(("store", "method"), STEPS)
async def test_a_clean_up_that_failed_is_executed_again(memoir: Memoir, store: StoreKind, method: str) -> None:
    await fill(memoir)
    memoir.faults[store].fail(method, times=1, error=broken)
    reset, token = await execute(memoir, include_history=True)
    failed = await memoir.finished(reset)
    assert failed.state is ResetState.FAILED
    assert failed.error == str(broken())
    assert failed.receipt is None
    assert await memoir.listed() == []
    retried = await again(memoir, reset, token)
    assert (retried.state, retried.fence_revision) == (ResetState.RUNNING, reset.fence_revision)
    done = await memoir.finished(retried)
    assert (done.state, done.error) == (ResetState.SUCCEEDED, "")
    assert done.receipt is not None
    assert (done.receipt.memories, done.receipt.events_erased) == (MEMORIES, 2 * MEMORIES)
    await clean(memoir)


async def test_whoever_sees_a_failure_can_execute_again_at_once(memoir: Memoir) -> None:
    await fill(memoir)
    memoir.index_faults.fail("find", times=3, error=broken)
    reset, token = await execute(memoir)
    for _ in range(3):
        assert (await memoir.finished(reset)).state is ResetState.FAILED
        reset = await again(memoir, reset, token)
    assert (await memoir.finished(reset)).state is ResetState.SUCCEEDED


async def test_a_failure_that_cannot_be_recorded_is_recorded_later(memoir: Memoir) -> None:
    await fill(memoir)
    memoir.index_faults.fail("find", times=1_000_000, error=broken)

    async def no_more(*_: object) -> None:
        memoir.ledger_faults.down()
        raise broken()

    memoir.index_faults.on("find", no_more)
    reset, _ = await execute(memoir)

    async def down() -> bool:
        return not memoir.ledger_faults.well

    await until(down)
    await asyncio.sleep(0.1)
    memoir.index_faults.fail("find", times=1_000_000, error=broken)
    memoir.ledger_faults.up()
    assert (await memoir.finished(reset)).state is ResetState.FAILED


async def test_the_receipt_of_an_erasure_in_two_attempts_counts_both(
    memoir: Memoir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "BATCH", 4)
    await fill(memoir)
    batches = 0

    async def fail_once(*_: object) -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise StoreUnavailable("ledger", "switched off by the test")

    memoir.ledger_faults.on("erase", fail_once)
    reset, _ = await execute(memoir, include_history=True)
    done = await memoir.finished(reset)
    assert done.receipt is not None
    assert (done.receipt.memories, done.receipt.events_erased) == (MEMORIES, 2 * MEMORIES)
    assert {r.store: r.removed for r in done.receipt.stores}[StoreKind.CACHE] == MEMORIES


async def test_a_cache_that_cannot_purge_delays_the_erasure_until_it_can(memoir: Memoir) -> None:
    await fill(memoir)
    real = memoir.cache.purge

    async def off(keys: object) -> None:
        raise CacheUnavailable("the cache is off")

    memoir.cache.purge = off  # type: ignore[method-assign]
    reset, _ = await execute(memoir, include_history=True)
    told = await waiting(memoir, reset, StoreKind.CACHE)
    assert (told.state, told.error) == (ResetState.RUNNING, "the cache is off")
    assert not [e for e in await memoir.events() if e.type is EventType.ERASED], "nothing is erased before"
    memoir.cache.purge = real  # type: ignore[method-assign]
    assert (await memoir.finished(reset)).state is ResetState.SUCCEEDED


@pytest.mark.parametrize("include_history", [False, True])
@pytest.mark.parametrize("store", [StoreKind.INDEX, StoreKind.GRAPH])
async def test_a_removal_that_a_store_refuses_for_good_needs_a_repair(
    memoir: Memoir, store: StoreKind, include_history: bool
) -> None:
    """Given up, the work passes the fence; the probe finds what is left, so there is no receipt until it is gone."""
    doctor = doctor_of(memoir)
    await fill(memoir)
    memoir.faults[store].refuse(
        "apply", lambda _, actions: any(isinstance(a, Remove) and a.memory_id == "m1" for a in actions)
    )
    reset, token = await execute(memoir, include_history=include_history)

    async def ended() -> bool:
        # Not until the work is counted as given up: an erasure takes that count away again.
        memoir.clock.advance(1)
        return (await memoir.resets.get(NS, reset.reset_id)).state is ResetState.FAILED

    await until(ended)
    for _ in range(2):
        failed = await memoir.finished(reset)
        assert failed.state is ResetState.FAILED
        assert f"the probe after the clean-up still found entries: {store.name.lower()} 1" in failed.error
        reset = await again(memoir, reset, token)
    assert (await memoir.finished(reset)).state is ResetState.FAILED
    assert await memoir.listed() == []
    assert await memoir.found("Ana knows tea") == [], "hidden all the same"
    memoir.faults[store].up()
    [left] = await findings(doctor)
    assert (left.kind, left.store, left.memory_id) == (FindingKind.ORPHANED, store, "m1")
    assert (await doctor.repair(NS, [left.finding_id], calling())).repaired == (left.finding_id,)
    done = await memoir.finished(await again(memoir, reset, token))
    assert (done.state, done.error) == (ResetState.SUCCEEDED, "")
    assert done.receipt is not None
    assert done.receipt.memories == MEMORIES
    assert not any(receipt.remaining for receipt in done.receipt.stores)
    await clean(memoir)
    assert await memoir.ledger.degraded(store, NS) == 0


@pytest.mark.parametrize("store", [StoreKind.INDEX, StoreKind.GRAPH])
async def test_a_store_that_is_down_delays_the_clean_up(memoir: Memoir, store: StoreKind) -> None:
    await fill(memoir)
    memoir.faults[store].down()
    reset, _ = await execute(memoir)
    told = await waiting(memoir, reset, store)
    assert told.state is ResetState.RUNNING
    memoir.faults[store].up()
    done = await memoir.finished(reset)
    assert (done.state, done.error, done.waiting_for) == (ResetState.SUCCEEDED, "", None)
    await clean(memoir)


async def test_a_cancel_gets_through_while_a_store_is_down(memoir: Memoir) -> None:
    await fill(memoir)
    memoir.index_faults.down()
    reset, _ = await execute(memoir)
    await memoir.open_breaker(StoreKind.INDEX)
    assert (await memoir.resets.cancel(NS, reset.reset_id)).state is ResetState.CANCELLED
    memoir.index_faults.up()
    await memoir.settle()
    await asyncio.sleep(0.1)
    assert (await memoir.resets.get(NS, reset.reset_id)).state is ResetState.CANCELLED


@pytest.mark.parametrize(
    ("store", "method"),
    [
        (StoreKind.INDEX, "apply"),
        (StoreKind.GRAPH, "apply"),
        (StoreKind.LEDGER, "removed_versions"),
        (StoreKind.LEDGER, "erase"),
        (StoreKind.INDEX, "find"),
        (StoreKind.LEDGER, "finish_reset"),
    ],
)
async def test_a_reset_in_the_middle_is_taken_up_at_the_next_start(world: World, store: StoreKind, method: str) -> None:
    async with world.running() as memoir:
        await fill(memoir)
        held = memoir.faults[store].hold(method)
        reset, token = await execute(memoir, include_history=True)
        await held.reached.wait()
    async with world.running() as memoir:
        done = await memoir.finished(reset)
        assert done.state is ResetState.SUCCEEDED
        assert done.receipt is not None
        assert (done.receipt.memories, done.receipt.events_erased) == (MEMORIES, 2 * MEMORIES)
        await clean(memoir)
        assert [e.type for e in await memoir.events()].count(EventType.RESET) == 1
        assert await again(memoir, reset, token) == done
        assert await memoir.ledger.verify_chain(NS)


async def test_a_stopped_service_leaves_the_reset_running_not_failed(world: World) -> None:
    async with world.running() as memoir:
        await fill(memoir)
        held = memoir.index_faults.hold("apply")
        reset, _ = await execute(memoir)
        await held.reached.wait()
        await memoir.resets.stop()
        assert (await memoir.resets.get(NS, reset.reset_id)).state is ResetState.RUNNING


async def test_a_reset_survives_the_loss_of_a_projection(world: World) -> None:
    async with world.running() as memoir:
        await fill(memoir)
        held = memoir.index_faults.hold("apply")
        reset, _ = await execute(memoir)
        await held.reached.wait()
    for path in world.directory.glob("index*"):
        path.unlink()
    async with world.running() as memoir:
        assert (await memoir.finished(reset)).state is ResetState.SUCCEEDED
        await clean(memoir)
