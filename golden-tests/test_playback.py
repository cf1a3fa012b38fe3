"""The playback server does what its script says and records what it saw; shown with a bare gRPC client."""

import socket
from collections.abc import Awaitable, Callable, Iterator

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from golden_runner.playback_process import PlaybackProcess
from memoir.v1.history_pb2 import WatchHistoryRequest, WatchHistoryResponse
from memoir.v1.memory_pb2 import GetMemoryRequest, GetMemoryResponse, Memory
from memoir_golden_pb.golden_pb2 import ScriptedAttempt

ANSWER = GetMemoryResponse(memory=Memory(memory_id="m-1"))
Client = Callable[[grpc.aio.Channel], Awaitable[object]]


@pytest.fixture(scope="module")
def playback() -> Iterator[PlaybackProcess]:
    with PlaybackProcess() as server:
        yield server


def attempt(*responses: Message, **fields: object) -> ScriptedAttempt:
    packed = []
    for response in responses:
        any_response = AnyMessage()
        any_response.Pack(response)
        packed.append(any_response)
    return ScriptedAttempt(responses=packed, **fields)  # type: ignore[arg-type]


async def play(playback: PlaybackProcess, client: Client, *script: ScriptedAttempt) -> None:
    """Load a script, then run a client against it."""
    playback.load(script)
    async with grpc.aio.insecure_channel(playback.target, options=[("grpc.enable_retries", 0)]) as channel:
        await client(channel)


async def get(channel: grpc.aio.Channel, timeout: float = 5, method: str = "GetMemory", **metadata: str) -> Message:
    call = channel.unary_unary(
        f"/memoir.v1.MemoryService/{method}", GetMemoryRequest.SerializeToString, GetMemoryResponse.FromString
    )
    return await call(GetMemoryRequest(memory_id="m-1"), timeout=timeout, metadata=tuple(metadata.items()))


def watch(channel: grpc.aio.Channel) -> "grpc.aio.UnaryStreamCall[Message, WatchHistoryResponse]":
    call = channel.unary_stream(
        "/memoir.v1.HistoryService/WatchHistory", WatchHistoryRequest.SerializeToString, WatchHistoryResponse.FromString
    )
    return call(WatchHistoryRequest(start_revision=1), timeout=5)


