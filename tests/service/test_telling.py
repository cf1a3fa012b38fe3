"""Memories that state nothing: the graph hears nothing of them, and nothing is missed for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from memoir_server.domain.store import BreakerState, StoreKind
from memoir_server.ports.graph import GraphAction, PutFacts
from memoir_server.ports.projection import Remove
from memoir_server.service import recovery
from tests.service.harness import ANA, NS, Memoir, World, knows

FACTS = knows("Ana", "Bo")


def heard(memoir: Memoir) -> int:
    return memoir.graph_faults.calls["apply"]


def listening(memoir: Memoir) -> list[type[Any]]:
    """Fills with the kinds of actions that the graph is given from here on."""
    kinds: list[type[Any]] = []

    async def note(namespace: str, actions: Sequence[GraphAction]) -> None:
        kinds.extend(type(action) for action in actions)

    memoir.graph_faults.on("apply", note)
    return kinds


async def test_the_graph_hears_nothing_of_memories_that_state_nothing(world: World) -> None:
    async with world.running() as memoir:
        for i in range(5):
            await memoir.create(f"Ana drinks tea {i}", memory_id=f"m{i}")
        await memoir.update("m1", text="Ana drinks coffee")
        await memoir.settle()
        assert heard(memoir) == 0
        assert await memoir.ledger.watermark(StoreKind.GRAPH, NS) == 6


async def test_it_hears_of_a_memory_that_comes_to_state_something_and_ceases_to(world: World) -> None:
    async with world.running() as memoir:
        kinds = listening(memoir)
        await memoir.create("Ana drinks tea", memory_id="m")
        await memoir.update("m", **FACTS)
        await memoir.settle()
        assert kinds == [PutFacts]
        assert await memoir.graph.known_names(NS, ["bo"], ANA) == ["bo"]
        await memoir.update("m", entities=(), relations=())
        await memoir.update("m", text="Ana drinks coffee")
        await memoir.settle()
        assert not [hit for hit in (await memoir.search("Bo")).hits if hit.relations]
        await memoir.delete("m")
        await memoir.settle()
        # An earlier version of it is in the graph still.
        assert kinds[-1] is Remove
        assert await memoir.graph.find(NS, ["m"]) == []


async def test_the_first_batch_after_facts_notes_that_they_are_there(world: World) -> None:
    async with world.running() as memoir:
        await memoir.create("Ana knows Bo", memory_id="m", **FACTS)
        await memoir.settle()
        assert await memoir.graph.applied(NS) == 0
        for i in range(3):
            await memoir.create(f"Ana drinks tea {i}")
            await memoir.settle()
        assert heard(memoir) == 2
        assert await memoir.graph.applied(NS) == 1


async def test_a_start_replays_nothing_to_the_graph_that_states_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.running() as memoir:
        for i in range(7):
            await memoir.create(f"Ana drinks tea {i}", memory_id=f"m{i}")
        await memoir.settle()
    async with world.running() as memoir:
        await memoir.settle()
        assert heard(memoir) == 0
        assert await memoir.graph.applied(NS) == 0
    monkeypatch.setattr(recovery, "FAR", 7)
    async with world.running() as memoir:
        assert await memoir.graph.applied(NS) == 7
    async with world.running() as memoir:
        assert heard(memoir) == 0


async def test_a_lost_graph_gets_back_what_states_something(world: World) -> None:
    async with world.running() as memoir:
        for i in range(4):
            await memoir.create(f"Ana drinks tea {i}", memory_id=f"m{i}")
        await memoir.create("Ana knows Bo", memory_id="said", **FACTS)
        await memoir.delete("m1")
        await memoir.settle()
    for path in world.directory.glob("graph*"):
        path.unlink()
    async with world.running() as memoir:
        await memoir.settle()
        assert await memoir.graph.find(NS, ["said", "m0"]) == [("said", 5)]
        assert [hit.memory.memory_id for hit in (await memoir.search("Bo")).hits if hit.relations] == ["said"]


async def test_a_graph_in_trouble_is_asked_whether_it_is_back(world: World) -> None:
    async with world.running() as memoir:
        memoir.graph_faults.down()
        await memoir.create("Ana knows Bo", memory_id="said", **FACTS)
        await memoir.open_breaker(StoreKind.GRAPH)
        await memoir.create("Ana drinks tea", memory_id="m")
        assert memoir.projector.breaker(StoreKind.GRAPH).state is not BreakerState.CLOSED
        assert await memoir.ledger.watermark(StoreKind.GRAPH, NS) == 0
        memoir.graph_faults.up()
        await memoir.settle()
        assert await memoir.graph.find(NS, ["said"]) == [("said", 1)]
