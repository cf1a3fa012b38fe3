"""Resets: what may be asked for, what goes, what stays, and what the receipt says (semantics 13 and 14)."""

from __future__ import annotations

import asyncio

import pytest

from memoir_server.adapters.graph.sqlite import SqliteGraph
from memoir_server.adapters.index.sqlite import SqliteIndex
from memoir_server.domain.change import EventType
from memoir_server.domain.embedding import EmbedKind, embedding_key
from memoir_server.domain.errors import ConfirmTokenInvalid, FieldInvalid, ResetNotFound, ResetPlanStale
from memoir_server.domain.filter import Compare, Operator
from memoir_server.domain.memory import Scope
from memoir_server.domain.reset import Reset, ResetState, ResetTarget
from memoir_server.domain.search import AsOf
from memoir_server.domain.store import StoreKind
from memoir_server.ports.projection import Projection
from memoir_server.service.resets import PLAN_LIFE_US
from tests.service.harness import ANA, BO, NS, Memoir, calling, knows


async def fill(memoir: Memoir) -> None:
    """Three memories of Ana in four versions, two of them with facts, and one of Bo."""
    await memoir.create("Ana knows Bo", memory_id="a", **knows("Ana", "Bo"))
    await memoir.create("Ana knows Cy", memory_id="b", metadata={"keep": True}, **knows("Ana", "Cy"))
    await memoir.create("Ana likes tea", memory_id="c")
    await memoir.update("c", text="Ana likes green tea")
    await memoir.create("Bo knows Ana and tea", BO, memory_id="bo", **knows("Bo", "Ana"))
    await memoir.settle()


def removed(reset: Reset) -> dict[StoreKind, tuple[int, int]]:
    assert reset.receipt is not None
    return {r.store: (r.removed, r.remaining) for r in reset.receipt.stores}


async def nothing_left_of_ana(memoir: Memoir) -> None:
    assert await memoir.found("Ana knows likes tea", ANA) == []
    assert await memoir.listed(ANA, include_superseded=True) == []
    for revision in range(await memoir.head() + 1):
        assert await memoir.listed(ANA, as_of=AsOf(revision=revision), include_superseded=True) == []
        assert await memoir.found("Ana tea", ANA, as_of=AsOf(revision=revision)) == []
    assert await memoir.index.find(NS, ["a", "b", "c"]) == []


@pytest.mark.parametrize(
    ("target", "field"),
    [
        (ResetTarget(scope=Scope()), "target.scope"),
        (ResetTarget(scope=ANA, include_history=True, keep_graph=True), "target.keep_graph"),
        (ResetTarget(scope=ANA, include_history=True, keep_vector=True), "target.keep_vector"),
        (ResetTarget(scope=ANA, include_history=True, keep_history=True), "target.keep_history"),
        (ResetTarget(scope=ANA, keep_vector=True, keep_graph=True), "target.keep_graph"),
        (ResetTarget(scope=ANA, preserve=Compare("nonsense", Operator.EQUAL, 1)), "target.preserve.compare.field"),
        (ResetTarget(scope=ANA, preserve=Compare("metadata.keep", Operator.EQUAL, 1)), "target.preserve.compare.value"),
    ],
)
async def test_what_cannot_be_meant_is_refused(memoir: Memoir, target: ResetTarget, field: str) -> None:
    await fill(memoir)
    with pytest.raises(FieldInvalid) as caught:
        await memoir.resets.plan(NS, target, calling())
    assert caught.value.field == field
    assert await memoir.head() == 5


async def test_a_plan_counts_and_changes_nothing(memoir: Memoir) -> None:
    await fill(memoir)
    plan, token = await memoir.resets.plan(NS, ResetTarget(scope=ANA), calling())
    assert plan.state is ResetState.PLANNED
    assert {e.store: (e.planned, e.removed) for e in plan.effects} == {
        StoreKind.LEDGER: (3, 0),
        StoreKind.INDEX: (4, 0),
        StoreKind.GRAPH: (2, 0),
    }
    assert plan.sample == ("a", "b", "c")
    assert plan.planned_revision == await memoir.head() == 5
    assert len(token) == 64
    assert await memoir.resets.get(NS, plan.reset_id) == plan
    assert len(await memoir.listed(ANA)) == 3


