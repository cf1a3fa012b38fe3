"""A search tells which of its phases failed, and never shows what the ledger does not (semantics 2 and 10)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from memoir_server.domain.errors import MemoryNotFound, StoreUnavailable
from memoir_server.domain.memory import Scope
from memoir_server.domain.search import (
    Completed,
    Outcome,
    Phase,
    PhaseFailed,
    PhaseHits,
    Recipe,
    SearchEvent,
    SearchResult,
    SearchSpec,
    Started,
)
from memoir_server.domain.store import Durability, StoreKind
from memoir_server.service.call import Call
from tests.service.fold import Fold
from tests.service.harness import ANA, BO, NS, Memoir, calling, knows, patching


def outcomes(result: SearchResult) -> dict[Phase, Outcome]:
    return {report.phase: report.outcome for report in result.phases}


def stores(result: SearchResult) -> dict[Phase, str]:
    return {report.phase: report.store for report in result.phases if report.error}


def stream(memoir: Memoir, query: str, call: Call | None = None, **fields: object) -> AsyncIterator[SearchEvent]:
    spec = SearchSpec(query=query, scope=ANA, **fields)  # type: ignore[arg-type]
    return memoir.recalling.stream(NS, spec, call or calling())


@pytest.fixture
async def filled(memoir: Memoir) -> Memoir:
    await memoir.create("Ana drinks tea with Bo", memory_id="bo", **knows("Ana", "Bo"))
    await memoir.create("Ana drinks tea with Cy", memory_id="cy", **knows("Ana", "Cy"))
    await memoir.create("the weather was fine", memory_id="weather")
    await memoir.settle()
    return memoir


async def test_all_phases_done(filled: Memoir) -> None:
    result = await filled.search("tea with Bo")
    assert outcomes(result) == {
        Phase.KEYWORD: Outcome.DONE,
        Phase.DENSE: Outcome.DONE,
        Phase.GRAPH: Outcome.DONE,
    }
    assert result.hits[0].memory.memory_id == "bo"
    assert [r.object.name for r in result.hits[0].relations] == ["Bo"]
    assert result.revision == 3


async def test_no_known_entity_skips_the_graph(filled: Memoir) -> None:
    assert outcomes(await filled.search("tea"))[Phase.GRAPH] is Outcome.SKIPPED


async def test_the_graph_is_down(filled: Memoir) -> None:
    filled.graph_faults.down()
    result = await filled.search("tea with Bo")
    assert outcomes(result)[Phase.GRAPH] is Outcome.FAILED
    assert stores(result) == {Phase.GRAPH: "graph"}
    assert result.hits[0].memory.memory_id == "bo"
    assert result.hits[0].relations == ()


async def test_the_embedder_is_down(filled: Memoir) -> None:
    filled.embedder_faults.down()
    result = await filled.search("tea with Bo")
    assert outcomes(result) == {
        Phase.KEYWORD: Outcome.DONE,
        Phase.DENSE: Outcome.FAILED,
        Phase.GRAPH: Outcome.DONE,
    }
    assert stores(result) == {Phase.DENSE: "embedder"}
    assert [hit.memory.memory_id for hit in result.hits] == ["bo", "cy"]


@pytest.mark.parametrize(("method", "phase"), [("keyword", Phase.KEYWORD), ("dense", Phase.DENSE)])
async def test_one_arm_of_the_index_fails(filled: Memoir, method: str, phase: Phase) -> None:
    filled.index_faults.fail(method, times=1)
    result = await filled.search("tea with Bo")
    assert outcomes(result)[phase] is Outcome.FAILED
    assert stores(result) == {phase: "index"}
    assert result.hits[0].memory.memory_id == "bo"


async def test_the_graph_answers_while_the_index_is_down(filled: Memoir) -> None:
    filled.index_faults.down()
    result = await filled.search("tea with Bo")
    assert outcomes(result) == {Phase.KEYWORD: Outcome.FAILED, Phase.DENSE: Outcome.FAILED, Phase.GRAPH: Outcome.DONE}
    assert [hit.memory.memory_id for hit in result.hits] == ["bo"]


async def test_every_phase_failed(filled: Memoir) -> None:
    filled.index_faults.down()
    filled.graph_faults.down()
    with pytest.raises(StoreUnavailable) as caught:
        await filled.search("tea with Bo")
    assert caught.value.store == "index"
    events: list[SearchEvent] = []

    async def collect() -> None:
        async for event in stream(filled, "tea"):
            events.append(event)  # noqa: PERF401  # the stream raises; what came before it is looked at

    with pytest.raises(StoreUnavailable):
        await collect()
    assert [type(event) for event in events] == [Started, PhaseFailed, PhaseFailed, PhaseFailed]


async def test_an_index_that_is_down_is_no_empty_answer(filled: Memoir) -> None:
    """The graph knows no entity of this query: it had nothing to say, so nothing was searched at all."""
    filled.index_faults.down()
    with pytest.raises(StoreUnavailable):
        await filled.search("tea")


async def test_a_graph_that_was_not_asked_cannot_fail(filled: Memoir) -> None:
    filled.graph_faults.down()
    result = await filled.search("tea", graph_depth=0)
    assert outcomes(result) == {Phase.KEYWORD: Outcome.DONE, Phase.DENSE: Outcome.DONE}
    keyword = await filled.search("tea", recipe=Recipe.KEYWORD)
    assert outcomes(keyword) == {Phase.KEYWORD: Outcome.DONE}


async def test_without_the_ledger_there_is_no_answer(filled: Memoir) -> None:
    filled.ledger_faults.fail("hydrate", times=9)
    with pytest.raises(StoreUnavailable) as caught:
        await filled.search("tea")
    assert caught.value.store == "ledger"


async def test_a_slow_embedding_is_cut_off_at_the_deadline(filled: Memoir) -> None:
    filled.embedder_faults.delay("embed", 30)
    loop = asyncio.get_running_loop()
    began = loop.time()
    result = await filled.search("a new question about tea", call=calling(0.4))
    assert loop.time() - began < 0.4
    assert outcomes(result)[Phase.DENSE] is Outcome.TIMED_OUT
    assert stores(result)[Phase.DENSE] == "embedder"
    assert [hit.memory.memory_id for hit in result.hits] == ["bo", "cy"]


async def test_a_slow_arm_does_not_take_the_graph_with_it(filled: Memoir) -> None:
    """The graph answered long before the deadline; that another arm did not is no reason to drop it."""
    filled.embedder_faults.delay("embed", 30)
    result = await filled.search("a new question about Bo and tea", call=calling(0.4))
    assert outcomes(result)[Phase.DENSE] is Outcome.TIMED_OUT
    assert outcomes(result)[Phase.GRAPH] is Outcome.DONE
    assert result.hits[0].relations


async def test_keyword_hits_come_before_the_embedding_is_ready(filled: Memoir) -> None:
    held = filled.embedder_faults.hold("embed")
    events = stream(filled, "some tea please")
    first, second = await anext(events), await anext(events)
    assert isinstance(first, Started)
    assert isinstance(second, PhaseHits)
    assert second.report.phase is Phase.KEYWORD
    assert [hit.memory.memory_id for hit in second.new_hits] == ["bo", "cy"]
    held.release()
    rest = [event async for event in events]
    assert isinstance(rest[-1], Completed)
    assert "weather" in rest[-1].order


@pytest.mark.parametrize("down", [None, *StoreKind])
async def test_the_unary_answer_is_the_fold_of_the_stream(filled: Memoir, down: StoreKind | None) -> None:
    if down in (StoreKind.GRAPH, StoreKind.EMBEDDER):
        filled.faults[down].down()
    for query in ("tea with Bo", "weather", "nothing of this", "Ana"):
        fold, folded = Fold(), None
        async for event in stream(filled, query, explain=True, limit=2):
            folded = fold.add(event)
        assert folded is not None
        unary = await filled.search(query, explain=True, limit=2)
        assert folded.hits == unary.hits
        assert folded.revision == unary.revision
        assert [(r.phase, r.outcome, r.candidates, r.error) for r in folded.phases] == [
            (r.phase, r.outcome, r.candidates, r.error) for r in unary.phases
        ]


async def test_events_come_in_the_declared_order_and_bodies_once(filled: Memoir) -> None:
    for i in range(30):
        await filled.create(f"Ana drinks tea number {i} with Bo", **knows("Ana", "Bo"))
    events = [event async for event in stream(filled, "tea with Bo", limit=5)]
    started, *phases, completed = events
    assert isinstance(started, Started)
    assert isinstance(completed, Completed)
    assert [e.report.phase for e in phases if isinstance(e, PhaseHits)] == list(started.phases)
    assert completed.phases == tuple(e.report for e in phases if isinstance(e, PhaseHits))
    sent: list[str] = []
    for event in phases:
        assert isinstance(event, PhaseHits)
        assert len(event.order) == 5
        known = set(sent)
        new = [hit.memory.memory_id for hit in event.new_hits]
        assert not known & set(new)
        assert {update.memory_id for update in event.updated_hits} <= known
        sent += new
        assert set(event.order) <= set(sent)
    assert completed.order == phases[-1].order  # type: ignore[union-attr]
    assert len(set(sent)) == len(sent)


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (7, 7), (0, 10), (100, 20), (5000, 20)])
async def test_the_first_event_carries_as_many_hits_as_are_wanted(memoir: Memoir, limit: int, expected: int) -> None:
    for i in range(20):
        await memoir.create(f"tea number {i}", call=calling(durability=Durability.ACCEPTED))
    await memoir.settle()
    events = stream(memoir, "tea", limit=limit)
    await anext(events)
    first = await anext(events)
    assert isinstance(first, PhaseHits)
    assert len(first.new_hits) == len(first.order) == expected


async def test_candidates_the_ledger_hides_are_replaced_by_others(memoir: Memoir) -> None:
    """The index still holds what was deleted: the page is filled all the same."""
    ids = [(await memoir.create(f"tea number {i}")).memory_id for i in range(12)]
    memoir.index_faults.hold("apply")
    await memoir.remembering.delete(NS, ids[::2], calling(durability=Durability.ACCEPTED))
    assert len({memory_id for memory_id, _ in await memoir.index.find(NS, ids)}) == 12
    assert sorted(await memoir.found("tea number", limit=6)) == sorted(ids[1::2])
    events = stream(memoir, "tea number", limit=6)
    await anext(events)
    first = await anext(events)
    assert isinstance(first, PhaseHits)
    assert len(first.new_hits) == 6


async def test_a_memory_deleted_in_the_ledger_is_not_shown(memoir: Memoir) -> None:
    await memoir.create("Ana drinks tea with Bo", memory_id="m", **knows("Ana", "Bo"))
    memoir.index_faults.hold("apply")
    memoir.graph_faults.hold("apply")
    await memoir.remembering.delete(NS, ["m"], calling(durability=Durability.ACCEPTED))
    assert await memoir.found("tea with Bo") == []
    assert await memoir.listed() == []
    with pytest.raises(MemoryNotFound):
        await memoir.recalling.get(NS, "m", as_of=None)


async def test_an_old_version_is_not_shown_for_the_new_one(memoir: Memoir) -> None:
    await memoir.create("Ana drinks tea", memory_id="m")
    held = memoir.index_faults.hold("apply")
    call = calling(durability=Durability.ACCEPTED)
    await memoir.remembering.update(NS, "m", patching(text="Ana drinks wine"), call)
    assert "tea" not in " ".join(hit.memory.text for hit in (await memoir.search("tea")).hits)
    held.release()
    await memoir.settle()
    assert [hit.memory.text for hit in (await memoir.search("tea")).hits] == ["Ana drinks wine"]


async def test_a_stale_entry_under_a_reused_id_does_not_show_the_new_owner(memoir: Memoir) -> None:
    await memoir.create("secret tea", ANA, memory_id="m")
    memoir.index_faults.hold("apply")
    await memoir.remembering.delete(NS, ["m"], calling(durability=Durability.ACCEPTED))
    await memoir.create("secret wine", BO, memory_id="m", call=calling(durability=Durability.ACCEPTED))
    assert await memoir.found("secret tea wine", ANA) == []
    assert await memoir.found("secret tea wine", BO) == []


async def test_ids_that_contain_each_other_are_different_users(memoir: Memoir) -> None:
    users = ["alice", "alice-2", "alice@x.com", "Alice", "alic", "ali%", "alice "]
    for user in users:
        await memoir.create(f"tea of {user}", Scope(user), memory_id=f"m-{user}", **knows("Tea", "Bo"))
    for user in users:
        scope = Scope(user)
        assert await memoir.found("tea Bo alice", scope) == [f"m-{user}"]
        assert [m.memory_id for m in await memoir.listed(scope)] == [f"m-{user}"]
        [hit] = (await memoir.search("Bo", scope)).hits
        assert [r.memory_ids for r in hit.relations] == [(f"m-{user}",)]
    assert len(await memoir.found("tea", Scope())) == len(users)


async def test_another_users_memories_do_not_move_a_score(memoir: Memoir) -> None:
    await memoir.create("tea with milk and honey", ANA)
    await memoir.create("coffee with milk", ANA)
    before = (await memoir.search("tea milk", explain=True)).hits
    for i in range(30):
        await memoir.create(f"tea tea milk {i}", BO, call=calling(durability=Durability.ACCEPTED))
    await memoir.settle()
    assert (await memoir.search("tea milk", explain=True)).hits == before


async def test_a_search_that_is_left_leaves_nothing_behind(filled: Memoir) -> None:
    held = filled.embedder_faults.hold("embed")
    running = asyncio.all_tasks()

    async def search() -> None:
        await filled.search("a question of its own")

    task = asyncio.create_task(search())
    await held.reached.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    held.release()
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert not [t for t in asyncio.all_tasks() - running if "embed" not in t.get_name()]
