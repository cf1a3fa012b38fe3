from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from memoir.v1 import common_pb2, graph_pb2, history_pb2, memory_pb2, reset_pb2
from tests.integration.harness import ANA, TIMEOUT, Client, refusal_of, refused

Target = reset_pb2.ResetTarget
Reset = reset_pb2.Reset


async def plan(client: Client, target: reset_pb2.ResetTarget, **fields: Any) -> reset_pb2.PlanResetResponse:
    return await client.reset.PlanReset(reset_pb2.PlanResetRequest(target=target, **fields), timeout=TIMEOUT)


async def execute(
    client: Client, planned: reset_pb2.PlanResetResponse, **fields: Any
) -> reset_pb2.ExecuteResetResponse:
    request = reset_pb2.ExecuteResetRequest(
        reset_id=planned.reset.reset_id, confirm_token=planned.confirm_token, **fields
    )
    return await client.reset.ExecuteReset(request, timeout=TIMEOUT)


async def finished(client: Client, reset_id: str) -> reset_pb2.Reset:
    """Watches to the end; the sequence must rise."""
    last = reset_pb2.WatchResetResponse()
    async for step in client.reset.WatchReset(reset_pb2.WatchResetRequest(reset_id=reset_id), timeout=TIMEOUT):
        assert step.sequence > last.sequence or step.reset.state == Reset.STATE_RUNNING
        last = step
    return last.reset


async def test_plan_execute_watch_receipt(client: Client) -> None:
    await client.create("Ana likes tea", "a-1")
    await client.create("Ana likes milk", "a-2")
    await client.create("Bob likes tea", "b-1", scope=common_pb2.Scope(user_id="bob"))
    keep = common_pb2.Filter(
        compare=common_pb2.Filter.Comparison(
            field="memory_id",
            operator=common_pb2.Filter.OPERATOR_EQUAL,
            value=common_pb2.MetadataValue(string_value="a-2"),
        )
    )
    target = Target(scope=ANA, preserve=keep)
    planned = await plan(client, target)
    assert planned.reset.state == Reset.STATE_PLANNED
    assert planned.reset.target == target
    assert planned.reset.sample_memory_ids == ["a-1"]
    assert planned.reset.planned_revision == 3
    assert (await client.get("a-1")).text == "Ana likes tea"
    executed = await execute(client, planned)
    assert executed.revision == executed.reset.fence_revision == 4
    assert (await refused(client.get("a-1"))).reason == "MEMORY_NOT_FOUND"
    done = await finished(client, planned.reset.reset_id)
    assert done.state == Reset.STATE_SUCCEEDED
    assert done.receipt.memories == 1
    assert all(store.remaining == 0 for store in done.receipt.stores)
    assert len(done.receipt.digest) == 64
    read = await client.reset.GetReset(reset_pb2.GetResetRequest(reset_id=done.reset_id), timeout=TIMEOUT)
    assert read.reset == done
    assert {(await client.get(m)).memory_id for m in ("a-2", "b-1")} == {"a-2", "b-1"}
    events = (await client.history.ListHistory(history_pb2.ListHistoryRequest(), timeout=TIMEOUT)).events
    assert [e.type for e in events[3:]] == [
        history_pb2.HistoryEvent.EVENT_TYPE_DELETED,
        history_pb2.HistoryEvent.EVENT_TYPE_RESET,
    ]
    assert events[3].reset_id == done.reset_id


async def test_an_erasure_leaves_stubs_and_nothing_else(client: Client) -> None:
    await client.create("Ana likes tea", "a-1")
    planned = await plan(client, Target(scope=ANA, include_history=True))
    await execute(client, planned)
    done = await finished(client, planned.reset.reset_id)
    assert done.state == Reset.STATE_SUCCEEDED
    assert done.receipt.events_erased == 2
    events = (await client.history.ListHistory(history_pb2.ListHistoryRequest(), timeout=TIMEOUT)).events
    erased = [e for e in events if e.type == history_pb2.HistoryEvent.EVENT_TYPE_ERASED]
    assert len(erased) == 2
    for event in erased:
        assert (event.memory_id, event.reason, event.HasField("before"), event.HasField("after")) == (
            "",
            "",
            False,
            False,
        )