async def test_a_reset_removes_its_target_and_nothing_else(memoir: Memoir) -> None:
    await fill(memoir)
    running = await memoir.reset(ANA)
    assert running.state is ResetState.RUNNING
    assert running.fence_revision == 8
    assert await memoir.listed(ANA) == [], "hidden at once"
    done = await memoir.finished(running)
    assert done.state is ResetState.SUCCEEDED
    assert removed(done) == {StoreKind.INDEX: (4, 0), StoreKind.GRAPH: (2, 0)}
    assert done.receipt is not None
    assert (done.receipt.memories, done.receipt.events_erased, done.receipt.revision) == (3, 0, 9)
    await nothing_left_of_ana(memoir)
    assert await memoir.graph.find(NS, ["a", "b", "c"]) == []
    assert await memoir.found("knows tea", BO) == ["bo"]
    assert await memoir.graph.known_names(NS, ["ana"], BO) == ["ana"]
    events = await memoir.events(after=5)
    assert [(e.type, e.memory_id, e.origin.reset_id) for e in events] == [
        (EventType.DELETED, "a", done.reset_id),
        (EventType.DELETED, "b", done.reset_id),
        (EventType.DELETED, "c", done.reset_id),
        (EventType.RESET, "", done.reset_id),
    ]
    assert done.receipt.digest in events[-1].reason
    assert [e.type for e in await memoir.events(memory_id="c")] == [
        EventType.CREATED,
        EventType.UPDATED,
        EventType.DELETED,
    ]
    assert await memoir.ledger.verify_chain(NS)


async def test_a_reset_of_the_whole_namespace(memoir: Memoir) -> None:
    await fill(memoir)
    plan, _ = await memoir.resets.plan(NS, ResetTarget(), calling())
    assert any("every memory of the namespace" in warning for warning in plan.warnings)
    done = await memoir.finished(await memoir.reset(None))
    assert done.state is ResetState.SUCCEEDED
    assert await memoir.listed(Scope()) == []
    assert await memoir.index.count(NS, Scope()) == await memoir.graph.count(NS, Scope()) == 0


async def test_a_reset_of_nothing_succeeds(memoir: Memoir) -> None:
    await fill(memoir)
    plan, _ = await memoir.resets.plan(NS, ResetTarget(scope=Scope("nobody")), calling())
    assert "Nothing matches the target now." in plan.warnings
    done = await memoir.finished(await memoir.reset(Scope("nobody")))
    assert done.state is ResetState.SUCCEEDED
    assert removed(done) == {StoreKind.INDEX: (0, 0), StoreKind.GRAPH: (0, 0)}
    assert len(await memoir.listed(Scope())) == 4


async def test_the_confirm_token_must_be_that_of_the_plan(memoir: Memoir) -> None:
    await fill(memoir)
    plan, token = await memoir.resets.plan(NS, ResetTarget(scope=ANA), calling())
    other, other_token = await memoir.resets.plan(NS, ResetTarget(scope=BO), calling())
    for wrong in ("", other_token, token[:-1], token.upper() + "é"):
        with pytest.raises(ConfirmTokenInvalid):
            await memoir.resets.execute(NS, plan.reset_id, wrong, calling(), allow_drift=True)
    with pytest.raises(ResetNotFound):
        await memoir.resets.execute(NS, "no-such-reset", token, calling(), allow_drift=True)
    assert (await memoir.resets.get(NS, other.reset_id)).state is ResetState.PLANNED
    assert len(await memoir.listed(ANA)) == 3


@pytest.mark.parametrize("change", ["create", "update", "delete"])
async def test_a_target_that_drifted_is_not_reset(memoir: Memoir, change: str) -> None:
    await fill(memoir)
    plan, token = await memoir.resets.plan(NS, ResetTarget(scope=ANA), calling())
    await memoir.create("no business of this plan", BO)
    if change == "create":
        await memoir.create("said after the plan", memory_id="late")
    elif change == "update":
        await memoir.update("a", text="changed after the plan")
    else:
        await memoir.delete("a")
    with pytest.raises(ResetPlanStale, match="has changed") as caught:
        await memoir.resets.execute(NS, plan.reset_id, token, calling(), allow_drift=False)
    assert caught.value.planned_revision == 5
    assert len(await memoir.listed(ANA)) == {"create": 4, "update": 3, "delete": 2}[change]
    reset = await memoir.resets.execute(NS, plan.reset_id, token, calling(), allow_drift=True)
    assert (await memoir.finished(reset)).state is ResetState.SUCCEEDED
    assert await memoir.listed(ANA) == []


