from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from memoir.v1 import common_pb2, history_pb2, memory_pb2
from tests.integration.harness import ANA, TIMEOUT, Client, refusal_of, refused, serving

Event = history_pb2.HistoryEvent
QUICK = Duration(nanos=100_000_000)


async def some_history(client: Client) -> None:
    await client.create("Ana lives in Rome", "m-1", request_id="r-1")
    await client.memory.UpdateMemory(
        memory_pb2.UpdateMemoryRequest(
            memory_id="m-1", memory=memory_pb2.Memory(text="Ana lives in Oslo"), reason="moved"
        ),
        timeout=TIMEOUT,
    )
    await client.create("Bob likes tea", "m-2", scope=common_pb2.Scope(user_id="bob"))
    await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id="m-1"), timeout=TIMEOUT)


def watch(client: Client, **fields: Any) -> Any:
    return client.history.WatchHistory(history_pb2.WatchHistoryRequest(**fields), timeout=TIMEOUT)


async def take(call: Any, count: int) -> list[history_pb2.WatchHistoryResponse]:
    return [await asyncio.wait_for(call.read(), TIMEOUT) for _ in range(count)]


async def test_events_tell_who_what_and_why(client: Client) -> None:
    await some_history(client)
    page = await client.history.ListHistory(history_pb2.ListHistoryRequest(), timeout=TIMEOUT)
    assert [(e.revision, e.type, e.memory_id) for e in page.events] == [
        (1, Event.EVENT_TYPE_CREATED, "m-1"),
        (2, Event.EVENT_TYPE_UPDATED, "m-1"),
        (3, Event.EVENT_TYPE_CREATED, "m-2"),
        (4, Event.EVENT_TYPE_DELETED, "m-1"),
    ]
    created, updated, _, deleted = page.events
    assert not created.HasField("before")
    assert created.request_id == "r-1"
    assert created.actor.principal == "anonymous"
    assert created.actor.kind == history_pb2.Actor.ACTOR_KIND_CLIENT
    assert (updated.before.text, updated.after.text) == ("Ana lives in Rome", "Ana lives in Oslo")
    assert updated.reason == "moved"
    assert deleted.before.text == "Ana lives in Oslo"
    assert not deleted.HasField("after")
    assert not page.next_page_token


async def test_the_callers_trace_is_kept_with_the_event(client: Client) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request = memory_pb2.CreateMemoryRequest(memory=memory_pb2.Memory(text="x", scope=ANA))
    await client.memory.CreateMemory(request, timeout=TIMEOUT, metadata=[("traceparent", traceparent)])
    request.memory.text = "y"
    await client.memory.CreateMemory(request, timeout=TIMEOUT, metadata=[("traceparent", "nonsense")])
    page = await client.history.ListHistory(history_pb2.ListHistoryRequest(), timeout=TIMEOUT)
    assert [e.traceparent for e in page.events] == [traceparent, ""]


async def test_pages_end_where_the_history_ended_at_the_first(client: Client) -> None:
    await some_history(client)
    request = history_pb2.ListHistoryRequest(page_size=3, filter=history_pb2.HistoryFilter(memory_id="m-1"))
    request.page_size = 2
    first = await client.history.ListHistory(request, timeout=TIMEOUT)
    assert [e.revision for e in first.events] == [1, 2]
    await client.create("Ana is back", "m-1")
    request.page_token = first.next_page_token
    second = await client.history.ListHistory(request, timeout=TIMEOUT)
    assert [e.revision for e in second.events] == [4]
    assert not second.next_page_token
    call = watch(client, filter=request.filter, resume_token=second.resume_token)
    assert (await take(call, 1))[0].event.revision == 5
    call.cancel()
    call = watch(client, filter=request.filter, resume_token=first.resume_token)
    assert [r.event.revision for r in await take(call, 2)] == [4, 5]
    call.cancel()
    request.filter.memory_id = "m-2"
    problem = await refused(client.history.ListHistory(request, timeout=TIMEOUT))
    assert (problem.reason, problem.metadata) == ("TOKEN_INVALID", {"field": "page_token"})