async def failure(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_answers_and_records(playback: PlaybackProcess) -> None:
    async def client(channel: grpc.aio.Channel) -> None:
        assert await get(channel, timeout=7, marker="yes") == ANSWER

    await play(playback, client, attempt(ANSWER))
    (seen,) = playback.attempts()
    assert seen.method == "memoir.v1.MemoryService/GetMemory"
    assert seen.request == GetMemoryRequest(memory_id="m-1")
    assert seen.metadata["marker"] == "yes"
    assert seen.deadline == pytest.approx(7, abs=1)


async def test_scripted_errors_carry_their_details(playback: PlaybackProcess) -> None:
    status = Status(code=5, message="gone", details=attempt(ANSWER).responses)

    async def client(channel: grpc.aio.Channel) -> None:
        error = await failure(get(channel))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        trailers = {key: value for key, value in error.trailing_metadata() or ()}  # noqa: C416 - its dict form is broken
        assert Status.FromString(trailers["grpc-status-details-bin"]) == status
        assert trailers["more"] == "1"
        assert await get(channel) == ANSWER

    await play(playback, client, attempt(status=status, trailers={"more": "1"}), attempt(ANSWER))
    assert len(playback.attempts()) == 2


async def test_a_delay_runs_into_the_deadline(playback: PlaybackProcess) -> None:
    async def client(channel: grpc.aio.Channel) -> None:
        assert (await failure(get(channel, timeout=0.3))).code() is grpc.StatusCode.DEADLINE_EXCEEDED

    await play(playback, client, attempt(ANSWER, delay=Duration(seconds=5)))


async def test_what_was_sent_arrives_before_the_connection_drops(playback: PlaybackProcess) -> None:
    items = [WatchHistoryResponse(resume_token=f"t-{number}") for number in range(3)]
    received: list[WatchHistoryResponse] = []

    async def follow(channel: grpc.aio.Channel) -> None:
        async for item in watch(channel):
            received.append(item)  # noqa: PERF401 - what came before the error counts

    async def client(channel: grpc.aio.Channel) -> None:
        assert (await failure(follow(channel))).code() is grpc.StatusCode.UNAVAILABLE
        assert await get(channel) == ANSWER, "a new connection is served"

    await play(playback, client, attempt(*items, drop_connection=True), attempt(ANSWER))
    assert received == items


async def test_a_held_stream_stays_open_until_the_client_goes(playback: PlaybackProcess) -> None:
    async def client(channel: grpc.aio.Channel) -> None:
        call = watch(channel)
        first = await call.read()
        assert isinstance(first, WatchHistoryResponse)
        assert first.resume_token == "t"
        assert call.cancel()

    await play(playback, client, attempt(WatchHistoryResponse(resume_token="t"), hold=True))


async def test_the_server_sees_that_a_call_was_cancelled(playback: PlaybackProcess) -> None:
    async def client(channel: grpc.aio.Channel) -> None:
        call = watch(channel)
        await call.read()
        assert not playback.attempts()[-1].cancelled
        assert call.cancel()

    await play(playback, client, attempt(WatchHistoryResponse(resume_token="t"), hold=True))
    assert [seen.cancelled for seen in playback.attempts_once_cancelled()] == [True]


async def test_a_call_that_ends_by_itself_is_not_cancelled(playback: PlaybackProcess) -> None:
    await play(playback, get, attempt(ANSWER))
    assert [seen.cancelled for seen in playback.attempts()] == [False]


async def test_an_error_is_a_single_frame_unless_headers_go_first(playback: PlaybackProcess) -> None:
    async def client(channel: grpc.aio.Channel) -> None:
        for _ in range(2):
            assert (await failure(get(channel))).code() is grpc.StatusCode.NOT_FOUND
        assert await get(channel) == ANSWER

    gone = Status(code=5)
    await play(playback, client, attempt(status=gone), attempt(status=gone, headers_first=True), attempt(ANSWER))
    assert [seen.trailers_only for seen in playback.attempts()] == [True, False, False]


async def test_goaway_lets_what_is_in_hand_go_on_and_sends_new_calls_elsewhere(playback: PlaybackProcess) -> None:
    items = [WatchHistoryResponse(resume_token=f"t-{number}") for number in range(3)]

    async def client(channel: grpc.aio.Channel) -> None:
        call = watch(channel)
        assert [await call.read(), await call.read()] == items[:2]
        assert await get(channel) == ANSWER
        assert await call.read() == items[2]
        call.cancel()

    told = attempt(*items, pace=Duration(nanos=200_000_000), go_away={"after_responses": 1}, hold=True)
    await play(playback, client, told, attempt(ANSWER))
    watched, got = playback.attempts()
    assert watched.connection != got.connection


async def test_goaway_may_disown_the_call_in_hand(playback: PlaybackProcess) -> None:
    async def client(channel: grpc.aio.Channel) -> None:
        assert (await failure(get(channel))).code() is grpc.StatusCode.UNAVAILABLE
        assert await get(channel) == ANSWER

    await play(playback, client, attempt(go_away={"disown": True}), attempt(ANSWER))
    first, second = playback.attempts()
    assert first.connection != second.connection


async def test_a_call_beyond_the_script_fails(playback: PlaybackProcess) -> None:
    async def client(channel: grpc.aio.Channel) -> None:
        assert (await failure(get(channel))).code() is grpc.StatusCode.FAILED_PRECONDITION

    await play(playback, client)


async def test_unknown_methods_are_unimplemented(playback: PlaybackProcess) -> None:
    async def client(channel: grpc.aio.Channel) -> None:
        assert (await failure(get(channel, method="NoSuch"))).code() is grpc.StatusCode.UNIMPLEMENTED

    await play(playback, client)


def test_it_binds_the_loopback_only(playback: PlaybackProcess) -> None:
    host, _, port = playback.target.partition(":")
    assert host == "127.0.0.1"
    with socket.create_connection((host, int(port)), timeout=2):
        pass
