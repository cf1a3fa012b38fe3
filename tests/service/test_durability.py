"""A write is as durable as it says, and never fails for a projection's sake (semantics 3 and 4)."""

from __future__ import annotations

import asyncio

import pytest

from memoir_server.domain.conversation import NewMemory
from memoir_server.domain.errors import FreshnessTimeout, StoreUnavailable
from memoir_server.domain.store import BreakerState, Durability, StoreKind
from memoir_server.service.call import Call
from memoir_server.service.remembering import Written
from tests.service.harness import ANA, NS, Memoir, calling, knows, until


async def write(memoir: Memoir, call: Call, text: str = "Ana likes tea") -> Written:
    return await memoir.remembering.create(NS, NewMemory(text=text, scope=ANA, **knows("Ana", "Bo")), call)


async def timed(memoir: Memoir, call: Call, text: str = "Ana likes tea") -> tuple[Written, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    return await write(memoir, call, text), loop.time() - began


async def test_indexed_means_that_both_projections_have_it(memoir: Memoir) -> None:
    written = await write(memoir, calling())
    assert written.durability is Durability.INDEXED
    assert await memoir.index.count(NS, ANA) == 1
    assert await memoir.graph.count(NS, ANA) > 0
    for store in (StoreKind.INDEX, StoreKind.GRAPH):
        assert await memoir.ledger.watermark(store, NS) == written.revision


async def test_accepted_is_all_that_was_asked_for(memoir: Memoir) -> None:
    held = memoir.index_faults.hold("apply")
    written, seconds = await timed(memoir, calling(durability=Durability.ACCEPTED))
    assert written.durability is Durability.ACCEPTED
    assert seconds < 0.2
    held.release()
    await memoir.settle()


@pytest.mark.parametrize("store", [StoreKind.INDEX, StoreKind.GRAPH, StoreKind.EMBEDDER])
async def test_an_outage_costs_durability_and_nothing_else(memoir: Memoir, store: StoreKind) -> None:
    behind = StoreKind.INDEX if store is StoreKind.EMBEDDER else store
    memoir.faults[store].down()
    assert (await write(memoir, calling(durability=Durability.ACCEPTED))).revision == 1
    await memoir.open_breaker(behind)
    written, seconds = await timed(memoir, calling(), "Ana likes coffee")
    assert written.durability is Durability.ACCEPTED
    assert seconds < 0.2, "with an open breaker there is nothing to wait for"
    assert len(await memoir.listed()) == 2
    memoir.faults[store].up()
    await memoir.settle()
    assert await memoir.index.count(NS, ANA) == 2
    # A duplicate asked for after the outage is as durable as everything else.
    assert (await write(memoir, calling())).durability is Durability.INDEXED
    assert memoir.projector.breaker(behind).state is BreakerState.CLOSED


@pytest.mark.parametrize("broken", [StoreKind.INDEX, StoreKind.GRAPH])
async def test_an_open_breaker_ends_the_wait_though_the_other_store_is_slow(memoir: Memoir, broken: StoreKind) -> None:
    slow = StoreKind.GRAPH if broken is StoreKind.INDEX else StoreKind.INDEX
    memoir.faults[broken].down()
    await write(memoir, calling(durability=Durability.ACCEPTED))
    await memoir.open_breaker(broken)
    held = memoir.faults[slow].hold("apply")
    written, seconds = await timed(memoir, calling())
    assert written.durability is Durability.ACCEPTED
    assert seconds < 0.3
    held.release()


async def test_a_slow_store_is_waited_for_until_200_ms_before_the_deadline(memoir: Memoir) -> None:
    held = memoir.index_faults.hold("apply")
    written, seconds = await timed(memoir, calling(0.6))
    assert written.durability is Durability.ACCEPTED
    assert 0.35 < seconds < 0.55
    held.release()
    await memoir.settle()
    assert await memoir.found("tea") == [written.changes[0].memory_id]


async def test_no_wait_is_longer_than_two_seconds_for_both_stores_together(memoir: Memoir) -> None:
    memoir.index_faults.delay("apply", 1.2)
    held = memoir.graph_faults.hold("apply")
    written, seconds = await timed(memoir, calling(30.0))
    assert written.durability is Durability.ACCEPTED
    assert 1.9 < seconds < 2.4
    held.release()


async def test_a_deadline_that_is_past_does_not_undo_the_write(memoir: Memoir) -> None:
    held = memoir.index_faults.hold("apply")
    written, seconds = await timed(memoir, calling(0.0))
    assert written.durability is Durability.ACCEPTED
    assert seconds < 0.2
    assert len(await memoir.listed()) == 1
    held.release()


async def test_a_ledger_that_goes_silent_after_the_commit_does_not_fail_the_write(memoir: Memoir) -> None:
    memoir.ledger_faults.fail("watermark", times=50)
    written = await write(memoir, calling())
    assert written.durability is Durability.ACCEPTED
    memoir.ledger_faults.up()
    assert len(await memoir.listed()) == 1


async def test_an_embedder_outage_keeps_the_graph_on_time(memoir: Memoir) -> None:
    memoir.embedder_faults.down()
    written = await write(memoir, calling(0.5))
    assert written.durability is Durability.ACCEPTED
    assert await memoir.ledger.watermark(StoreKind.GRAPH, NS) == written.revision
    assert await memoir.ledger.watermark(StoreKind.INDEX, NS) == 0
    assert await memoir.graph.count(NS, ANA) > 0


async def test_everything_written_during_an_outage_is_applied_after_it(memoir: Memoir) -> None:
    memoir.index_faults.down()
    memoir.graph_faults.down()
    ids = [(await write(memoir, calling(0.3), f"fact number {i} about tea")).changes[0].memory_id for i in range(20)]
    await memoir.update(ids[0], text="fact number 0 about coffee")
    await memoir.delete(ids[1])
    memoir.index_faults.up()
    memoir.graph_faults.up()
    await memoir.settle()
    held = {memory_id for memory_id, _ in await memoir.index.find(NS, ids)}
    assert held == set(ids) - {ids[1]}
    assert sorted(await memoir.found("fact about tea", limit=100)) == sorted(set(ids) - {ids[1]})
    assert (await memoir.found("coffee"))[0] == ids[0]


async def test_a_store_that_fails_in_the_middle_repeats_its_batch(memoir: Memoir) -> None:
    memoir.ledger_faults.fail("complete", times=2)
    written = await write(memoir, calling())
    assert written.durability is Durability.INDEXED
    assert await memoir.index.count(NS, ANA) == 1
    assert memoir.index_faults.calls["apply"] + memoir.graph_faults.calls["apply"] == 4


async def test_a_read_waits_for_its_revision(memoir: Memoir) -> None:
    held = memoir.index_faults.hold("apply")
    written = await write(memoir, calling(durability=Durability.ACCEPTED))
    reading = asyncio.ensure_future(memoir.search("tea", min_revision=written.revision))
    await held.reached.wait()
    await asyncio.sleep(0.05)
    assert not reading.done()
    held.release()
    assert len((await reading).hits) == 1


async def test_a_read_that_waits_in_vain_says_how_far_the_store_is(memoir: Memoir) -> None:
    held = memoir.graph_faults.hold("apply")
    written = await write(memoir, calling(durability=Durability.ACCEPTED))
    with pytest.raises(FreshnessTimeout) as caught:
        await memoir.search("tea", min_revision=written.revision, call=calling(0.4))
    assert (caught.value.store, caught.value.min_revision, caught.value.applied_revision) == ("graph", 1, 0)
    # The keyword recipe does not read the graph, so the graph does not hold it up.
    assert len((await memoir.search("tea", min_revision=written.revision, graph_depth=0)).hits) == 1
    held.release()


async def test_a_read_of_a_revision_fails_at_once_while_the_breaker_is_open(memoir: Memoir) -> None:
    memoir.index_faults.down()
    written = await write(memoir, calling(durability=Durability.ACCEPTED))
    await memoir.open_breaker(StoreKind.INDEX)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(StoreUnavailable) as caught:
        await memoir.search("tea", min_revision=written.revision)
    assert loop.time() - began < 0.2
    assert caught.value.store == "index"
    # Reads that the ledger answers alone never wait.
    assert [m.revision for m in await memoir.listed()] == [written.revision]


async def test_a_breaker_that_opens_ends_the_wait_of_a_read(memoir: Memoir) -> None:
    memoir.index_faults.down()
    written = await write(memoir, calling(durability=Durability.ACCEPTED))
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(StoreUnavailable):
        await memoir.search("tea", min_revision=written.revision)
    assert loop.time() - began < 2.0


async def test_other_namespaces_are_not_held_up_by_a_slow_wait(memoir: Memoir) -> None:
    await memoir.remembering.create("other", NewMemory(text="tea elsewhere", scope=ANA), calling())
    written = await write(memoir, calling())
    assert written.revision == 1, "revisions are counted per namespace"

    async def level() -> bool:
        return await memoir.ledger.watermark(StoreKind.INDEX, "other") == 1

    await until(level)
    assert await memoir.found("tea") == [written.changes[0].memory_id]


async def test_a_silence_of_the_ledger_is_not_held_against_the_projections(memoir: Memoir) -> None:
    """After it, with nothing left to apply, a write is INDEXED again."""
    memoir.ledger_faults.fail("claim", times=10)
    asked = memoir.ledger_faults.calls["claim"]

    async def answers_again() -> bool:
        return memoir.ledger_faults.calls["claim"] > asked + 4

    await until(answers_again)
    assert (await write(memoir, calling())).durability is Durability.INDEXED
