"""Pages, streaming search and its fold, watches that survive, resets, transfer, the doctor."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2  # type: ignore[import-untyped]

from memoir import (
    AsyncMemoir,
    Bookmark,
    ExportedMemory,
    ExportHeader,
    ExportSummary,
    HistoryCompacted,
    HistoryEvent,
    IncompleteStream,
    InvalidArgument,
    PhaseFailed,
    PhaseHits,
    SearchCompleted,
    SearchStarted,
    StoreUnavailable,
    Unavailable,
    fold,
)
from memoir.v1 import admin_pb2, common_pb2, history_pb2, memory_pb2, reset_pb2, search_pb2, transfer_pb2
from tests.sdk_python.fake_server import UNAVAILABLE, Abort, FakeServer, rich_status

Event = search_pb2.StreamSearchMemoriesResponse


def hit(memory_id: str, score: float) -> search_pb2.SearchHit:
    return search_pb2.SearchHit(memory=memory_pb2.Memory(memory_id=memory_id), score=score, parts={"bm25": score})


def report(phase: int, outcome: int = 1) -> search_pb2.PhaseReport:
    return search_pb2.PhaseReport(phase=phase, outcome=outcome)  # type: ignore[arg-type]


EVENTS = [
    Event(sequence=1, started=Event.Started(search_id="s", phases=[1, 2, 3], revision=4)),  # type: ignore[list-item]
    Event(
        sequence=2, phase_hits=Event.PhaseHits(report=report(1), new_hits=[hit("a", 0.2), hit("b", 0.1)], order="ab")
    ),
    Event(
        sequence=3,
        phase_hits=Event.PhaseHits(
            report=report(2),
            new_hits=[hit("c", 0.9)],
            updated_hits=[search_pb2.HitUpdate(memory_id="b", score=0.8, parts={"cosine": 0.8})],
            order="cba",
        ),
    ),
    Event(sequence=4, phase_failed=report(3, 4)),
    Event(sequence=5, completed=Event.Completed(order="cb", phases=[report(1), report(2), report(3, 4)], revision=5)),
]


def streaming(*items: Any) -> Any:
    async def answer(_: Any) -> AsyncIterator[Any]:
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item

    return answer


def in_turn(*streams: Any) -> Any:
    """Answer each attempt with the next stream."""
    left = iter(streams)

    def answer(request: Any) -> Any:
        return next(left)(request)

    return answer


async def test_pages(fake: FakeServer, client: AsyncMemoir) -> None:
    def answer(request: memory_pb2.ListMemoriesRequest) -> memory_pb2.ListMemoriesResponse:
        start = int(request.page_token or 0)
        memories = [memory_pb2.Memory(memory_id=str(index)) for index in range(start, min(start + 2, 5))]
        token = str(start + 2) if start + 2 < 5 else ""
        return memory_pb2.ListMemoriesResponse(memories=memories, next_page_token=token, revision=8)

    fake.answers["ListMemories"] = answer
    listing = client.list(user_id="ana", filter={"topic": "travel"}, page_size=2)
    assert fake.calls == []
    assert [memory.id async for memory in listing] == ["0", "1", "2", "3", "4"]
    assert [[memory.id for memory in page.items] async for page in listing.pages()] == [["0", "1"], ["2", "3"], ["4"]]
    assert [call.request.page_token for call in fake.calls] == ["", "2", "4"] * 2
    assert all(call.request.filter == fake.calls[0].request.filter for call in fake.calls)
    first = await anext(client.list(page_token="2").pages())
    assert (first.items[0].id, first.next_page_token, first.revision) == ("2", "4", 8)


async def test_search_stream_and_fold(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.answers["StreamSearchMemories"] = streaming(*EVENTS)
    events = [event async for event in client.search_stream("query", user_id="ana", limit=2, recipe="balanced")]
    assert [type(event) for event in events] == [SearchStarted, PhaseHits, PhaseHits, PhaseFailed, SearchCompleted]
    assert fake.calls[0].request.spec.recipe == search_pb2.RECIPE_BALANCED
    result = fold(events)
    assert [(item.memory.id, item.score, item.parts) for item in result.hits] == [
        ("c", 0.9, {"bm25": 0.9}),
        ("b", 0.8, {"cosine": 0.8}),
    ]
    assert (result.revision, result.search_id) == (5, "s")
    assert [(item.phase, item.outcome) for item in result.phases] == [
        ("KEYWORD", "DONE"),
        ("DENSE", "DONE"),
        ("GRAPH", "FAILED"),
    ]
    # The events are as received: folding again gives the same, and equals the unary response.
    fake.answers["SearchMemories"] = lambda _: fold(events).message
    assert await client.search("query") == result
    assert events[1].message == EVENTS[1]


@pytest.mark.parametrize("missing", [1, 2, 4])
async def test_fold_notices_a_missing_event(fake: FakeServer, client: AsyncMemoir, missing: int) -> None:
    fake.answers["StreamSearchMemories"] = streaming(*EVENTS[:missing], *EVENTS[missing + 1 :])
    events = [event async for event in client.search_stream("query")]
    with pytest.raises(IncompleteStream):
        fold(events)


async def test_a_stream_is_retried_only_before_its_first_message(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.answers["StreamSearchMemories"] = in_turn(
        streaming(Abort(UNAVAILABLE)), streaming(EVENTS[0], Abort(UNAVAILABLE))
    )
    stream = client.search_stream("query")
    assert isinstance(await anext(stream), SearchStarted)
    with pytest.raises(StoreUnavailable):
        await anext(stream)
    assert [call.metadata.get("grpc-previous-rpc-attempts") for call in fake.calls] == [None, "1"]
    remaining = fake.calls[0].time_remaining
    assert remaining is not None
    assert remaining < 5.1


async def test_leaving_a_stream_cancels_the_call(fake: FakeServer, client: AsyncMemoir) -> None:
    ended = asyncio.Event()

    async def endless(_: Any) -> AsyncIterator[Any]:
        try:
            while True:
                yield bookmark(1)
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    fake.answers["WatchHistory"] = endless
    async with client.watch(bookmarks=True) as items:
        assert isinstance(await anext(items), Bookmark)
    await asyncio.wait_for(ended.wait(), 5)


def change(revision: int) -> history_pb2.WatchHistoryResponse:
    event = history_pb2.HistoryEvent(
        revision=revision,
        type=history_pb2.HistoryEvent.EVENT_TYPE_CREATED,
        memory_id=f"m{revision}",
        after=memory_pb2.Memory(memory_id=f"m{revision}"),
        commit_time=Timestamp(seconds=revision),
    )
    return history_pb2.WatchHistoryResponse(resume_token=f"t{revision}", event=event)


def bookmark(revision: int) -> history_pb2.WatchHistoryResponse:
    return history_pb2.WatchHistoryResponse(
        resume_token=f"t{revision}", bookmark=history_pb2.WatchHistoryResponse.Bookmark(revision=revision)
    )


async def test_watch_resumes_after_errors_and_ends(fake: FakeServer, client: AsyncMemoir) -> None:
    draining = rich_status(code_pb2.UNAVAILABLE, "SERVER_DRAINING", resume_token="t4", retry_delay=0.01)
    compacted = rich_status(code_pb2.OUT_OF_RANGE, "HISTORY_COMPACTED", compact_revision="9", requested_revision="4")
    fake.answers["WatchHistory"] = in_turn(
        streaming(change(1), change(2), Abort(UNAVAILABLE)),
        streaming(bookmark(3)),
        streaming(Abort(draining)),
        streaming(change(5), Abort(compacted)),
    )
    seen: list[HistoryEvent] = []
    events = client.watch(start_revision=1, user_id="ana")

    async def collect() -> None:
        async for event in events:
            seen.append(event)  # noqa: PERF401 - the events before the error count

    with pytest.raises(HistoryCompacted):
        await collect()
    assert [(event.revision, event.type, event.resume_token) for event in seen] == [
        (1, "CREATED", "t1"),
        (2, "CREATED", "t2"),
        (5, "CREATED", "t5"),
    ]
    requests = [call.request for call in fake.calls]
    assert [request.WhichOneof("start") for request in requests] == ["start_revision"] + ["resume_token"] * 3
    assert [request.resume_token for request in requests[1:]] == ["t2", "t3", "t4"]
    assert all(request.filter == requests[0].filter for request in requests)
    assert [call.time_remaining for call in fake.calls] == [None] * 4


async def test_watch_survives_a_dropped_connection(fake: FakeServer, client: AsyncMemoir) -> None:
    async def hanging(request: history_pb2.WatchHistoryRequest) -> AsyncIterator[Any]:
        start = int(request.resume_token.removeprefix("t") or 0)
        yield change(start + 1)
        await asyncio.sleep(60)

    fake.answers["WatchHistory"] = hanging
    async with client.watch(progress_interval=0.5) as events:
        assert (await anext(events)).revision == 1
        address = fake.target
        await fake.stop()
        following = asyncio.create_task(anext(events))
        await asyncio.sleep(0.2)
        await fake.start(address)
        assert (await asyncio.wait_for(following, 20)).revision == 2
    assert fake.calls[0].request.progress_interval.nanos == 500_000_000


async def test_watch_gives_up_on_a_server_that_stays_away() -> None:
    async with AsyncMemoir("127.0.0.1:1") as client:
        with pytest.raises(Unavailable):
            await anext(client.watch(reconnect_timeout=0.5))
        with pytest.raises(Unavailable):
            await anext(client.watch(timeout=0.5))


async def test_watch_takes_one_start(client: AsyncMemoir) -> None:
    with pytest.raises(InvalidArgument, match="give one"):
        client.watch(resume_token="t", start_revision=1)


async def test_history_pages_lead_to_a_watch(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.answers["ListHistory"] = lambda _: history_pb2.ListHistoryResponse(events=[change(1).event], resume_token="t1")
    page = await anext(client.history(memory_id="m1", types=["CREATED"]).pages())
    assert (page.items[0].memory_id, page.resume_token) == ("m1", "t1")
    assert page.items[0].after is not None
    assert page.items[0].before is None
    assert list(fake.calls[0].request.filter.types) == [history_pb2.HistoryEvent.EVENT_TYPE_CREATED]


def reset(state: int, sequence: int = 0, **more: Any) -> reset_pb2.Reset:
    return reset_pb2.Reset(reset_id="r1", state=state, sequence=sequence, **more)  # type: ignore[arg-type]


async def test_reset(fake: FakeServer, client: AsyncMemoir) -> None:
    effect = reset_pb2.StoreEffect(store=common_pb2.STORE_KIND_INDEX, planned=3)
    planned = reset(1, effects=[effect], sample_memory_ids=["m1"], warnings=["careful"])
    fake.answers["PlanReset"] = lambda _: reset_pb2.PlanResetResponse(reset=planned, confirm_token="secret")
    fake.answers["ExecuteReset"] = lambda _: reset_pb2.ExecuteResetResponse(reset=reset(2), revision=9)
    receipt = reset_pb2.ResetReceipt(memories=3, digest="ab")
    fake.answers["WatchReset"] = in_turn(
        streaming(reset_pb2.WatchResetResponse(sequence=1, reset=reset(2, 1)), Abort(UNAVAILABLE)),
        streaming(reset_pb2.WatchResetResponse(sequence=2, reset=reset(3, 2, receipt=receipt))),
    )
    plan = await client.plan_reset(user_id="ana", preserve={"keep": True}, include_history=True)
    assert (plan.counts, plan.sample, plan.warnings) == ({"INDEX": 3}, ("m1",), ("careful",))
    assert "secret" not in repr(plan)
    running = await client.execute_reset(plan)
    assert (running.state, running.done, running.revision) == ("RUNNING", False, 9)
    assert running.response.reset == running.message
    assert fake.calls_of("ExecuteReset")[0].request.confirm_token == "secret"
    states = [state async for state in client.watch_reset(running)]
    assert [(state.state, state.sequence) for state in states] == [("RUNNING", 1), ("SUCCEEDED", 2)]
    assert states[-1].receipt is not None
    assert (states[-1].receipt.memories, states[-1].receipt.digest) == (3, "ab")
    assert [call.request.after_sequence for call in fake.calls_of("WatchReset")] == [0, 1]
    with pytest.raises(InvalidArgument, match="give one"):
        await client.plan_reset(user_id="ana", entire_namespace="tests")


async def test_export_resumes_and_import_takes_its_records(fake: FakeServer, client: AsyncMemoir) -> None:
    record = transfer_pb2.ExportMemoriesResponse
    header = record(resume_token="h", header=record.Header(revision=4))
    exported = transfer_pb2.ExportedMemory(
        memory=memory_pb2.Memory(memory_id="m1"), embedding=transfer_pb2.Embedding(model="e", values=[0.5])
    )
    summary = record(resume_token="z", summary=record.Summary(memories=1))
    fake.answers["ExportMemories"] = in_turn(
        streaming(header, Abort(UNAVAILABLE)), streaming(record(resume_token="m", memory=exported), summary)
    )
    records = [item async for item in client.export(user_id="ana", include_embeddings=True)]
    assert [type(item) for item in records] == [ExportHeader, ExportedMemory, ExportSummary]
    assert [call.request.resume_token for call in fake.calls] == ["", "h"]
    received: list[transfer_pb2.ImportMemoriesRequest] = []

    async def take_in(requests: AsyncIterator[transfer_pb2.ImportMemoriesRequest]) -> AsyncIterator[Any]:
        async for request in requests:
            received.append(request)
            if request.HasField("item"):
                yield transfer_pb2.ImportMemoriesResponse(sequence=request.item.sequence, memory_id="m1", action=1)  # type: ignore[arg-type]

    fake.answers["ImportMemories"] = take_in
    for source in (records, iter(records)):
        received.clear()
        results = [item async for item in client.import_(source, on_conflict="REPLACE")]
        assert [(item.sequence, item.memory_id, item.action, item.error) for item in results] == [
            (1, "m1", "ADDED", None)
        ]
        assert received[0].header.on_conflict == transfer_pb2.ImportMemoriesRequest.ON_CONFLICT_REPLACE
        assert received[1].item.memory == exported


async def test_import_passes_on_the_fault_of_its_source(fake: FakeServer, client: AsyncMemoir) -> None:
    async def take_in(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for _ in requests:
            pass
        yield transfer_pb2.ImportMemoriesResponse()

    def broken() -> Any:
        yield from ()
        raise LookupError("the source broke")

    fake.answers["ImportMemories"] = take_in
    with pytest.raises(LookupError, match="the source broke"):
        await anext(client.import_(broken()))


async def test_check_repair_rebuild(fake: FakeServer, client: AsyncMemoir) -> None:
    item = admin_pb2.CheckConsistencyResponse
    finding = admin_pb2.Finding(finding_id="f1", kind=admin_pb2.Finding.FINDING_KIND_STALE, message="old")
    fake.answers["CheckConsistency"] = streaming(
        item(progress=item.Progress(examined=1)),
        item(finding=finding),
        item(summary=item.Summary(examined=2, revision=9)),
    )
    outcome = await client.check_consistency()
    assert [(found.id, found.kind, found.text) for found in outcome.findings] == [("f1", "STALE", "old")]
    assert (outcome.examined, outcome.revision) == (2, 9)
    fake.answers["CheckConsistency"] = streaming(item(finding=finding))
    with pytest.raises(IncompleteStream):
        await client.check_consistency()
    fake.answers["RepairConsistency"] = lambda request: admin_pb2.RepairConsistencyResponse(
        repaired_finding_ids=request.finding_ids
    )
    assert (await client.repair(outcome.findings)).repaired == ("f1",)
    fake.answers["RebuildProjection"] = streaming(admin_pb2.RebuildProjectionResponse(applied=1, total=2))
    assert [(step.applied, step.total) async for step in client.rebuild("INDEX")] == [(1, 2)]
