"""A scripted gRPC server: it answers from a script and records what each attempt of the client looked like.

A relay stands in front of the gRPC server: see `golden_runner.relay`.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.code_pb2 import FAILED_PRECONDITION  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from golden_runner.contract import METHODS, message_class
from golden_runner.relay import Connection, Relay
from memoir_golden_pb.golden_pb2 import ScriptedAttempt

T = TypeVar("T")

START_SECONDS: Final = 10.0
HOLD_SECONDS: Final = 20.0
# What was sent must arrive before the connection breaks: the relay needs time to copy it.
COPY_SECONDS: Final = 0.1
_STATUS_BY_CODE: Final = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the server saw of one attempt.

    `deadline`: seconds left on arrival, None when the client set none. `metadata`: keys to values. `arrived`: seconds
    of a monotonic clock. `items`: the further requests, of a method that takes a stream of them. `connection`: its
    number. `cancelled`: the client cancelled it, so far as was seen when it was asked for. `trailers_only`: it was
    answered with a single frame of headers.
    """

    method: str
    request: Message
    deadline: float | None
    metadata: dict[str, str]
    arrived: float
    items: tuple[Message, ...] = ()
    connection: int = 0
    cancelled: bool = False
    trailers_only: bool = False


@dataclass(slots=True)
class _Playing:
    """One attempt being answered, or answered: what is known of it only later stands beside it."""

    attempt: Attempt
    connection: Connection
    stream: int
    cancelled: bool = False

    def record(self) -> Attempt:
        """The attempt with what is known of its end."""
        trailers_only = self.connection.is_trailers_only(self.stream)
        return replace(self.attempt, cancelled=self.cancelled, trailers_only=trailers_only)


@dataclass(slots=True)
class _Scene:
    """The script being played and the record so far."""

    script: Sequence[ScriptedAttempt] = ()
    attempts: list[_Playing] = field(default_factory=list)


class PlaybackServer:
    """Serves scripts on 127.0.0.1, in a thread of its own; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="playback", daemon=True)
        self._scene = _Scene()
        self._server: grpc.aio.Server | None = None
        self._relay: Relay | None = None

    @property
    def target(self) -> str:
        """host:port to connect to."""
        if self._relay is None:
            raise RuntimeError("the playback server is not started; use it as a context manager")
        return f"127.0.0.1:{self._relay.port}"

    def load(self, script: Sequence[ScriptedAttempt]) -> None:
        """Set the script of the next call and forget what was recorded."""
        self._scene = _Scene(script)

    def attempts(self) -> list[Attempt]:
        """What the server has seen since `load`."""
        return [playing.record() for playing in self._scene.attempts]

    def __enter__(self) -> "PlaybackServer":
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_SECONDS)

    async def _start(self) -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([_Handlers(self)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self._server, self._relay = server, Relay(port)
        await self._relay.start()

    async def _stop(self) -> None:
        if self._relay is not None:
            await self._relay.stop()
        if self._server is not None:
            await self._server.stop(None)
        # Handlers that hold a stream and copies of the relay end before the loop does.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def play(
        self, method: str, bodies: Sequence[bytes], context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[bytes]:
        """Play the script of the next attempt of a call; a call beyond the script fails with FAILED_PRECONDITION."""
        scene = self._scene
        number = len(scene.attempts)
        metadata = {
            key: value if isinstance(value, str) else value.hex() for key, value in context.invocation_metadata() or ()
        }
        request_class = message_class(METHODS[method].request.full_name)
        request, *items = map(request_class.FromString, bodies)
        assert self._relay is not None, "a call came before the start"
        connection = self._relay.connection(context.peer())
        attempt = Attempt(
            method,
            request,
            context.time_remaining(),
            metadata,
            time.monotonic(),
            tuple(items),
            connection.number,
        )
        # Clients of the corpus make one call at a time: the newest stream is this one's.
        playing = _Playing(attempt, connection, connection.newest_stream)
        scene.attempts.append(playing)
        if number >= len(scene.script):
            code = _STATUS_BY_CODE[FAILED_PRECONDITION]
            await context.abort(
                code, f"the script has {len(scene.script)} attempts, this is attempt {number + 1} of {method}"
            )
        step = scene.script[number]
        try:
            if step.headers_first:
                await context.send_initial_metadata(())
            await asyncio.sleep(step.delay.ToTimedelta().total_seconds())
            for place, response in enumerate(step.responses):
                await asyncio.sleep(step.pace.ToTimedelta().total_seconds() if place else 0)
                await _go_away(step, place, connection)
                yield response.value
            await _go_away(step, len(step.responses), connection)
            if step.trailers:
                context.set_trailing_metadata(tuple(step.trailers.items()))
            if step.hold:
                await asyncio.sleep(HOLD_SECONDS)
            if step.drop_connection:
                await asyncio.sleep(COPY_SECONDS)
                self._relay.drop_all()
                await asyncio.sleep(HOLD_SECONDS)
        except (asyncio.CancelledError, GeneratorExit):
            playing.cancelled = True
            raise
        if step.HasField("status"):
            await _abort(context, step.status, tuple(step.trailers.items()))


async def _go_away(step: ScriptedAttempt, sent: int, connection: Connection) -> None:
    if step.HasField("go_away") and step.go_away.after_responses == sent:
        await asyncio.sleep(COPY_SECONDS)
        connection.go_away(disown=step.go_away.disown)
        if step.go_away.disown:
            await asyncio.sleep(HOLD_SECONDS)


async def _abort(
    context: "grpc.aio.ServicerContext[Any, Any]", status: Status, trailers: tuple[tuple[str, str], ...]
) -> None:
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(_STATUS_BY_CODE[status.code], status.message, (*trailers, *details))


class _Handlers(grpc.GenericRpcHandler):
    """Takes every method of the contract. On the wire a unary call is a stream of one message: one form serves all."""

    def __init__(self, server: PlaybackServer) -> None:
        self._server = server

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Return the handler of a call, or None (UNIMPLEMENTED) for what the contract does not have."""
        method = handler_call_details.method.removeprefix("/")
        if method not in METHODS:
            return None

        async def handler(
            requests: AsyncIterator[bytes], context: "grpc.aio.ServicerContext[Any, Any]"
        ) -> AsyncIterator[bytes]:
            bodies = []
            async for body in requests:
                bodies.append(body)
                if not METHODS[method].client_streaming:
                    break
            # Without any there is no call to play: the client went away before it said what it wanted.
            if bodies:
                async for response in self._server.play(method, bodies, context):
                    yield response

        return grpc.stream_stream_rpc_method_handler(handler)
