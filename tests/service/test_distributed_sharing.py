"""Several servers over one ledger in PostgreSQL: they share the work of the projections, and nothing is done twice, out
of order, or by one that is taken for dead. Index and graph are the embedded ones, opened once for all servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.adapters.graph.sqlite import SqliteGraph
from memoir_server.adapters.index.sqlite import SqliteIndex
from memoir_server.adapters.ledger.postgres import PostgresLedger
from memoir_server.domain.change import EventType
from memoir_server.domain.conversation import NewMemory
from memoir_server.domain.embedding import EmbedKind, embedding_keys
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.reset import ResetState
from memoir_server.domain.store import PROJECTIONS, BreakerState, Durability, StoreKind
from memoir_server.ports.ledger import HistoryQuery
from memoir_server.service import clearing, leases
from stores.postgresql import Postgresql
from tests.conformance.postgres_model import options, server
from tests.service.faults import Faults
from tests.service.harness import ANA, NS, Memoir, Shared, World, calling, knows, until

__all__ = ["server"]

pytestmark = pytest.mark.stores

LEASE_SECONDS = 1.5

Prepare = Callable[[dict[StoreKind, Faults]], None]


class Cluster:
    """Servers on request, over stores that outlive them."""

    def __init__(self, world: World, settings: object) -> None:
        self.world = world
        self.settings = settings

    @asynccontextmanager
    async def server(self, *, dimension: int = 256, prepare: Prepare | None = None) -> AsyncIterator[Memoir]:
        async with self.world.running(model=HashEmbedder(dimension), prepare=prepare) as memoir:
            yield memoir


@pytest.fixture
async def cluster(server: Postgresql, tmp_path: Path) -> AsyncIterator[Cluster]:
    settings = options(server, lease_seconds=LEASE_SECONDS)
    async with AsyncExitStack() as closing:
        index, graph = SqliteIndex(tmp_path), SqliteGraph(tmp_path)
        for store in (index, graph):
            await store.open()
            closing.push_async_callback(store.close)
        shared = Shared(lambda: PostgresLedger(settings), index, graph)
        yield Cluster(World(tmp_path, shared=shared), settings)


@pytest.fixture
async def pair(cluster: Cluster) -> AsyncIterator[tuple[Memoir, Memoir]]:
    async with cluster.server() as first, cluster.server() as second:
        yield first, second


@pytest.fixture(autouse=True)
def quick_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.02)


async def write(memoir: Memoir, memory_id: str, *, namespace: str = NS, seconds: float = 10.0) -> Durability:
    memory = NewMemory(text=f"Ana drinks tea, says {memory_id}", scope=ANA, memory_id=memory_id, **knows("Ana", "Bo"))
    return (await memoir.remembering.create(namespace, memory, calling(seconds))).durability


async def in_index(memoir: Memoir, *memory_ids: str) -> set[str]:
    return {memory_id for memory_id, _ in await memoir.index.find(NS, memory_ids)}


def die(memoir: Memoir) -> None:
    """The server hears nothing of the ledger any more, as if it were cut off."""
    memoir.ledger_faults.down()


async def test_writes_on_both_servers_are_indexed_and_in_order(pair: tuple[Memoir, Memoir]) -> None:
    a, b = pair
    order: dict[str, list[int]] = {}
    for memoir in pair:

        async def note(namespace: str, actions: object, *_: object) -> None:
            for action in actions:  # type: ignore[attr-defined]
                entry = getattr(action, "entry", None)
                if entry is not None:
                    order.setdefault(entry.memory_id, []).append(entry.revision)

        memoir.index_faults.on("apply", note)
    ids = [f"m{i}" for i in range(8)]
    for memory_id in ids:
        assert await write(a, memory_id) is Durability.INDEXED

    async def change(memoir: Memoir, words: str) -> None:
        for turn in range(4):
            for memory_id in ids:
                await memoir.update(memory_id, text=f"{words} {turn} of {memory_id}")

    await asyncio.gather(change(a, "coffee"), change(b, "wine"))
    await a.settle(timeout=30)
    assert len(await a.events()) == 8 + 2 * 4 * 8
    assert all(revisions == sorted(revisions) for revisions in order.values())
    assert await a.index.count(NS, ANA) == 8 + 2 * 4 * 8
    for memoir in pair:
        assert sorted(await memoir.found("tea coffee wine", limit=100)) == ids


async def test_a_server_that_projects_nothing_sees_the_others_progress(pair: tuple[Memoir, Memoir]) -> None:
    _, b = pair

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    b.ledger_faults.on("claim", never)
    # One claim may be under way.
    await write(b, "first")
    for i in range(3):
        assert await write(b, f"m{i}") is Durability.INDEXED
    result = await b.search("tea", min_revision=await b.head())
    assert len(result.hits) == 4
    await write(b, "last", seconds=0.0)
    for store in PROJECTIONS:
        async with asyncio.timeout(30):
            assert await b.projector.wait_applied(store, NS, await b.head(), timeout=3600.0)


async def test_the_work_of_a_dead_server_is_taken_over_and_it_applies_nothing_late(pair: tuple[Memoir, Memoir]) -> None:
    a, b = pair
    await write(a, "before")
    held_by_b = b.index_faults.hold("apply")
    held_by_a = a.index_faults.hold("apply")
    assert await write(a, "m", seconds=0.3) is Durability.ACCEPTED

    async def somebody_applies() -> bool:
        return held_by_a.reached.is_set() or held_by_b.reached.is_set()

    await until(somebody_applies)
    dead, alive, late = (a, b, held_by_a) if held_by_a.reached.is_set() else (b, a, held_by_b)
    applied = dead.index_faults.calls["apply"]
    die(dead)
    alive.index_faults.up()

    async def taken_over() -> bool:
        return await in_index(alive, "m") == {"m"}

    await until(taken_over, timeout=20)
    await alive.update("m", text="newer")
    await alive.settle(timeout=20)
    late.release()
    await asyncio.sleep(0.1)
    assert dead.index_faults.calls["apply"] == applied, "what it had begun was cut off"
    dead.ledger_faults.up()
    dead.index_faults.up()
    alive.index_faults.down()
    assert await write(dead, "again", seconds=15.0) in (Durability.INDEXED, Durability.ACCEPTED)

    async def works_again() -> bool:
        return await in_index(dead, "again") == {"again"}

    await until(works_again, timeout=20)


async def test_what_takes_longer_than_a_lease_is_not_cut_off(cluster: Cluster) -> None:
    async with cluster.server() as memoir:
        memoir.index_faults.delay("apply", 1.5 * LEASE_SECONDS)
        await write(memoir, "m", seconds=0.3)
        async with asyncio.timeout(30):
            assert await memoir.projector.wait_applied(StoreKind.INDEX, NS, 1, timeout=3600.0)
        assert memoir.index_faults.calls["apply"] == 1


async def test_servers_that_start_together_rebuild_once(cluster: Cluster) -> None:
    async with cluster.server() as memoir:
        for i in range(5):
            await write(memoir, f"m{i}")
    assert cluster.world.shared is not None
    for projection in (cluster.world.shared.index, cluster.world.shared.graph):
        await projection.adopt("another ledger")

    def slowly(faults: dict[StoreKind, Faults]) -> None:
        for store in PROJECTIONS:
            faults[store].delay("adopt", 0.3)

    async with AsyncExitStack() as closing:
        servers = [cluster.server(prepare=slowly) for _ in range(3)]
        started = await asyncio.gather(*(closing.enter_async_context(each) for each in servers))
        await started[0].settle(timeout=20)
        for store in PROJECTIONS:
            assert sum(memoir.faults[store].calls["adopt"] for memoir in started) == 1
        assert len(await started[0].found("tea")) == 5
        assert await in_index(started[0], *(f"m{i}" for i in range(5))) == {f"m{i}" for i in range(5)}


async def test_a_store_is_still_for_all_servers(pair: tuple[Memoir, Memoir]) -> None:
    a, _ = pair
    await write(a, "before")
    async with a.projector.still(StoreKind.INDEX, NS):
        for memoir in pair:
            assert await write(memoir, f"by {id(memoir)}", seconds=0.5) is Durability.ACCEPTED
        assert await a.index.count(NS, ANA) == 1
        assert await a.graph.count(NS, ANA) > 0
    await a.settle(timeout=20)
    assert await a.index.count(NS, ANA) == 3


async def test_a_namespace_is_rebuilt_while_another_server_writes(pair: tuple[Memoir, Memoir]) -> None:
    a, b = pair

    async def writing() -> None:
        for i in range(30):
            await write(b, f"m{i}")

    task = asyncio.create_task(writing())
    for _ in range(5):
        for store in PROJECTIONS:
            await a.projector.rebuild_namespace(store, NS)
        await asyncio.sleep(0.05)
    await task
    await a.settle(timeout=30)
    ids = [f"m{i}" for i in range(30)]
    assert await in_index(a, *ids) == set(ids)
    assert {memory_id for memory_id, _ in await a.graph.find(NS, ids)} == set(ids)


async def test_a_store_that_one_server_does_not_reach_is_kept_level_by_another(pair: tuple[Memoir, Memoir]) -> None:
    a, b = pair
    a.index_faults.down()
    for i in range(5):
        await write(a, f"m{i}", seconds=0.3)
    await b.settle(timeout=20)
    assert await in_index(b, *(f"m{i}" for i in range(5))) == {f"m{i}" for i in range(5)}


async def test_a_server_with_another_model_waits_until_the_others_are_gone(cluster: Cluster) -> None:
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        memoir = await first.enter_async_context(cluster.server())
        await write(memoir, "before")
        new = await second.enter_async_context(cluster.server(dimension=64))
        assert new.projector.breaker(StoreKind.INDEX).state is not BreakerState.CLOSED
        assert new.projector.breaker(StoreKind.GRAPH).state is BreakerState.CLOSED
        assert await write(memoir, "meanwhile") is Durability.INDEXED
        assert await memoir.index.model() == memoir.embedder.model
        assert await memoir.index.count(NS, ANA) == 2
        await first.aclose()

        async def rebuilt() -> bool:
            return await new.index.model() == new.embedder.model and await new.index.count(NS, ANA) == 2

        await until(rebuilt, timeout=20)
        assert await write(new, "after") is Durability.INDEXED


@pytest.mark.parametrize("erasure", [False, True])
async def test_a_reset_of_a_dead_server_is_finished_by_another(pair: tuple[Memoir, Memoir], erasure: bool) -> None:
    a, b = pair
    await write(a, "m")
    reached = asyncio.Event()

    async def stuck(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    a.ledger_faults.on("removed_memories", stuck)
    reset = await a.reset(include_history=erasure)
    async with asyncio.timeout(20):
        await reached.wait()
    assert (await b.resets.get(NS, reset.reset_id)).state is ResetState.RUNNING
    # Asking b once more does not make it a second worker.
    assert (await b.ledger.claim_reset(NS, reset.reset_id)) is False
    die(a)
    done = await b.finished(reset, timeout=20)
    assert done.state is ResetState.SUCCEEDED
    assert done.receipt is not None
    assert all(store.remaining == 0 for store in done.receipt.stores)
    assert len(await b.ledger.history(NS, HistoryQuery(), limit=100)) == (await b.ledger.head(NS)).revision


@pytest.mark.parametrize("erasure", [False, True])
async def test_a_reset_goes_to_a_server_that_reaches_the_store(pair: tuple[Memoir, Memoir], erasure: bool) -> None:
    a, b = pair
    await write(a, "m")
    a.index_faults.fail("find", times=1_000_000)
    reset = await a.reset(include_history=erasure)
    done = await b.finished(reset, timeout=20)
    assert (done.state, done.waiting_for) == (ResetState.SUCCEEDED, None)
    assert done.receipt is not None
    assert b.index_faults.calls["find"]


SECRET = "Ana's number is 4711"


def remembers(memoir: Memoir) -> bool:
    """Whether a vector of the secret lies in the server's memory."""
    keys = embedding_keys(memoir.embedder.model, SECRET)
    return any(memoir.cache.at_hand(key) is not None for key in keys)


