"""A scripted gRPC server: it answers from a script and records what each attempt of the client looked like.

A plain TCP relay stands in front of the gRPC server, because only who owns the socket can drop a connection.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.code_pb2 import FAILED_PRECONDITION  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from golden_runner.contract import METHODS, message_class
from memoir_golden_pb.golden_pb2 import ScriptedAttempt

T = TypeVar("T")

START_SECONDS: Final = 10.0
HOLD_SECONDS: Final = 20.0
_STATUS_BY_CODE: Final = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the server saw of one attempt.

    `deadline`: seconds left on arrival, None when the client set none. `metadata`: keys to values. `arrived`: seconds
    of a monotonic clock. `items`: the further requests, of a method that takes a stream of them.
    """

    method: str
    request: Message
    deadline: float | None
    metadata: dict[str, str]
    arrived: float
    items: tuple[Message, ...] = ()


@dataclass(slots=True)
class _Scene:
    """The script being played and the record so far."""

    script: Sequence[ScriptedAttempt] = ()
    attempts: list[Attempt] = field(default_factory=list)


class PlaybackServer:
    """Serves scripts on 127.0.0.1, in a thread of its own; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="playback", daemon=True)
        self._scene = _Scene()
        self._server: grpc.aio.Server | None = None
        self._relay: _Relay | None = None

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
        return list(self._scene.attempts)

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
        self._server, self._relay = server, _Relay(port)
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
        scene.attempts.append(
            Attempt(method, request, context.time_remaining(), metadata, time.monotonic(), tuple(items))
        )
        if number >= len(scene.script):
            code = _STATUS_BY_CODE[FAILED_PRECONDITION]
            await context.abort(
                code, f"the script has {len(scene.script)} attempts, this is attempt {number + 1} of {method}"
            )
        step = scene.script[number]
        await asyncio.sleep(step.delay.ToTimedelta().total_seconds())
        for response in step.responses:
            yield response.value
        if step.trailers:
            context.set_trailing_metadata(tuple(step.trailers.items()))
        if step.hold:
            await asyncio.sleep(HOLD_SECONDS)
        if step.drop_connection:
            await self._drop()
            await asyncio.sleep(HOLD_SECONDS)
        if step.HasField("status"):
            await _abort(context, step.status, tuple(step.trailers.items()))

    async def _drop(self) -> None:
        # What was sent must arrive before the connection breaks: give the relay time to copy it.
        await asyncio.sleep(0.1)
        if self._relay is not None:
            self._relay.drop_all()


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


class _Relay:
    """Copies bytes between clients and the gRPC server, and can cut every connection at once."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut everything and listen no more."""
        self.drop_all()
        if self._server is not None:
            self._server.close()

    def drop_all(self) -> None:
        """Reset every open connection."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            client_writer.transport.abort()
            return
        self._open |= {client_writer, server_writer}
        try:
            # asyncio logs the cancellation of a connection's handler as an error; at the end of the server it is none.
            with suppress(asyncio.CancelledError):
                await asyncio.gather(_copy(client_reader, server_writer), _copy(server_reader, client_writer))
        finally:
            self._open -= {client_writer, server_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass  # a dropped connection is what this relay is for
    finally:
        writer.close()