async def test_the_receipt_counts_what_was_removed_not_what_was_planned(memoir: Memoir) -> None:
    await fill(memoir)
    plan, token = await memoir.resets.plan(NS, ResetTarget(scope=ANA), calling())
    await memoir.create("Ana knows Di", **knows("Ana", "Di"))
    reset = await memoir.resets.execute(NS, plan.reset_id, token, calling(), allow_drift=True)
    done = await memoir.finished(reset)
    assert removed(done) == {StoreKind.INDEX: (5, 0), StoreKind.GRAPH: (3, 0)}
    assert done.receipt is not None
    assert done.receipt.memories == 4


async def test_a_repeated_execution_tells_the_same_counts(memoir: Memoir) -> None:
    await fill(memoir)
    plan, token = await memoir.resets.plan(NS, ResetTarget(scope=ANA), calling())
    await memoir.create("Ana knows Di", **knows("Ana", "Di"))
    first, repeated = [
        await memoir.resets.execute(NS, plan.reset_id, token, calling(request_id="e"), allow_drift=True)
        for _ in range(2)
    ]
    assert first.effects != plan.effects
    assert (repeated.effects, repeated.state) == (first.effects, first.state)
    assert (await memoir.finished(first)).state is ResetState.SUCCEEDED


async def test_another_users_writes_are_no_drift(memoir: Memoir) -> None:
    await fill(memoir)
    plan, token = await memoir.resets.plan(NS, ResetTarget(scope=ANA), calling())
    await memoir.create("no business of this plan", BO)
    reset = await memoir.resets.execute(NS, plan.reset_id, token, calling(), allow_drift=False)
    assert (await memoir.finished(reset)).state is ResetState.SUCCEEDED


async def test_a_plan_does_not_live_for_ever(memoir: Memoir) -> None:
    await fill(memoir)
    plan, token = await memoir.resets.plan(NS, ResetTarget(scope=ANA), calling())
    memoir.clock.time = plan.create_time + PLAN_LIFE_US
    with pytest.raises(ResetPlanStale, match="expired"):
        await memoir.resets.execute(NS, plan.reset_id, token, calling(), allow_drift=True)
    assert len(await memoir.listed(ANA)) == 3


async def test_a_repeated_plan_is_the_same_plan(memoir: Memoir) -> None:
    await fill(memoir)
    first = await memoir.resets.plan(NS, ResetTarget(scope=ANA), calling(request_id="p"))
    assert await memoir.resets.plan(NS, ResetTarget(scope=ANA), calling(request_id="p")) == first


async def test_executing_twice_is_the_same_as_once(memoir: Memoir) -> None:
    await fill(memoir)
    plan, token = await memoir.resets.plan(NS, ResetTarget(scope=ANA), calling())
    first, second = await asyncio.gather(
        *(memoir.resets.execute(NS, plan.reset_id, token, calling(), allow_drift=False) for _ in range(2))
    )
    assert first.fence_revision == second.fence_revision
    done = await memoir.finished(first)
    assert await memoir.resets.execute(NS, plan.reset_id, token, calling(), allow_drift=False) == done
    assert await memoir.head() == 9


async def test_what_is_to_be_preserved_stays(memoir: Memoir) -> None:
    await fill(memoir)
    keep = Compare("metadata.keep", Operator.EQUAL, True)
    done = await memoir.finished(await memoir.reset(ANA, preserve=keep))
    assert done.state is ResetState.SUCCEEDED
    assert removed(done) == {StoreKind.INDEX: (3, 0), StoreKind.GRAPH: (1, 0)}
    assert [m.memory_id for m in await memoir.listed(ANA)] == ["b"]
    assert await memoir.found("Ana knows Cy", ANA) == ["b"]


