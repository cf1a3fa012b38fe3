"""The server as a whole: information, health, reflection, what is not built, defects, draining, restarting."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # type: ignore[import-untyped]

from memoir.v1 import admin_pb2, common_pb2, memory_pb2, reset_pb2
from memoir_server.app.server import Server
from memoir_server.app.settings import SettingsError
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.rpc.contract_digest import CONTRACT_SHA256
from memoir_server.rpc.interceptors.validate import ValidatorBroken
from tests.integration.harness import ANA, TIMEOUT, Client, refusal_of, refused, serving, settings_for


async def test_server_info(client: Client) -> None:
    await client.create("x")
    info = await client.admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=TIMEOUT)
    assert info.contract_digest == CONTRACT_SHA256
    assert list(info.features) == [
        "context",
        "doctor",
        "graph",
        "graph_read",
        "reset",
        "scopes",
        "transfer",
        "watch",
    ]
    assert info.profile == "embedded"
    assert info.embedding_model.startswith("hash@")
    assert info.ranking_version
    assert info.limits["max_message_bytes"] == 4 * 1024 * 1024
    assert info.revision == 1
    stores = {s.store: s for s in info.stores}
    assert len(stores) == 5
    assert all(s.reachable for s in stores.values())
    index = stores[common_pb2.STORE_KIND_INDEX]
    assert (index.applied_revision, index.lag, index.degraded) == (1, 0, 0)
    assert index.breaker == admin_pb2.StoreStatus.BREAKER_STATE_CLOSED
    assert index.HasField("latency")


def _not_built(client: Client) -> list[tuple[str, Any, Any]]:
    episode = memory_pb2.Message(role=memory_pb2.ROLE_USER, content="x")
    return [
        (
            "infer",
            client.memory.AddMemories,
            memory_pb2.AddMemoriesRequest(scope=ANA, messages=[episode], mode=memory_pb2.ADD_MODE_INFER),
        ),
        ("infer", client.memory.GetIngestion, memory_pb2.GetIngestionRequest(ingestion_id="i")),
        ("infer", client.memory.ListIngestions, memory_pb2.ListIngestionsRequest()),
    ]


async def test_what_is_not_built_says_so(client: Client) -> None:
    call: Any
    for feature, method, request in _not_built(client):
        call = method(request, timeout=TIMEOUT)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call if isinstance(call, grpc.aio.UnaryUnaryCall) else call.read())
        problem = refusal_of(caught.value)
        assert (problem.code, problem.reason) == (grpc.StatusCode.UNIMPLEMENTED, "FEATURE_DISABLED")
        assert problem.metadata == {"feature": feature}


async def test_a_defect_is_reported_by_its_trace_and_nothing_else(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Ana's secret")

    monkeypatch.setattr(client.server.composition.ledger, "get", fail)
    with caplog.at_level(logging.ERROR):
        problem = await refused(client.get("m"))
    assert (problem.code, problem.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    trace_id = problem.metadata["trace_id"]
    assert len(trace_id) == 32
    assert "secret" not in str(problem.details)
    [record] = [r for r in caplog.records if trace_id in r.getMessage()]
    assert record.exc_info is not None
    assert record.exc_info[0] is RuntimeError
    # The caller's own trace, where it sent one.
    with caplog.at_level(logging.ERROR):
        call = client.memory.GetMemory(
            memory_pb2.GetMemoryRequest(memory_id="m"),
            timeout=TIMEOUT,
            metadata=[("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01")],
        )
        assert (await refused(call)).metadata == {"trace_id": "ab" * 16}


async def test_the_deadline_is_answered_with_its_reason(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*_: object, **__: object) -> None:
        await asyncio.sleep(TIMEOUT)

    monkeypatch.setattr(client.server.composition.ledger, "get", slow)
    problem = await refused(client.memory.GetMemory(memory_pb2.GetMemoryRequest(memory_id="m"), timeout=0.5))
    assert (problem.code, problem.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_a_store_that_is_down_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("ledger", "the disk is gone")

    monkeypatch.setattr(client.server.composition.ledger, "get", down)
    problem = await refused(client.get("m"))
    assert (problem.code, problem.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert problem.metadata == {"store": "ledger"}
    assert problem.details["RetryInfo"].retry_delay.seconds == 1


async def test_bytes_that_are_no_request_are_refused(client: Client) -> None:
    call: Any = client.channel.unary_unary("/memoir.v1.MemoryService/GetMemory")
    problem = await refused(call(b"\xff\xff\xff", timeout=TIMEOUT))
    assert (problem.code, problem.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert problem.fields == ["request"]


async def test_many_violations_fit_into_a_trailer(client: Client) -> None:
    item = memory_pb2.BatchCreateMemoriesRequest.Item(memory_id="no spaces please", memory=memory_pb2.Memory(text="x"))
    request = memory_pb2.BatchCreateMemoriesRequest(items=[item] * 500)
    problem = await refused(client.memory.BatchCreateMemories(request, timeout=TIMEOUT))
    assert 10 < len(problem.fields) < 200
    assert f"{500 - len(problem.fields) + 1} more" in problem.details["BadRequest"].field_violations[-1].description


async def test_health_names_the_store_that_is_down(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["", "memoir.liveness", "memoir.readiness", "memoir.v1.MemoryService", "memoir.store.index"]
    assert [await client.health_of(name) for name in names] == ["SERVING"] * 5

    async def down() -> str:
        raise StoreUnavailable("index", "the file is gone")

    monkeypatch.setattr(client.server.composition.index, "ping", down)
    await client.until_health_of("memoir.store.index", "NOT_SERVING")
    assert await client.health_of("memoir.readiness") == "NOT_SERVING"
    assert await client.health_of("memoir.v1.SearchService") == "NOT_SERVING"
    assert await client.health_of("memoir.store.ledger") == "SERVING"
    assert await client.health_of("memoir.liveness") == "SERVING"
    info = await client.admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=TIMEOUT)
    assert [s.store for s in info.stores if not s.reachable] == [common_pb2.STORE_KIND_INDEX]
    monkeypatch.undo()
    await client.until_health_of("memoir.readiness", "SERVING")


@pytest.mark.parametrize("on", [True, False])
async def test_reflection_is_on_unless_switched_off(tmp_path: Path, on: bool) -> None:
    async with serving(tmp_path, server__reflection=str(on).lower()) as client:
        stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call: Any = stub.ServerReflectionInfo(iter([request]), timeout=TIMEOUT)
        if not on:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            return
        services = {s.name for s in (await call.read()).list_services_response.service}
        assert {"memoir.v1.MemoryService", "memoir.v1.AdminService", "grpc.health.v1.Health"} <= services


async def test_draining_finishes_calls_in_hand_and_refuses_new_ones(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await client.create("x", "m")
    ledger = client.server.composition.ledger
    get, entered, release = ledger.get, asyncio.Event(), asyncio.Event()

    async def held(*args: Any, **kwargs: Any) -> Any:
        entered.set()
        await release.wait()
        return await get(*args, **kwargs)

    monkeypatch.setattr(ledger, "get", held)
    in_hand = asyncio.create_task(client.get("m"))
    await entered.wait()
    health = client.health.Watch(health_pb2.HealthCheckRequest(service="memoir.readiness"), timeout=TIMEOUT)
    assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
    planned = await client.reset.PlanReset(
        reset_pb2.PlanResetRequest(target=reset_pb2.ResetTarget(scope=ANA)), timeout=TIMEOUT
    )
    assert planned.confirm_token
    client.server.composition.draining.begin()
    problem = await refused(client.get("m"))
    assert (problem.code, problem.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
    assert problem.details["RetryInfo"].retry_delay.seconds == 1
    stopping = asyncio.create_task(client.server.stop())
    assert (await health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    release.set()
    assert await in_hand == created.memory
    health.cancel()
    await stopping


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        created = await client.create("Ana likes green tea", "m")
    async with serving(tmp_path) as client:
        assert await client.get("m") == created.memory
        assert [h.memory.memory_id for h in (await client.find("green tea")).hits] == ["m"]


async def test_a_server_that_cannot_validate_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind:
        def collect_violations(self, message: Any, /, *, fail_fast: bool = False) -> list[Any]:
            return []

    monkeypatch.setattr("memoir_server.rpc.interceptors.validate.Validator", Blind)
    with pytest.raises(ValidatorBroken, match="passed validation"):
        await Server(settings_for(tmp_path)).start()


async def test_an_address_in_use_is_a_settings_error(client: Client, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "other", server__listen=client.server.address)
    with pytest.raises(SettingsError, match=r"server\.listen.*cannot be bound"):
        await Server(settings).start()


async def test_golden_runs_repeat_exactly(tmp_path: Path) -> None:
    answers = []
    for name in ("one", "two"):
        async with serving(tmp_path / name, testing__enabled="true") as client:
            await client.create("Ana likes green tea")
            if name == "two":
                await asyncio.sleep(1.5)  # background work wakes meanwhile and must not move the clock
            await client.create("Ana plays chess")
            found = await client.find("green tea")
            answers.append((list(found.hits), found.search_id))
    assert answers[0] == answers[1]
    assert answers[0][0][0].memory.create_time.ToJsonString().startswith("2026-01-01T00:00:00")
