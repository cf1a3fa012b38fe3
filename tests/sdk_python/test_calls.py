"""Headers, deadlines, retries, and errors by reason, as seen over a real socket."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2  # type: ignore[import-untyped]

import memoir
from memoir import AsyncMemoir, errors
from memoir._contract import CONTRACT_SHA256
from memoir.memory import memory_from_proto
from memoir.v1 import error_reason_pb2, memory_pb2
from tests.sdk_python.fake_server import UNAVAILABLE, FakeServer, rich_status

FOUND = memory_pb2.GetMemoryResponse(memory=memory_pb2.Memory(memory_id="m1", text="Ana lives in Lisbon."))
CREATED = memory_pb2.CreateMemoryResponse(memory=FOUND.memory, revision=3)


async def test_headers_of_every_call(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.script("GetMemory", FOUND)
    await client.get("m1")
    [call] = fake.calls
    assert call.request == memory_pb2.GetMemoryRequest(namespace="tests", memory_id="m1")
    assert call.metadata["authorization"] == "Bearer secret"
    assert call.metadata["x-memoir-contract"] == CONTRACT_SHA256
    assert call.metadata["user-agent"].startswith(f"memoir-python/{memoir.__version__} ")
    version, trace_id, span_id, flags = call.metadata["traceparent"].split("-")
    assert (version, len(trace_id), len(span_id), flags) == ("00", 32, 16, "01")
    assert "grpc-previous-rpc-attempts" not in call.metadata


async def test_traceparent_of_the_current_span(fake: FakeServer, client: AsyncMemoir) -> None:
    from opentelemetry import trace

    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    fake.script("GetMemory", FOUND)
    with trace.use_span(trace.NonRecordingSpan(context)):
        await client.get("m1")
    assert fake.calls[0].metadata["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"


@pytest.mark.parametrize(("given", "seen"), [(None, 5.0), (1.5, 1.5)])
async def test_the_server_sees_the_deadline(
    fake: FakeServer, client: AsyncMemoir, given: float | None, seen: float
) -> None:
    fake.script("GetMemory", FOUND)
    await client.get("m1", timeout=given)
    remaining = fake.calls[0].time_remaining
    assert remaining is not None
    # gRPC rounds a deadline up on the wire, by 3 % at most.
    assert seen * 0.75 < remaining < seen * 1.03 + 0.02


async def test_deadline_exceeded(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.answers["GetMemory"] = lambda _: asyncio.sleep(5)
    with pytest.raises(errors.DeadlineExceeded) as caught:
        await client.get("m1", timeout=0.2)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_read_is_retried_and_the_server_sees_the_attempts(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.script("GetMemory", UNAVAILABLE, UNAVAILABLE, FOUND)
    assert (await client.get("m1")).text == "Ana lives in Lisbon."
    assert [call.metadata.get("grpc-previous-rpc-attempts") for call in fake.calls] == [None, "1", "2"]
    assert len({call.metadata["traceparent"] for call in fake.calls}) == 1


async def test_attempts_are_bounded(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.script("GetMemory", *[UNAVAILABLE] * 9)
    with pytest.raises(errors.StoreUnavailable) as caught:
        await client.get("m1")
    assert len(fake.calls) == 4
    assert caught.value.metadata == {"store": "index"}


async def test_a_mutation_is_retried_with_one_request_id(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.script("CreateMemory", UNAVAILABLE, CREATED)
    await client.create("Ana lives in Lisbon.", user_id="ana")
    first, second = fake.calls
    assert len(first.request.request_id) == 36
    assert first.request == second.request


async def test_a_mutation_without_protection_is_not_retried(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.script("CreateMemory", UNAVAILABLE, CREATED)
    with pytest.raises(errors.StoreUnavailable):
        await client.create("Ana lives in Lisbon.", user_id="ana", request_id="")
    assert len(fake.calls) == 1


async def test_the_server_s_delay_is_waited_for(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.script("GetMemory", rich_status(code_pb2.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_delay=0.4), FOUND)
    begin = time.monotonic()
    await client.get("m1", timeout=2.0)
    assert time.monotonic() - begin >= 0.4
    # All attempts share one deadline. gRPC rounds it up on the wire, by 3 % at most.
    assert (fake.calls[1].time_remaining or 0) < 1.6 * 1.03 + 0.02


async def test_no_attempt_starts_after_the_deadline(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.script("GetMemory", rich_status(code_pb2.UNAVAILABLE, "SERVER_DRAINING", retry_delay=30.0), FOUND)
    begin = time.monotonic()
    with pytest.raises(errors.ServerDraining) as caught:
        await client.get("m1", timeout=1.0)
    assert time.monotonic() - begin < 0.9
    assert caught.value.retry_delay == 30.0
    assert len(fake.calls) == 1


async def test_exhaustion_without_advice_is_final(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.script("GetMemory", rich_status(code_pb2.RESOURCE_EXHAUSTED), FOUND)
    with pytest.raises(errors.ResourceExhausted):
        await client.get("m1")
    assert len(fake.calls) == 1


async def test_messages_over_the_limit_are_refused(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.answers["GetMemory"] = lambda _: memory_pb2.GetMemoryResponse(memory=memory_pb2.Memory(text="x" * (5 << 20)))
    with pytest.raises(errors.ResourceExhausted):
        await client.get("m1")
    with pytest.raises(errors.ResourceExhausted):
        await client.create("x" * (5 << 20), user_id="ana")
    assert len(fake.calls) == 1


def reason_names() -> list[str]:
    values = error_reason_pb2.ErrorReason.DESCRIPTOR.values
    return [value.name.removeprefix("ERROR_REASON_") for value in values if value.number]


def test_every_reason_has_a_class() -> None:
    assert set(errors.CLASS_BY_REASON) == set(reason_names())
    assert set(errors.CLASS_BY_CODE) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


@pytest.mark.parametrize("reason", reason_names())
async def test_reason_to_class(fake: FakeServer, client: AsyncMemoir, reason: str) -> None:
    expected = errors.CLASS_BY_REASON[reason]
    code = next(code for code, cls in errors.CLASS_BY_CODE.items() if issubclass(expected, cls))
    fake.script("CreateMemory", rich_status(code.value[0], reason, "what happened", key="value"))
    with pytest.raises(errors.MemoirError) as caught:
        await client.create("text", user_id="ana", request_id="")
    error = caught.value
    assert type(error) is expected
    assert (error.reason, error.code, error.message) == (reason, code, "what happened")
    assert error.metadata == {"key": "value"}
    assert error.status.details


async def test_error_without_details(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.script("GetMemory", rich_status(code_pb2.CANCELLED), rich_status(code_pb2.NOT_FOUND))
    with pytest.raises(errors.Cancelled):
        await client.get("m1")
    with pytest.raises(errors.NotFound) as caught:
        await client.get("m1")
    assert caught.value.reason == ""


async def test_a_reason_of_tomorrow_falls_back_to_its_code(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.script("GetMemory", rich_status(code_pb2.FAILED_PRECONDITION, "NOT_INVENTED_YET"))
    with pytest.raises(errors.FailedPrecondition) as caught:
        await client.get("m1")
    assert caught.value.reason == "NOT_INVENTED_YET"


async def test_nobody_listens() -> None:
    async with AsyncMemoir("127.0.0.1:1") as client:
        with pytest.raises(errors.Unavailable):
            await client.get("m1", timeout=1.0)


async def test_use_after_close_and_in_another_loop(fake: FakeServer) -> None:
    fake.script("GetMemory", FOUND)
    client = AsyncMemoir(fake.target)
    await client.get("m1")

    def elsewhere() -> Any:
        return asyncio.run(client.get("m1"))

    with pytest.raises(RuntimeError, match="one per loop"):
        await asyncio.to_thread(elsewhere)
    await client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.get("m1")


async def test_in_namespace_shares_the_connection(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.script("GetMemory", FOUND, FOUND)
    other = client.in_namespace("other")
    await other.get("m1")
    await other.close()
    await client.get("m1")
    assert [call.request.namespace for call in fake.calls] == ["other", "tests"]


async def test_a_write_returns_its_memory_and_what_it_did(fake: FakeServer, client: AsyncMemoir) -> None:
    superseded = memory_pb2.Memory(memory_id="m0", superseded_by="m1")
    created = memory_pb2.CreateMemoryResponse(
        memory=FOUND.memory,
        revision=3,
        durability="DURABILITY_ACCEPTED",
        changes=[memory_pb2.MemoryChange(action="ACTION_SUPERSEDED", memory=superseded)],
    )
    updated = memory_pb2.UpdateMemoryResponse(memory=FOUND.memory, revision=4, durability="DURABILITY_INDEXED")
    fake.script("CreateMemory", created)
    fake.script("UpdateMemory", updated)
    fake.script("GetMemory", FOUND)
    made = await client.create("Ana lives in Lisbon.", user_id="ana", supersedes=["m0"])
    assert (made.id, made.write_revision, made.durability, made.response) == ("m1", 3, "ACCEPTED", created)
    [change] = made.changes
    assert (change.action, change.memory.id, change.memory.superseded_by) == ("SUPERSEDED", "m0", "m1")
    changed = await client.update("m1", text="Ana lives in Lisbon.")
    assert (changed.write_revision, changed.durability, changed.changes) == (4, "INDEXED", ())
    read = await client.get("m1")
    assert made == read
    assert read == made
    assert made != "m1"
    assert made != memory_from_proto(memory_pb2.Memory(memory_id="m2"))
