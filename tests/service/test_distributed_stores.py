"""Two servers over the real stores of the distributed profile, which are killed, hung and started again under them."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from memoir_server.adapters.graph.neo4j import Neo4jGraph, Neo4jLogin
from memoir_server.adapters.index.weaviate import WeaviateAddress, WeaviateIndex
from memoir_server.adapters.ledger.postgres import PostgresLedger, PostgresOptions
from memoir_server.domain.consistency import CheckSummary, Finding, FindingKind
from memoir_server.domain.conversation import NewMemory
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Scope
from memoir_server.domain.search import Recipe
from memoir_server.domain.store import PROJECTIONS, BreakerState, Durability, StoreKind
from memoir_server.service.doctor import Doctor
from stores.four import Stores, bounded_stores
from tests.service.harness import ANA, NS, Memoir, Shared, World, calling, knows, patching, until

INDEX_LACKS_A_VECTOR = (StoreKind.INDEX, FindingKind.EMBEDDING_MISMATCH)
LEASE_SECONDS = 3.0
PATIENCE = 120.0

pytestmark = [pytest.mark.stores, pytest.mark.timeout(400)]

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    with bounded_stores(("postgresql", "weaviate", "neo4j"), seconds=1800) as running:
        yield running


def doctor_of(memoir: Memoir) -> Doctor:
    return Doctor(
        ledger=memoir.ledger,
        projections={StoreKind.INDEX: memoir.index, StoreKind.GRAPH: memoir.graph},
        embedder=memoir.embedder,
        projector=memoir.projector,
        clock=memoir.clock,
    )


class Cluster:
    """Servers on request, each with connections of its own."""

    def __init__(self, directory: Path, stores: Stores) -> None:
        self._directory = directory
        self._stores = stores
        self.name = f"stores{next(_numbers)}"

    @asynccontextmanager
    async def server(self) -> AsyncIterator[Memoir]:
        postgresql, weaviate, neo4j = self._stores.postgresql, self._stores.weaviate, self._stores.neo4j
        options = PostgresOptions(url=postgresql.address.url, schema=self.name, lease_seconds=LEASE_SECONDS)
        where = weaviate.address
        index = WeaviateIndex(
            WeaviateAddress(where.host, where.http_port, where.grpc_port, where.api_key),
            prefix=self.name.capitalize(),
            seconds=30.0,
        )
        login = Neo4jLogin(neo4j.address.url, neo4j.address.username, neo4j.address.password)
        graph = Neo4jGraph(login, graph=self.name, seconds=30.0)
        async with AsyncExitStack() as closing:
            for store in (index, graph):
                closing.push_async_callback(store.close)
                # As a server starts: one that may return is found later.
                with suppress(StoreUnavailable):
                    await store.open()
            world = World(self._directory, shared=Shared(lambda: PostgresLedger(options), index, graph))
            yield await closing.enter_async_context(world.running())


@pytest.fixture
async def cluster(tmp_path: Path, stores: Stores) -> AsyncIterator[Cluster]:
    yield Cluster(tmp_path, stores)
    for store in (stores.weaviate, stores.neo4j):
        await asyncio.to_thread(store.start)


async def write(memoir: Memoir, memory_id: str, *, seconds: float = 10.0) -> Durability:
    memory = NewMemory(text=f"Ana drinks tea, says {memory_id}", scope=ANA, memory_id=memory_id, **knows("Ana", "Bo"))
    return (await memoir.remembering.create(NS, memory, calling(seconds))).durability


async def level(memoir: Memoir) -> bool:
    with suppress(StoreUnavailable):
        return not any([await memoir.ledger.behind(store) for store in PROJECTIONS])
    return False


async def findings(memoir: Memoir) -> list[Finding]:
    """All that the doctor finds."""
    items = [item async for item in doctor_of(memoir).check(NS, Scope())]
    assert isinstance(items[-1], CheckSummary)
    return [item for item in items if isinstance(item, Finding)]


async def eventually_level(memoir: Memoir) -> None:
    await until(lambda: level(memoir), timeout=PATIENCE)


async def test_a_server_starts_without_its_projections_and_fills_them_when_they_are_there(
    cluster: Cluster, stores: Stores
) -> None:
    await asyncio.to_thread(stores.weaviate.kill)
    await asyncio.to_thread(stores.neo4j.kill)
    async with cluster.server() as memoir:
        for store in PROJECTIONS:
            assert memoir.projector.breaker(store).state is not BreakerState.CLOSED
        for i in range(10):
            assert await write(memoir, f"m{i}", seconds=2.0) is Durability.ACCEPTED
        await memoir.delete("m0")
        assert len(await memoir.listed()) == 9
        await asyncio.to_thread(stores.weaviate.start)
        await asyncio.to_thread(stores.neo4j.start)
        await eventually_level(memoir)
        assert sorted(await memoir.found("tea", limit=100)) == [f"m{i}" for i in range(1, 10)]
        assert await findings(memoir) == []

        async def indexed() -> bool:
            return await write(memoir, f"later{next(_numbers)}") is Durability.INDEXED

        await until(indexed, timeout=PATIENCE)


@pytest.mark.parametrize("name", ["weaviate", "neo4j"])
@pytest.mark.parametrize("fault", ["kill", "suspend"])
async def test_a_store_fails_while_two_servers_write(cluster: Cluster, stores: Stores, name: str, fault: str) -> None:
    store = getattr(stores, name)
    async with cluster.server() as a, cluster.server() as b:
        written: list[str] = []
        stop = asyncio.Event()

        async def work(memoir: Memoir, who: str) -> None:
            for i in range(150):
                if stop.is_set():
                    return
                memory_id = f"{who}{i}"
                await write(memoir, memory_id, seconds=1.0)
                await memoir.remembering.update(NS, memory_id, patching(text=f"coffee of {memory_id}"), calling(0.5))
                if i % 3 == 0:
                    await memoir.remembering.delete(NS, [memory_id], calling(0.5))
                else:
                    written.append(memory_id)

        tasks = [asyncio.create_task(work(a, "a")), asyncio.create_task(work(b, "b"))]
        await asyncio.sleep(2.0)
        await asyncio.to_thread(getattr(store, fault))
        await asyncio.sleep(4.0)
        await asyncio.to_thread(store.resume if fault == "suspend" else store.start)
        await asyncio.sleep(1.0)
        stop.set()
        await asyncio.gather(*tasks)
        await eventually_level(a)
        assert sorted(m.memory_id for m in await a.listed()) == sorted(written)
        assert await findings(a) == []
        assert await findings(b) == []


async def test_vectors_that_were_lost_without_their_objects_are_seen_and_put_back(
    cluster: Cluster, stores: Stores
) -> None:
    """What a power cut may leave of Weaviate: every object, and an index of vectors that knows less."""
    data = stores.weaviate.directory / "data"
    async with cluster.server() as memoir:
        for i in range(5):
            await write(memoir, f"m{i}")
        await eventually_level(memoir)
        await asyncio.to_thread(stores.weaviate.kill)
        lost = [path for path in data.rglob("*hnsw*") if path.is_dir() and f"/{cluster.name}" in str(path).lower()]
        assert lost
        for path in lost:
            await asyncio.to_thread(shutil.rmtree, path)
        await asyncio.to_thread(stores.weaviate.start)
        found: list[Finding] = []

        async def examined() -> bool:
            with suppress(StoreUnavailable):
                found[:] = await findings(memoir)
                return True
            return False

        await until(examined, timeout=PATIENCE)
        assert {(finding.store, finding.kind) for finding in found} == {INDEX_LACKS_A_VECTOR}
        # The last of them may have been applied once more when the store came back.
        assert {"m0", "m1", "m2"} <= {finding.memory_id for finding in found}
        semantic = await memoir.search("tea", recipe=Recipe.SEMANTIC)
        assert len(semantic.hits) < 5
        ids = [finding.finding_id for finding in found]
        assert set((await doctor_of(memoir).repair(NS, ids, calling(30.0))).repaired) == set(ids)
        assert await findings(memoir) == []
        semantic = await memoir.search("tea", recipe=Recipe.SEMANTIC)
        assert len(semantic.hits) == 5


async def test_two_servers_share_the_work(cluster: Cluster) -> None:
    async with cluster.server() as a, cluster.server() as b:

        async def work(memoir: Memoir, who: str) -> None:
            for i in range(15):
                await write(memoir, f"{who}{i}")

        await asyncio.gather(work(a, "a"), work(b, "b"))
        await eventually_level(a)
        assert sorted(await b.found("tea", limit=100)) == sorted([f"{who}{i}" for who in "ab" for i in range(15)])
        assert await findings(b) == []