async def tell(*servers: Memoir) -> None:
    """The secret is written on the first; all of them have read it."""
    await servers[0].create(SECRET, memory_id="secret")
    for memoir in servers:
        await memoir.embedder.embed([SECRET], kind=EmbedKind.DOCUMENT)
        await memoir.search(SECRET)
        assert remembers(memoir)


async def test_an_erasure_reaches_the_memory_of_every_server(pair: tuple[Memoir, Memoir]) -> None:
    a, b = pair
    await tell(a, b)
    done = await a.finished(await a.reset(include_history=True), timeout=20)
    assert done.state is ResetState.SUCCEEDED
    assert not remembers(a)
    assert not remembers(b)
    assert await a.ledger.not_forgotten(NS, done.reset_id) == 1, "what was noted is gone with the end of the reset"


async def test_an_erasure_waits_for_a_server_that_still_remembers(
    pair: tuple[Memoir, Memoir], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "PATIENCE_SECONDS", 0.1)
    a, b = pair
    await tell(a, b)
    held = b.ledger_faults.hold("unfinished_resets")
    await held.reached.wait()
    reset = await a.reset(include_history=True)

    async def waits() -> bool:
        return (await a.resets.get(NS, reset.reset_id)).waiting_for is StoreKind.CACHE

    await until(waits, timeout=20)
    assert remembers(b)
    told = await a.resets.get(NS, reset.reset_id)
    assert (told.state, told.receipt) == (ResetState.RUNNING, None)
    assert not [event for event in await a.events() if event.type is EventType.ERASED]
    held.release()
    done = await a.finished(reset, timeout=20)
    assert (done.state, done.waiting_for) == (ResetState.SUCCEEDED, None)
    assert not remembers(b)


