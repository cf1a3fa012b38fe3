"""The one place that talks gRPC: channels, headers, deadlines, retries, and errors as exceptions."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message

from memoir._contract import CONTRACT_SHA256
from memoir._version import VERSION
from memoir.errors import DeadlineExceeded, MemoirError, error_from_rpc
from memoir.methods import BidiStream, ServerStream, Unary
from memoir.retry import POLICY
from memoir.tracing import trace_headers

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)
T = TypeVar("T")

#: Largest message in either direction, in bytes; the contract's limit.
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
#: Deadline, in seconds, of streams that carry a whole export, import or check, unless the caller gives one.
LONG_TIMEOUT: Final = 3_600.0

_OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.primary_user_agent", f"memoir-python/{VERSION}"),
    # Retries are ours, under the shared policy. With gRPC's own on, it would also strip the attempt header below.
    ("grpc.enable_retries", 0),
    # A server that was restarted should be found again in a fraction of a second; gRPC's defaults wait 1 s and more,
    # and calls in between fail at once.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
_WATCH_OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    *_OPTIONS,
    # A watch may be silent for long: notice a dead peer, and keep middle boxes from forgetting the connection. The
    # server tolerates a ping every 30 s.
    ("grpc.keepalive_time_ms", 45_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)


class Transport:
    """Channels to one target, shared by a client and the clients made from it. Lives on one event loop."""

    def __init__(
        self,
        target: str,
        *,
        api_key: str | None,
        timeout: float,
        credentials: grpc.ChannelCredentials | None,
        headers: Mapping[str, str],
    ) -> None:
        if timeout <= 0:
            raise ValueError(f"timeout: {timeout} is not a positive number of seconds")
        self.target = target
        self.timeout = timeout
        self._credentials = credentials
        self._headers: list[tuple[str, str]] = [("x-memoir-contract", CONTRACT_SHA256)]
        if api_key is not None:
            self._headers.append(("authorization", f"Bearer {api_key}"))
        self._headers.extend((key.lower(), value) for key, value in headers.items())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channels: dict[bool, grpc.aio.Channel] = {}
        self._callables: dict[str, Any] = {}
        self._closed = False

    def _channel(self, watch: bool) -> grpc.aio.Channel:
        """Return the channel for ordinary calls or for watches; made on first use, in the loop that uses it."""
        if self._closed:
            raise RuntimeError("the client is closed; create another one")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("an AsyncMemoir belongs to the event loop of its first call; create one per loop")
        channel = self._channels.get(watch)
        if channel is None:
            options = _WATCH_OPTIONS if watch else _OPTIONS
            if self._credentials is None:
                channel = grpc.aio.insecure_channel(self.target, options=options)
            else:
                channel = grpc.aio.secure_channel(self.target, self._credentials, options=options)
            self._channels[watch] = channel
        return channel

    def _metadata(self, trace: list[tuple[str, str]], failures: int) -> tuple[tuple[str, str], ...]:
        if failures:
            # The header gRPC's own retries send (gRFC A6).
            return (*self._headers, *trace, ("grpc-previous-rpc-attempts", str(failures)))
        return (*self._headers, *trace)

    async def unary(self, method: Unary[Q, R], request: Q, timeout: float | None = None) -> R:
        """Call a method, again when the policy allows it. `timeout` (seconds) covers all attempts.

        Raises:
            MemoirError: the call failed; the subclass says how.
        """
        channel = self._channel(False)
        call = self._callables.get(method.name)
        if call is None:
            call = self._callables[method.name] = channel.unary_unary(
                f"/{method.name}", method.request.SerializeToString, method.response.FromString
            )
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        trace, failures = trace_headers(), 0
        while True:
            try:
                response: R = await call(
                    request, timeout=_remaining(deadline, method.name), metadata=self._metadata(trace, failures)
                )
                return response
            except grpc.aio.AioRpcError as failure:
                failures += 1
                error = error_from_rpc(failure)
                if not await _again(method.name, request, error, failures, deadline):
                    raise error from failure

    async def server_stream(
        self,
        method: ServerStream[Q, R],
        request: Q,
        timeout: float | None,
        *,
        failures: int | None = None,
        watch: bool = False,
    ) -> AsyncGenerator[R]:
        """Yield the responses of a method; called again, when the policy allows it, until the first one has come.

        `timeout` (seconds) covers the whole stream; None means no deadline. Closing the generator cancels the call.
        With `failures`, the attempts that failed before, the caller resumes by itself and nothing is repeated here.
        """
        channel = self._channel(watch)
        call = self._callables.get(method.name)
        if call is None:
            call = self._callables[method.name] = channel.unary_stream(
                f"/{method.name}", method.request.SerializeToString, method.response.FromString
            )
        deadline = None if timeout is None else time.monotonic() + timeout
        trace, repeat, failures = trace_headers(), failures is None, failures or 0
        while True:
            responses = call(
                request,
                timeout=None if deadline is None else _remaining(deadline, method.name),
                metadata=self._metadata(trace, failures),
            )
            try:
                async for response in responses:
                    repeat = False
                    yield response
                return
            except grpc.aio.AioRpcError as failure:
                failures += 1
                error = error_from_rpc(failure)
                if not repeat or not await _again(method.name, request, error, failures, deadline):
                    raise error from failure
            finally:
                responses.cancel()

    async def bidi_stream(
        self, method: BidiStream[Q, R], requests: AsyncIterable[Q], timeout: float | None
    ) -> AsyncGenerator[R]:
        """Yield the responses to a stream of requests. Never repeated: what was sent is not kept."""
        call: Any = self._channel(False).stream_stream(
            f"/{method.name}", method.request.SerializeToString, method.response.FromString
        )
        fault: list[BaseException] = []

        async def guarded() -> AsyncGenerator[Q]:
            # gRPC would swallow an exception of the caller's iterable and end the stream as if it were complete.
            try:
                async for request in requests:
                    yield request
            except Exception as error:
                fault.append(error)
                responses.cancel()
                raise

        source = guarded()
        responses = call(
            source, timeout=LONG_TIMEOUT if timeout is None else timeout, metadata=self._metadata(trace_headers(), 0)
        )
        first = _FirstStatus()
        responses.add_done_callback(first.keep)
        try:
            async with aclosing(source):
                async for response in responses:
                    yield response
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
            if fault:
                raise fault[0] from None
            if isinstance(failure, grpc.aio.AioRpcError):
                raise error_from_rpc(first.error or failure) from failure
            raise
        finally:
            responses.cancel()

    async def close(self) -> None:
        """Close the channels; calls under way end with `Cancelled`."""
        self._closed = True
        channels = [*self._channels.values()]
        self._channels.clear()
        self._callables.clear()
        for channel in channels:
            await channel.close()


class _FirstStatus:
    """The status that a call ended with first.

    When the server ends a call while a message to it is on its way, grpc.aio receives the server's status, and then
    overwrites it with INTERNAL because the message could not be sent (issue 36066 of grpc).
    """

    def __init__(self) -> None:
        self.error: grpc.aio.AioRpcError | None = None

    def keep(self, call: Any) -> None:
        """Done callback; runs each time a status is set, before any other can be."""
        code: grpc.StatusCode = _at_once(call.code())
        if self.error is None and code is not grpc.StatusCode.OK:
            self.error = grpc.aio.AioRpcError(
                code,
                _at_once(call.initial_metadata()),
                _at_once(call.trailing_metadata()),
                details=_at_once(call.details()),
            )


def _at_once(answer: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that has nothing to wait for."""
    try:
        answer.send(None)
    except StopIteration as returned:
        value: T = returned.value
        return value
    answer.close()
    raise RuntimeError("a call that is done has its status at hand")


def _remaining(deadline: float, method: str) -> float:
    """Return the seconds left, or raise when there are none: a call that cannot end in time is not begun."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise DeadlineExceeded(f"{method}: the deadline had passed", code=grpc.StatusCode.DEADLINE_EXCEEDED)
    return remaining


async def _again(method: str, request: Message, error: MemoirError, failures: int, deadline: float | None) -> bool:
    """Wait for the next attempt and return True, or return False at once when there is none."""
    has_request_id = bool(getattr(request, "request_id", ""))
    if failures >= POLICY.max_attempts or not POLICY.transient(error):
        return False
    if not POLICY.allows(method, has_request_id=has_request_id):
        return False
    delay = POLICY.delay(error, failures)
    if deadline is not None and time.monotonic() + delay >= deadline:
        return False
    await asyncio.sleep(delay)
    return True
