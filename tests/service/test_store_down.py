"""A store that is down when the service starts, or comes back as another one: nothing restarts for its sake."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from memoir_server.domain.conversation import NewMemory
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.store import BreakerState, Durability, StoreKind
from tests.service.faults import Faults
from tests.service.harness import ANA, NS, Memoir, World, calling, knows, until

PROJECTIONS = (StoreKind.INDEX, StoreKind.GRAPH)


async def write(memoir: Memoir, memory_id: str, *, seconds: float = 10.0) -> Durability:
    memory = NewMemory(text=f"Ana drinks tea, says {memory_id}", scope=ANA, memory_id=memory_id, **knows("Ana", "Bo"))
    return (await memoir.remembering.create(NS, memory, calling(seconds))).durability


@pytest.mark.parametrize("store", PROJECTIONS)
async def test_a_service_starts_without_a_store_and_catches_up(world: World, store: StoreKind) -> None:
    async with world.running() as memoir:
        await write(memoir, "before")
    async with world.running(prepare=lambda faults: faults[store].down()) as memoir:
        assert memoir.projector.breaker(store).state is not BreakerState.CLOSED
        assert await write(memoir, "meanwhile") is Durability.ACCEPTED
        assert len(await memoir.listed()) == 2
        with pytest.raises(StoreUnavailable):
            await memoir.search("tea", min_revision=2, graph_depth=1)
        memoir.faults[store].up()
        await memoir.settle()
        assert sorted(await memoir.found("tea")) == ["before", "meanwhile"]
        assert await memoir.graph.known_names(NS, ["bo"], ANA) == ["bo"]

        async def closed() -> bool:
            return memoir.projector.breaker(store).state is BreakerState.CLOSED

        await until(closed)
        assert await write(memoir, "after") is Durability.INDEXED


@pytest.mark.parametrize("store", PROJECTIONS)
async def test_nothing_is_applied_to_a_store_before_it_is_recovered(world: World, store: StoreKind) -> None:
    """It was lost while the service was down: applied first, the new change would be all that is ever in it."""
    async with world.running() as memoir:
        await write(memoir, "before")
        await memoir.settle()
    for path in world.directory.glob(f"{store.name.lower()}*"):
        path.unlink()
    calls: list[str] = []

    def down(faults: dict[StoreKind, Faults]) -> None:
        faults[store].down()

    async with world.running(prepare=down) as memoir:

        def noting(method: str) -> None:
            async def note(*_: object) -> None:
                calls.append(method)

            memoir.faults[store].on(method, note)

        assert await write(memoir, "meanwhile") is Durability.ACCEPTED
        memoir.faults[store].up()
        for method in ("adopt", "apply"):
            noting(method)
        await memoir.settle()
        assert calls[0] == "adopt"
        assert sorted(await memoir.found("tea")) == ["before", "meanwhile"]
        assert {memory_id for memory_id, _ in await memoir.graph.find(NS, ["before", "meanwhile"])} == {
            "before",
            "meanwhile",
        }


async def test_both_stores_may_be_down(world: World) -> None:
    def down(faults: dict[StoreKind, Faults]) -> None:
        for store in PROJECTIONS:
            faults[store].down()

    async with world.running(prepare=down) as memoir:
        assert await write(memoir, "meanwhile") is Durability.ACCEPTED
        for store in PROJECTIONS:
            memoir.faults[store].up()
        await memoir.settle()
        assert await memoir.found("tea") == ["meanwhile"]


@pytest.mark.parametrize("store", PROJECTIONS)
async def test_a_slow_store_gets_what_it_can_take(memoir: Memoir, store: StoreKind) -> None:
    """A batch that takes longer than a call may would fail again and again, and the store would never catch up."""
    memoir.faults[store].down()
    await write(memoir, "first", seconds=0.3)
    await memoir.open_breaker(store)
    for i in range(40):
        assert await write(memoir, f"meanwhile{i}") is Durability.ACCEPTED
    sizes: list[int] = []

    async def slow(_: str, actions: Sequence[object], **__: object) -> None:
        sizes.append(len(actions))
        if len(actions) > 6:
            raise StoreUnavailable(store.name.lower(), "no answer in time")

    memoir.faults[store].up()
    memoir.faults[store].on("apply", slow)
    await memoir.settle()
    assert max(sizes) > 6 >= sizes[-1]
    memoir.faults[store].up()
    written = [memory.memory_id for memory in await memoir.listed()]
    held = await (memoir.index if store is StoreKind.INDEX else memoir.graph).find(NS, written)
    assert len(held) == len(written) == 41


async def test_without_the_ledger_nothing_starts(world: World) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        async with world.running(prepare=lambda faults: faults[StoreKind.LEDGER].down()):
            pass
    assert caught.value.store == "ledger"


@pytest.mark.parametrize("store", PROJECTIONS)
async def test_a_store_that_comes_back_empty_is_filled_again(memoir: Memoir, store: StoreKind) -> None:
    """As when its volume was lost: it answers, and knows nothing."""
    for i in range(3):
        await write(memoir, f"before{i}")
    memoir.faults[store].fail("apply", times=3)
    assert await write(memoir, "meanwhile", seconds=0.3) is Durability.ACCEPTED
    await memoir.open_breaker(store)
    await (memoir.index if store is StoreKind.INDEX else memoir.graph).adopt("")
    await memoir.settle()

    async def everything() -> bool:
        names: Sequence[str] = ["before0", "before1", "before2", "meanwhile"]
        found = await (memoir.index if store is StoreKind.INDEX else memoir.graph).find(NS, names)
        return {memory_id for memory_id, _ in found} == set(names)

    await until(everything)
    await memoir.settle()
    assert len(await memoir.found("tea")) == 4