async def test_commit_times_bound_a_listing(client: Client) -> None:
    await some_history(client)
    events = (await client.history.ListHistory(history_pb2.ListHistoryRequest(), timeout=TIMEOUT)).events
    middle = common_pb2.TimeRange(start_time=events[1].commit_time, end_time=events[3].commit_time)
    request = history_pb2.ListHistoryRequest(commit_time_range=middle)
    page = await client.history.ListHistory(request, timeout=TIMEOUT)
    assert [e.revision for e in page.events] == [2, 3]
    call = watch(client, resume_token=page.resume_token)
    assert (await take(call, 1))[0].event.revision == 4
    call.cancel()


async def test_a_watch_is_ordered_gap_free_and_resumable(client: Client) -> None:
    await some_history(client)
    call = watch(client, start_revision=1)
    first = await take(call, 2)
    call.cancel()
    call = watch(client, resume_token=first[-1].resume_token, progress_interval=QUICK)
    rest = await take(call, 3)
    assert [r.event.revision for r in first + rest[:2]] == [1, 2, 3, 4]
    assert rest[2].bookmark == history_pb2.WatchHistoryResponse.Bookmark(revision=4, caught_up=True)
    await client.create("Ana is back", "m-3")
    while (item := (await take(call, 1))[0]).WhichOneof("item") == "bookmark":
        pass
    assert item.event.revision == 5
    call.cancel()


async def test_a_watch_starts_at_the_next_event_or_at_a_time(client: Client) -> None:
    await some_history(client)
    events = (await client.history.ListHistory(history_pb2.ListHistoryRequest(), timeout=TIMEOUT)).events
    at_time = watch(client, start_time=events[2].commit_time)
    assert (await take(at_time, 1))[0].event.revision == 3
    at_time.cancel()
    new_only = watch(client)
    assert (await take(new_only, 1))[0].bookmark.revision == 4
    await client.create("Ana is back", "m-3")
    assert (await take(new_only, 1))[0].event.revision == 5
    new_only.cancel()


async def test_a_quiet_watch_gets_bookmarks_to_resume_from(client: Client) -> None:
    nobody = history_pb2.HistoryFilter(scope=common_pb2.Scope(user_id="nobody"))
    call = watch(client, filter=nobody, start_revision=1, progress_interval=QUICK)
    await some_history(client)
    while (item := (await take(call, 1))[0]).bookmark.revision < 4:
        assert item.WhichOneof("item") == "bookmark"
    call.cancel()
    again = watch(client, filter=nobody, resume_token=item.resume_token, progress_interval=QUICK)
    assert (await take(again, 1))[0].bookmark.revision == 4
    again.cancel()


@pytest.mark.parametrize("case", ["other filter", "other namespace", "damaged"])
async def test_resume_tokens_belong_to_namespace_and_filter(client: Client, case: str) -> None:
    token = (await client.history.ListHistory(history_pb2.ListHistoryRequest(), timeout=TIMEOUT)).resume_token
    request = history_pb2.WatchHistoryRequest(resume_token=token)
    if case == "other filter":
        request.filter.memory_id = "m-1"
    elif case == "other namespace":
        request.namespace = "other"
    else:
        request.resume_token = "x" + token
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.history.WatchHistory(request, timeout=TIMEOUT).read()
    problem = refusal_of(caught.value)
    assert (problem.reason, problem.metadata) == ("TOKEN_INVALID", {"field": "resume_token"})


async def test_draining_ends_a_watch_with_a_token_that_resumes_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        await some_history(client)
        call = watch(client, start_revision=1)
        seen = await take(call, 5)
        assert seen[4].bookmark.caught_up
        stopping = asyncio.create_task(client.server.stop())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await take(call, 1)
        ended = refusal_of(caught.value)
        await stopping
    assert (ended.code, ended.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
    assert ended.details["RetryInfo"].retry_delay.seconds == 1
    async with serving(tmp_path) as client:
        await client.create("Ana is back", "m-3")
        call = watch(client, resume_token=ended.metadata["resume_token"])
        assert (await take(call, 1))[0].event.revision == 5
        call.cancel()
