"""An item that a store refuses costs itself and nothing else (semantics 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from memoir_server.domain.change import ActorKind, EventType
from memoir_server.domain.store import BreakerState, Durability, StoreKind
from memoir_server.ports.graph import GraphAction, PutFacts
from memoir_server.ports.index import IndexAction, Put
from memoir_server.service.projector import MAX_ATTEMPTS
from tests.service.harness import ANA, NS, Memoir, World, calling, knows, patching, until


def spoils_index(*memory_ids: str) -> Callable[..., bool]:
    def bad(_: str, actions: Sequence[IndexAction]) -> bool:
        return any(isinstance(a, Put) and a.entry.memory_id in memory_ids for a in actions)

    return bad


def spoils_graph(memory_id: str) -> Callable[..., bool]:
    def bad(_: str, actions: Sequence[GraphAction]) -> bool:
        return any(isinstance(a, PutFacts) and a.facts.memory_id == memory_id for a in actions)

    return bad


async def given_up(memoir: Memoir, store: StoreKind, count: int = 1) -> None:
    """Lets the time of the retries pass until the items are given up, and the history says so."""

    async def reached() -> bool:
        memoir.clock.advance(1)
        told = await memoir.events(types=frozenset({EventType.FAILED}))
        return await memoir.ledger.degraded(store, NS) == count <= len(told)

    await until(reached)


async def test_a_refused_item_is_given_up_and_passed(memoir: Memoir) -> None:
    memoir.index_faults.refuse("apply", spoils_index("bad"))
    for i in range(3):
        await memoir.create(f"tea number {i}", memory_id=f"before{i}")
    bad = await memoir.create("tea that is bad", memory_id="bad", call=calling(0.3))
    for i in range(3):
        await memoir.create(f"tea number {i}", memory_id=f"after{i}", call=calling(0.3))
    assert await memoir.ledger.watermark(StoreKind.INDEX, NS) < bad.revision
    assert memoir.projector.breaker(StoreKind.INDEX).state is BreakerState.CLOSED, "the store is well"

    await given_up(memoir, StoreKind.INDEX)
    await memoir.settle()
    assert sorted(await memoir.found("tea")) == ["after0", "after1", "after2", "before0", "before1", "before2"]
    assert [m.memory_id for m in await memoir.listed() if m.memory_id == "bad"] == ["bad"], "the ledger has it"
    [failure] = await memoir.events(types=frozenset({EventType.FAILED}))
    assert failure.memory_id == "bad"
    assert failure.origin.actor.kind is ActorKind.SYSTEM
    assert f"revision {bad.revision}" in failure.reason
    assert "index refuses this item" in failure.reason
    assert await memoir.ledger.degraded(StoreKind.GRAPH, NS) == 0


async def test_others_of_the_same_batch_are_applied_at_once(memoir: Memoir) -> None:
    held = memoir.index_faults.hold("apply")
    await memoir.create("tea first", memory_id="first", call=calling(durability=Durability.ACCEPTED))
    await held.reached.wait()
    for name in ("a", "bad", "b", "worse", "c"):
        await memoir.create(f"tea {name}", memory_id=name, call=calling(durability=Durability.ACCEPTED))
    memoir.index_faults.refuse("apply", spoils_index("bad", "worse"))
    held.release()

    async def others() -> bool:
        return sorted(await memoir.found("tea")) == ["a", "b", "c", "first"]

    await until(others)
    assert await memoir.ledger.degraded(StoreKind.INDEX, NS) == 0, "attempts are left"
    await given_up(memoir, StoreKind.INDEX, 2)


async def test_an_item_is_tried_five_times_before_it_is_given_up(memoir: Memoir) -> None:
    attempts = 0

    async def count(*_: object) -> None:
        nonlocal attempts
        attempts += 1
        raise ValueError("no")

    memoir.index_faults.on("apply", count)
    await memoir.create("tea", call=calling(0.25))
    await given_up(memoir, StoreKind.INDEX)
    assert attempts == MAX_ATTEMPTS


async def test_an_item_that_recovers_is_applied_and_not_degraded(memoir: Memoir) -> None:
    memoir.index_faults.refuse("apply", spoils_index("m"))
    await memoir.create("tea", memory_id="m", call=calling(0.25))
    memoir.index_faults.up()
    memoir.clock.advance(1)
    await memoir.settle()
    assert await memoir.found("tea") == ["m"]
    assert await memoir.ledger.degraded(StoreKind.INDEX, NS) == 0
    assert await memoir.events(types=frozenset({EventType.FAILED})) == []


async def test_the_graph_gives_up_on_its_own(memoir: Memoir) -> None:
    memoir.graph_faults.refuse("apply", spoils_graph("bad"))
    await memoir.create("Ana knows Bo", memory_id="bad", call=calling(0.25), **knows("Ana", "Bo"))
    await given_up(memoir, StoreKind.GRAPH)
    await memoir.create("Ana knows Cy", memory_id="good", **knows("Ana", "Cy"))
    assert await memoir.ledger.degraded(StoreKind.INDEX, NS) == 0
    assert sorted(await memoir.found("who does Ana know")) == ["bad", "good"], "the index found it anyway"
    assert await memoir.graph.find(NS, ["bad"]) == []


@pytest.mark.parametrize("then", ["update", "delete"])
async def test_a_later_change_of_a_refused_memory_still_counts(memoir: Memoir, then: str) -> None:
    memoir.index_faults.fail("apply", times=2, error=lambda: ValueError("not now"))
    await memoir.create("tea", memory_id="m", call=calling(0.25))
    if then == "update":
        await memoir.remembering.update(NS, "m", patching(text="coffee"), calling(0.25))
    else:
        await memoir.remembering.delete(NS, ["m"], calling(0.25))
    memoir.clock.advance(30)
    await memoir.settle()
    assert await memoir.found("tea coffee") == (["m"] if then == "update" else [])
    if then == "update":
        [hit] = (await memoir.search("coffee")).hits
        assert hit.memory.text == "coffee"


async def test_what_was_given_up_stays_degraded_after_a_restart(world: World) -> None:
    async with world.running() as memoir:
        memoir.index_faults.refuse("apply", spoils_index("bad"))
        await memoir.create("tea", memory_id="bad", call=calling(0.25))
        await given_up(memoir, StoreKind.INDEX)
        await memoir.create("more tea", memory_id="good")
    async with world.running() as memoir:
        assert await memoir.ledger.degraded(StoreKind.INDEX, NS) == 1
        await memoir.settle()
        assert "good" in await memoir.found("tea")
        assert await memoir.index.count(NS, ANA) >= 1


async def test_a_text_the_embedder_refuses_costs_only_its_own_entry(memoir: Memoir) -> None:
    memoir.embedder_faults.refuse("embed", lambda texts: any("poison" in text for text in texts))
    await memoir.create("tea and poison", memory_id="bad", call=calling(0.25))
    await memoir.create("tea and milk", memory_id="good", call=calling(0.25))
    await given_up(memoir, StoreKind.INDEX)
    await memoir.settle()
    assert await memoir.found("tea") == ["good"]