async def test_an_erasure_passes_over_another_users_memory_of_the_same_id(client: Client) -> None:
    entities = [graph_pb2.EntityMention(name="tea")]
    await client.create("Ana likes tea", "m-1", entities=entities)
    await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id="m-1"), timeout=TIMEOUT)
    bob = common_pb2.Scope(user_id="bob")
    bobs = (await client.create("Bob likes tea", "m-1", scope=bob, entities=entities)).memory
    planned = await plan(client, Target(scope=ANA, include_history=True))
    await execute(client, planned)
    done = await finished(client, planned.reset.reset_id)
    assert done.state == Reset.STATE_SUCCEEDED
    assert done.receipt.events_erased == 2
    assert await client.get("m-1") == bobs
    found = await client.find("tea", scope=bob, view=memory_pb2.MEMORY_VIEW_FULL)
    assert [hit.memory for hit in found.hits] == [bobs]


async def test_a_repeated_plan_is_the_same_plan(client: Client) -> None:
    await client.create("Ana likes tea", "a-1")
    first = await plan(client, Target(scope=ANA), request_id="r-1")
    assert await plan(client, Target(scope=ANA), request_id="r-1") == first
    assert (
        await refused(plan(client, Target(entire_namespace="default"), request_id="r-1"))
    ).reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("target", "field"),
    [
        (Target(), "target.extent"),
        (Target(scope=common_pb2.Scope()), "target.scope"),
        (Target(entire_namespace="defaults"), "target.entire_namespace"),
        (Target(scope=ANA, include_history=True, keep_graph=True), "target.keep_graph"),
        (Target(scope=ANA, keep_graph=True, keep_vector=True), "target.keep_graph"),
    ],
)
async def test_targets_that_are_refused(client: Client, target: reset_pb2.ResetTarget, field: str) -> None:
    problem = await refused(plan(client, target))
    assert (problem.reason, problem.fields) == ("FIELD_INVALID", [field])


async def test_wrong_tokens_drift_and_unknown_resets(client: Client) -> None:
    await client.create("Ana likes tea", "a-1")
    planned = await plan(client, Target(entire_namespace="default"))
    reset_id = planned.reset.reset_id
    wrong = await refused(
        client.reset.ExecuteReset(
            reset_pb2.ExecuteResetRequest(reset_id=reset_id, confirm_token="guess"), timeout=TIMEOUT
        )
    )
    assert (wrong.code, wrong.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CONFIRM_TOKEN_INVALID")
    assert wrong.metadata == {"reset_id": reset_id}
    await client.create("Ana likes milk", "a-2")
    stale = await refused(execute(client, planned))
    assert (stale.code, stale.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESET_PLAN_STALE")
    assert stale.metadata == {"reset_id": reset_id, "planned_revision": "1", "current_revision": "2"}
    await execute(client, planned, allow_drift=True)
    listed = await client.memory.ListMemories(memory_pb2.ListMemoriesRequest(), timeout=TIMEOUT)
    assert not listed.memories
    unknown = await refused(client.reset.GetReset(reset_pb2.GetResetRequest(reset_id="r-0"), timeout=TIMEOUT))
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "RESET_NOT_FOUND")
    assert unknown.metadata == {"namespace": "default", "reset_id": "r-0"}
    assert unknown.details["ResourceInfo"].resource_name == "r-0"


async def test_a_cancelled_plan_cannot_be_executed(client: Client) -> None:
    await client.create("Ana likes tea", "a-1")
    planned = await plan(client, Target(scope=ANA))
    cancelled = await client.reset.CancelReset(
        reset_pb2.CancelResetRequest(reset_id=planned.reset.reset_id), timeout=TIMEOUT
    )
    assert cancelled.reset.state == Reset.STATE_CANCELLED
    assert (await refused(execute(client, planned))).reason == "RESET_PLAN_STALE"
    assert (await finished(client, planned.reset.reset_id)).state == Reset.STATE_CANCELLED


async def test_draining_ends_the_watch_of_a_reset(client: Client) -> None:
    planned = await plan(client, Target(scope=ANA))
    call = client.reset.WatchReset(reset_pb2.WatchResetRequest(reset_id=planned.reset.reset_id), timeout=TIMEOUT)
    first: Any = await call.read()
    assert first.reset.state == Reset.STATE_PLANNED
    stopping = asyncio.create_task(client.server.stop())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    await stopping
    ended = refusal_of(caught.value)
    assert (ended.reason, ended.metadata) == ("SERVER_DRAINING", {})