async def test_an_erasure_that_waits_for_another_servers_memory_can_be_cancelled(pair: tuple[Memoir, Memoir]) -> None:
    a, b = pair
    await tell(a, b)
    held = b.ledger_faults.hold("unfinished_resets")
    await held.reached.wait()
    reset = await a.reset(include_history=True)

    async def purged() -> bool:
        return not remembers(a)

    await until(purged, timeout=20)
    assert (await a.resets.cancel(NS, reset.reset_id)).state is ResetState.CANCELLED
    held.release()
    await asyncio.sleep(0.3)
    assert (await a.resets.get(NS, reset.reset_id)).state is ResetState.CANCELLED
    assert not [event for event in await a.events() if event.type is EventType.ERASED]


async def test_a_server_that_is_cut_off_forgets_by_itself(pair: tuple[Memoir, Memoir]) -> None:
    """An erasure does not wait for a server that is taken for dead, so that one must not remember anything."""
    a, b = pair
    await tell(a, b)
    die(b)
    done = await a.finished(await a.reset(include_history=True), timeout=20)
    assert done.state is ResetState.SUCCEEDED
    assert not remembers(a)
    assert not remembers(b)


async def test_what_a_dead_server_had_begun_to_forget_is_forgotten_by_another(pair: tuple[Memoir, Memoir]) -> None:
    a, b = pair
    await tell(a, b)
    reached = asyncio.Event()

    async def stuck(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    a.ledger_faults.on("erase", stuck)
    reset = await a.reset(include_history=True)
    async with asyncio.timeout(20):
        await reached.wait()
    assert not remembers(b)
    die(a)
    done = await b.finished(reset, timeout=20)
    assert done.state is ResetState.SUCCEEDED
    assert not remembers(a)


async def test_the_ledger_may_be_silent_while_a_reset_runs(cluster: Cluster) -> None:
    async with cluster.server() as memoir:
        await write(memoir, "m")
        memoir.ledger_faults.fail("removed_memories", times=3)
        done = await memoir.finished(await memoir.reset(), timeout=20)
        assert done.state is ResetState.SUCCEEDED


async def test_what_must_be_held_is_waited_for_in_vain(
    pair: tuple[Memoir, Memoir], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    await write(a, "m")
    monkeypatch.setattr(leases, "PATIENCE_SECONDS", 0.2)
    async with a.projector.still(StoreKind.GRAPH, NS):
        with pytest.raises(StoreUnavailable, match="another server"):
            async with b.projector.still(StoreKind.GRAPH, NS):
                raise AssertionError("two servers hold it")


async def test_who_is_cut_off_from_the_ledger_does_not_keep_a_store_still(pair: tuple[Memoir, Memoir]) -> None:
    a, b = pair
    await write(a, "m")

    async def keep_still() -> None:
        async with a.projector.still(StoreKind.INDEX, NS):
            die(a)
            await asyncio.sleep(60)

    with pytest.raises(StoreUnavailable, match="another server"):
        await keep_still()
    await write(b, "after")
    await b.settle(StoreKind.INDEX, timeout=20)
    a.ledger_faults.up()
