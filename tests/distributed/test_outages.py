"""A store that is down: writes are accepted, searches answer from what is left, and all is applied when it returns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from memoir import AsyncMemoir, PhaseOutcome, SearchPhase, StoreUnavailable, Unavailable
from stores.deployment import Deployment
from stores.four import Stores
from tests.distributed.serving import caught_up, processes
from tests.faults.server_process import ServerProcess, free_address

FACTS: dict[str, Any] = {
    "entities": [{"name": "Ana", "type": "person"}, {"name": "Leeds", "type": "place"}],
    "relations": [{"subject": "Ana", "predicate": "LIVES_IN", "object": "Leeds"}],
}
PARTS = {"weaviate": "INDEX", "neo4j": "GRAPH", "redis": "CACHE", "postgresql": "LEDGER"}
_LATE = PhaseOutcome.TIMED_OUT
FAILED = {"weaviate": {SearchPhase.KEYWORD, SearchPhase.DENSE}, "neo4j": {SearchPhase.GRAPH}}


@pytest.fixture
async def server(tmp_path: Path, place: Deployment) -> AsyncIterator[ServerProcess]:
    async with processes(tmp_path, place, 1) as [running]:
        yield running


async def health(server: ServerProcess, service: str = "memoir.readiness") -> str:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def until_health(server: ServerProcess, wanted: str) -> None:
    async with asyncio.timeout(60):
        while await health(server) != wanted:  # noqa: ASYNC110  # as a prober does
            await asyncio.sleep(0.1)


async def reachable(memoir: AsyncMemoir) -> dict[str, bool]:
    return {status.store.name: status.reachable for status in (await memoir.server_info()).stores}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["weaviate", "neo4j"])
async def test_a_projection_that_is_killed_and_returns(server: ServerProcess, four_stores: Stores, name: str) -> None:
    store = next(each for each in four_stores.each if each.name == name)
    async with AsyncMemoir(server.address) as memoir:
        first = await memoir.create("Ana lives in Leeds", user_id="ana", **FACTS)
        await caught_up(memoir)
        await asyncio.to_thread(store.kill)
        second = await memoir.create("Ana moved from Leeds to Ghent", user_id="ana", timeout=30, **FACTS)
        assert second.durability.name == "ACCEPTED"
        found = await memoir.search("Where in Leeds does Ana live?", user_id="ana", timeout=30)
        failed = {report.phase for report in found.phases if report.outcome is PhaseOutcome.FAILED}
        assert failed == FAILED[name]
        # Without the index the graph answers: it knows both.
        assert first.id in [hit.memory.id for hit in found.hits]
        assert (await memoir.get(second.id)).text == "Ana moved from Leeds to Ghent"
        await until_health(server, "NOT_SERVING")
        assert [part for part, well in (await reachable(memoir)).items() if not well] == [PARTS[name]]
        await asyncio.to_thread(store.start)
        await caught_up(memoir, timeout=90)
        await until_health(server, "SERVING")
        found = await memoir.search("Where in Leeds does Ana live?", user_id="ana")
        assert {hit.memory.id for hit in found.hits} == {first.id, second.id}
        assert all(report.outcome is not PhaseOutcome.FAILED for report in found.phases)
        assert (await memoir.check_consistency()).findings == ()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["weaviate", "neo4j", "redis"])
async def test_a_server_starts_while_a_store_is_down(
    tmp_path: Path, place: Deployment, four_stores: Stores, name: str
) -> None:
    store = next(each for each in four_stores.each if each.name == name)
    await asyncio.to_thread(store.kill)
    async with processes(tmp_path, place, 1) as [server], AsyncMemoir(server.address) as memoir:
        made = await memoir.create("Ana lives in Leeds", user_id="ana", timeout=30, **FACTS)
        assert made.durability.name == ("INDEXED" if name == "redis" else "ACCEPTED")
        await asyncio.to_thread(store.start)
        await caught_up(memoir, timeout=90)
        found = await memoir.search("Where does Ana live?", user_id="ana")
        assert [hit.memory.id for hit in found.hits] == [made.id]
        assert (await memoir.check_consistency()).findings == ()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["weaviate", "neo4j"])
async def test_a_store_that_hangs_costs_one_phase_and_returns(
    tmp_path: Path, place: Deployment, four_stores: Stores, name: str
) -> None:
    """It takes connections and answers nothing: the first search finds out, the next ones do not ask."""
    store = next(each for each in four_stores.each if each.name == name)
    bounded = Deployment({**place.settings, "limits.search_phase_seconds": "1"})
    async with processes(tmp_path, bounded, 1) as [server], AsyncMemoir(server.address) as memoir:
        made = await memoir.create("Ana lives in Leeds", user_id="ana", **FACTS)
        await caught_up(memoir)
        await asyncio.to_thread(store.suspend)
        try:
            for _ in range(3):
                found = await memoir.search("Where in Leeds does Ana live?", user_id="ana", timeout=30)
                lacking = {r.phase: r.outcome for r in found.phases if r.outcome in (_LATE, PhaseOutcome.FAILED)}
                assert set(lacking) == FAILED[name]
                # The phase that waited is the only one: whoever needs the store after it does not.
                assert list(lacking.values()).count(_LATE) <= 1
                assert [hit.memory.id for hit in found.hits] == [made.id]
        finally:
            await asyncio.to_thread(store.resume)
        async with asyncio.timeout(60):
            while True:
                found = await memoir.search("Where in Leeds does Ana live?", user_id="ana", timeout=30)
                if all(r.outcome is PhaseOutcome.DONE for r in found.phases):
                    break
        assert [hit.memory.id for hit in found.hits] == [made.id]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["weaviate", "neo4j", "redis"])
async def test_a_reset_waits_for_a_store_and_goes_on_by_itself(
    server: ServerProcess, four_stores: Stores, name: str
) -> None:
    store = next(each for each in four_stores.each if each.name == name)
    async with AsyncMemoir(server.address) as memoir:
        await memoir.create("Ana lives in Leeds", user_id="ana", **FACTS)
        await caught_up(memoir)
        await asyncio.to_thread(store.kill)
        running = await memoir.execute_reset(await memoir.plan_reset(user_id="ana", include_history=True))
        async with asyncio.timeout(60):
            while (seen := await memoir.get_reset(running.id)).error is None:
                assert not seen.done
                await asyncio.sleep(0.1)
        assert isinstance(seen.error, StoreUnavailable)
        assert (seen.state.name, seen.error.metadata["store"]) == ("RUNNING", PARTS[name].lower())
        assert seen.receipt is None
        await asyncio.to_thread(store.start)
        async with asyncio.timeout(90):
            done = [step async for step in memoir.watch_reset(running)][-1]
        assert (done.state.name, done.error) == ("SUCCEEDED", None)
        assert done.receipt is not None
        assert not any(each.remaining for each in done.receipt.stores)
        assert (await memoir.check_consistency()).findings == ()


@pytest.mark.timeout(240)
async def test_the_ledger_goes_and_returns(server: ServerProcess, four_stores: Stores) -> None:
    """Nothing can be written or read without it; what was acknowledged is there when it is back."""
    async with AsyncMemoir(server.address) as memoir:
        made = await memoir.create("Ana lives in Leeds", user_id="ana", **FACTS)
        await asyncio.to_thread(four_stores.postgresql.kill)
        with pytest.raises(Unavailable, match="ledger"):
            await memoir.create("Ana moved", user_id="ana", timeout=20)
        with pytest.raises(Unavailable, match="ledger"):
            await memoir.get(made.id, timeout=20)
        await until_health(server, "NOT_SERVING")
        await asyncio.to_thread(four_stores.postgresql.start)
        await until_health(server, "SERVING")
        assert (await memoir.get(made.id)).text == "Ana lives in Leeds"
        again = await memoir.create("Ana moved", user_id="ana", timeout=30)
        await caught_up(memoir)
        found = await memoir.search("Ana moved", user_id="ana")
        assert again.id in [hit.memory.id for hit in found.hits]


@pytest.mark.timeout(240)
async def test_without_its_ledger_a_server_does_not_start(
    tmp_path: Path, place: Deployment, four_stores: Stores
) -> None:
    await asyncio.to_thread(four_stores.postgresql.kill)
    refused = ServerProcess(tmp_path / "refused", free_address())
    said = await asyncio.to_thread(refused.refuse, environment=place.environment)
    assert "ledger" in said
    assert "Traceback" not in said
    password = place.settings["ledger.url"].split(":")[2].split("@")[0]
    assert password not in said


@pytest.mark.timeout(240)
async def test_the_cache_decides_nothing(server: ServerProcess, four_stores: Stores) -> None:
    async with AsyncMemoir(server.address) as memoir:
        made = await memoir.create("Ana lives in Leeds", user_id="ana")
        await asyncio.to_thread(four_stores.redis.kill)
        again = await memoir.create("Bo lives in Ghent", user_id="bo")
        assert again.durability.name == "INDEXED"
        assert [hit.memory.id for hit in (await memoir.search("Ana", user_id="ana")).hits] == [made.id]
        assert not (await reachable(memoir))["CACHE"]
        assert await health(server) == "SERVING"