async def test_keep_graph_leaves_the_relations_without_their_source(memoir: Memoir) -> None:
    await fill(memoir)
    plan, _ = await memoir.resets.plan(NS, ResetTarget(scope=ANA, keep_graph=True), calling())
    assert plan.effect(StoreKind.GRAPH).planned == 0
    done = await memoir.finished(await memoir.reset(ANA, keep_graph=True))
    assert done.state is ResetState.SUCCEEDED
    assert removed(done) == {StoreKind.INDEX: (4, 0)}
    await nothing_left_of_ana(memoir)
    assert sorted(await memoir.graph.known_names(NS, ["bo", "cy"], ANA)) == ["bo", "cy"]
    # A new memory of Bo finds the relation that stayed, which names no source any more.
    await memoir.create("Bo came by", memory_id="new", **knows("Bo", "Di"))
    [hit] = (await memoir.search("Bo", ANA)).hits
    assert hit.memory.memory_id == "new"
    kept = await memoir.ledger.kept_facts(NS)
    assert sorted(f.memory_id for f in kept) == ["a", "b"]


async def test_an_erasure_after_keep_graph_takes_the_relations_too(memoir: Memoir) -> None:
    await fill(memoir)
    await memoir.finished(await memoir.reset(ANA, keep_graph=True))
    done = await memoir.finished(await memoir.reset(ANA, include_history=True))
    assert done.state is ResetState.SUCCEEDED
    assert await memoir.ledger.kept_facts(NS) == []
    assert await memoir.graph.known_names(NS, ["bo", "cy"], ANA) == []
    await memoir.projector.rebuild(StoreKind.GRAPH)
    await memoir.settle()
    assert await memoir.graph.known_names(NS, ["bo", "cy"], ANA) == []


async def test_keep_vector_takes_the_facts_and_leaves_the_memories(memoir: Memoir) -> None:
    await fill(memoir)
    await memoir.update("a", metadata={"older": "versions have facts too"})
    await memoir.settle()
    plan, _ = await memoir.resets.plan(NS, ResetTarget(scope=ANA, keep_vector=True), calling())
    assert plan.effect(StoreKind.INDEX).planned == 0
    done = await memoir.finished(await memoir.reset(ANA, keep_vector=True))
    assert done.error == ""
    assert done.state is ResetState.SUCCEEDED
    assert removed(done).get(StoreKind.GRAPH) == (3, 0)
    assert sorted(m.memory_id for m in await memoir.listed(ANA)) == ["a", "b", "c"]
    assert all(not m.entities and not m.relations for m in await memoir.listed(ANA))
    assert sorted(await memoir.found("Ana knows likes tea", ANA)) == ["a", "b", "c"]
    assert await memoir.graph.find(NS, ["a", "b", "c"]) == []
    assert await memoir.graph.known_names(NS, ["bo", "cy"], ANA) == []
    assert await memoir.graph.known_names(NS, ["bo"], BO) == ["bo"]
    await memoir.projector.rebuild(StoreKind.GRAPH)
    await memoir.settle()
    assert await memoir.graph.known_names(NS, ["bo", "cy"], ANA) == []


async def test_an_erasure_leaves_stubs_and_a_receipt(memoir: Memoir) -> None:
    await fill(memoir)
    plan, _ = await memoir.resets.plan(NS, ResetTarget(scope=ANA, include_history=True), calling())
    # Four events of the past, and the three DELETED that the erasure writes itself.
    assert plan.effect(StoreKind.LEDGER).planned == 7
    done = await memoir.finished(await memoir.reset(ANA, include_history=True))
    assert done.state is ResetState.SUCCEEDED
    assert done.receipt is not None
    assert (done.receipt.memories, done.receipt.events_erased) == (3, 7)
    assert removed(done) == {
        StoreKind.INDEX: (4, 0),
        StoreKind.GRAPH: (2, 0),
        StoreKind.LEDGER: (7, 0),
        StoreKind.CACHE: (4, 0),
    }
    events = await memoir.events()
    assert [e.type for e in events] == [
        *[EventType.ERASED] * 4,
        EventType.CREATED,
        *[EventType.ERASED] * 3,
        EventType.RESET,
    ]
    assert all(not e.memory_id and e.before is None and e.after is None for e in events if e.type is EventType.ERASED)
    await nothing_left_of_ana(memoir)
    assert await memoir.ledger.verify_chain(NS)
    assert await memoir.found("knows tea", BO) == ["bo"]


