"""Who may do what, and how much."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import grpc
import pytest

from memoir.v1 import admin_pb2, history_pb2, memory_pb2, reset_pb2
from tests.integration.harness import ANA, TIMEOUT, Client, refusal_of, refused, serving

KEYS = json.dumps(
    [
        {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "namespaces": namespaces, "role": role}
        for name, namespaces, role in (
            ("alice-reads", ["team-a", "team-b"], "reader"),
            ("bot-writes", ["team-a"], "writer"),
            ("ops", ["*"], "admin"),
        )
    ]
)


async def test_no_key_and_wrong_keys_are_not_let_in(tmp_path: Path) -> None:
    async with serving(tmp_path, auth__api_keys=KEYS) as client:
        for headers in ([], [("authorization", "Bearer guess")], [("authorization", "Basic ops")]):
            call = client.memory.GetMemory(
                memory_pb2.GetMemoryRequest(memory_id="m"), timeout=TIMEOUT, metadata=headers
            )
            problem = await refused(call)
            assert (problem.code, problem.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
        assert await client.health_of("") == "SERVING"


async def test_a_reader_cannot_write_and_stays_in_its_namespaces(tmp_path: Path) -> None:
    async with serving(tmp_path, auth__api_keys=KEYS, key="alice-reads") as client:
        missing = await refused(client.get("m"))
        assert missing.metadata == {"namespace": "team-a", "memory_id": "m"}, "the first namespace is the default"
        assert (await refused(client.get("m", namespace="team-b"))).reason == "MEMORY_NOT_FOUND"
        other = await refused(client.get("m", namespace="team-c"))
        assert (other.code, other.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
        assert other.metadata == {"permission": "read", "namespace": "team-c"}
        write = await refused(client.create("x"))
        assert write.metadata == {"permission": "write", "namespace": "team-a"}
        # Permission comes before the request is judged.
        assert (await refused(client.create(""))).reason == "PERMISSION_DENIED"


async def test_a_writer_writes_under_its_name_and_cannot_reset(tmp_path: Path) -> None:
    async with serving(tmp_path, auth__api_keys=KEYS, key="bot-writes") as client:
        await client.create("x")
        events = (await client.history.ListHistory(history_pb2.ListHistoryRequest(), timeout=TIMEOUT)).events
        assert events[0].actor.principal == "bot-writes"
        target = reset_pb2.ResetTarget(scope=ANA)
        problem = await refused(client.reset.PlanReset(reset_pb2.PlanResetRequest(target=target), timeout=TIMEOUT))
        assert problem.metadata == {"permission": "admin", "namespace": "team-a"}
        info = await client.admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=TIMEOUT)
        assert info.revision == 1


async def test_an_admin_may_everything_everywhere(tmp_path: Path) -> None:
    async with serving(tmp_path, auth__api_keys=KEYS, key="ops") as client:
        created = await client.create("x")
        assert created.memory.namespace == "default"
        target = reset_pb2.ResetTarget(entire_namespace="team-z")
        request = reset_pb2.PlanResetRequest(namespace="team-z", target=target)
        planned = await client.reset.PlanReset(request, timeout=TIMEOUT)
        assert planned.confirm_token


async def test_request_ids_of_two_principals_do_not_meet(tmp_path: Path) -> None:
    async with serving(tmp_path, auth__api_keys=KEYS) as client:
        answers = []
        for name in ("bot-writes", "ops"):
            request = memory_pb2.CreateMemoryRequest(
                namespace="team-a", memory=memory_pb2.Memory(text=f"by {name}", scope=ANA), request_id="r-1"
            )
            header = [("authorization", f"Bearer {name}")]
            answers.append(await client.memory.CreateMemory(request, timeout=TIMEOUT, metadata=header))
        assert [a.memory.text for a in answers] == ["by bot-writes", "by ops"]


async def test_the_rate_limit_says_when_to_come_back(tmp_path: Path) -> None:
    async with serving(tmp_path, limits__calls_per_second="2", limits__burst="2") as client:
        for _ in range(2):
            assert (await refused(client.get("m"))).reason == "MEMORY_NOT_FOUND"
        problem = await refused(client.get("m"))
        assert (problem.code, problem.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert problem.metadata == {"limit": "2", "unit": "calls per second"}
        assert problem.details["QuotaFailure"].violations[0].subject == "anonymous"
        delay = problem.details["RetryInfo"].retry_delay
        await asyncio.sleep(delay.seconds + delay.nanos / 1e9)
        assert (await refused(client.get("m"))).reason == "MEMORY_NOT_FOUND"
        assert await client.health_of("") == "SERVING", "health is exempt"


async def test_too_many_watches_are_shed(tmp_path: Path) -> None:
    async with serving(tmp_path, limits__max_watches="1") as client:
        request = history_pb2.WatchHistoryRequest()
        first = client.history.WatchHistory(request, timeout=TIMEOUT)
        await first.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.history.WatchHistory(request, timeout=TIMEOUT).read()
        problem = refusal_of(caught.value)
        assert (problem.code, problem.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert problem.metadata == {"limit": "1"}
        assert problem.details["RetryInfo"].retry_delay.nanos == 500_000_000
        assert (await refused(client.get("m"))).reason == "MEMORY_NOT_FOUND", "calls have a limit of their own"
        first.cancel()
        answers = [await first_answer(client) for _ in range(100)]
        assert answers[0] in ("OVERLOADED", "bookmark"), "the place is given back a moment after the cancel"
        assert "bookmark" in answers


async def first_answer(client: Client) -> str:
    """What a new watch begins with: the kind of its first item, or the reason of its refusal."""
    try:
        item = await client.history.WatchHistory(history_pb2.WatchHistoryRequest(), timeout=TIMEOUT).read()
    except grpc.aio.AioRpcError as error:
        return refusal_of(error).reason
    assert isinstance(item, history_pb2.WatchHistoryResponse)
    return str(item.WhichOneof("item"))