async def test_an_erasure_takes_what_was_deleted_earlier(memoir: Memoir) -> None:
    await fill(memoir)
    await memoir.delete("a")
    done = await memoir.finished(await memoir.reset(ANA, include_history=True))
    assert done.receipt is not None
    assert done.receipt.memories == 3
    assert [e.memory_id for e in await memoir.events() if e.memory_id] == ["bo"]


async def test_an_erasure_purges_vectors_from_cache_and_ledger(memoir: Memoir) -> None:
    await fill(memoir)
    texts = ["Ana knows Bo", "Ana knows Cy", "Ana likes tea", "Ana likes green tea"]
    keys = [embedding_key(memoir.embedder.model, text) for text in texts]
    assert None not in await memoir.cache.get_many(keys)
    await memoir.finished(await memoir.reset(ANA, include_history=True))
    assert await memoir.cache.get_many(keys) == [None] * 4
    memoir.model.texts.clear()
    await memoir.embedder.embed(texts, kind=EmbedKind.DOCUMENT)
    assert sorted(memoir.model.texts) == sorted(texts)


async def test_an_erasure_has_the_projections_forget(memoir: Memoir, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[type[Projection]] = []
    for kind in (SqliteIndex, SqliteGraph):
        monkeypatch.setattr(kind, "forget", lambda self: forgotten.append(type(self)), raising=False)
    await memoir.create("Ana's secret")
    await memoir.finished(await memoir.reset(ANA, include_history=False))
    assert forgotten == []
    await memoir.create("Ana's other secret")
    await memoir.finished(await memoir.reset(ANA, include_history=True))
    assert set(forgotten) == {SqliteIndex, SqliteGraph}


async def test_an_erasure_forgets_the_answers_to_repeated_requests(memoir: Memoir) -> None:
    await memoir.create("Ana's secret", memory_id="a", call=calling(request_id="r"))
    await memoir.finished(await memoir.reset(ANA, include_history=True))
    again = await memoir.create("Ana's secret", memory_id="a", call=calling(request_id="r"))
    assert again.revision > 1, "the first answer is gone, so this is a request like any other"


async def test_later_writes_survive_the_fence(memoir: Memoir) -> None:
    await fill(memoir)
    held = memoir.index_faults.hold("apply")
    running = await memoir.reset(ANA, include_history=True)
    await held.reached.wait()
    await memoir.create("said after the reset", memory_id="a", call=calling(0.25))
    held.release()
    done = await memoir.finished(running)
    assert done.state is ResetState.SUCCEEDED
    await memoir.settle()
    assert [m.text for m in await memoir.listed(ANA)] == ["said after the reset"]
    assert await memoir.found("said after the reset", ANA) == ["a"]
    assert [e.type for e in await memoir.events(memory_id="a")] == [EventType.CREATED]


async def test_two_resets_of_one_scope_do_not_get_into_each_others_way(memoir: Memoir) -> None:
    await fill(memoir)
    both = [await memoir.reset(ANA), await memoir.reset(ANA, include_history=True)]
    for reset in both:
        assert (await memoir.finished(reset)).state is ResetState.SUCCEEDED
    await nothing_left_of_ana(memoir)


async def test_a_watch_of_a_reset_starts_anywhere_and_always_shows_the_end(memoir: Memoir) -> None:
    await fill(memoir)
    reset = await memoir.reset(ANA, include_history=True)
    steps = [step async for step in memoir.resets.watch(NS, reset.reset_id, after_sequence=0)]
    sequences = [step.sequence for step in steps]
    assert sequences == sorted(set(sequences))
    assert [step.state.terminal for step in steps] == [False] * (len(steps) - 1) + [True]
    late = [step async for step in memoir.resets.watch(NS, reset.reset_id, after_sequence=steps[-1].sequence)]
    assert late == [steps[-1]]
    with pytest.raises(ResetNotFound):
        await anext(memoir.resets.watch(NS, "no-such-reset", after_sequence=0))
