"""A scripted server: every method of the contract on a real socket, answered by functions the test gives."""

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from memoir.methods import ALL_METHODS, BidiStream, Unary


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt as the server saw it."""

    method: str
    request: Any
    metadata: dict[str, str]
    time_remaining: float | None


def rich_status(
    code: int, reason: str = "", message: str = "scripted", retry_delay: float | None = None, **metadata: str
) -> status_pb2.Status:
    """Build a google.rpc.Status with the details the contract promises."""
    details: list[Any] = []
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="memoir.dev", metadata=metadata))
    if retry_delay is not None:
        seconds = int(retry_delay)
        delay = duration_pb2.Duration(seconds=seconds, nanos=round((retry_delay - seconds) * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code, message=message, details=packed)


UNAVAILABLE = rich_status(code_pb2.UNAVAILABLE, "STORE_UNAVAILABLE", store="index")


class Abort(Exception):
    """Raised by an answer: the attempt fails with this status."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


@dataclass(slots=True)
class FakeServer:
    """Answers by method name (`GetMemory`); an answer takes the request and gives a response, or yields responses."""

    answers: dict[str, Callable[..., Any]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    target: str = ""
    server: Any = None

    def script(self, method: str, *steps: Any) -> None:
        """Answer the attempts of a unary method in turn: a status fails, anything else is the response."""
        left = list(steps)

        def answer(_: Any) -> Any:
            step = left.pop(0)
            if isinstance(step, status_pb2.Status):
                raise Abort(step)
            return step

        self.answers[method] = answer

    def calls_of(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method.endswith(f"/{method}")]

    def record(self, name: str, request: Any, context: Any) -> Callable[..., Any]:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.calls.append(Call(name, request, metadata, context.time_remaining()))
        return self.answers[name.rsplit("/", 1)[1]]

    async def start(self, address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None) -> None:
        self.server = grpc.aio.server()
        self.server.add_generic_rpc_handlers((_Handlers(self),))
        if credentials is None:
            port = self.server.add_insecure_port(address)
        else:
            port = self.server.add_secure_port(address, credentials)
        self.target = f"127.0.0.1:{port}"
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop(0)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, fake: FakeServer) -> None:
        self.fake = fake
        self.methods: dict[str, Any] = {f"/{method.name}": method for method in ALL_METHODS}

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        method = self.methods.get(details.method)
        if method is None:
            return None
        fake = self.fake

        async def unary(request: Any, context: Any) -> Any:
            try:
                result = fake.record(method.name, request, context)(request)
                return await result if inspect.isawaitable(result) else result
            except Abort as abort:
                await context.abort_with_status(rpc_status.to_status(abort.status))

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async for response in fake.record(method.name, request, context)(request):
                    yield response
            except Abort as abort:
                await context.abort_with_status(rpc_status.to_status(abort.status))

        codec = {"request_deserializer": method.request.FromString, "response_serializer": bytes_of}
        if isinstance(method, Unary):
            return grpc.unary_unary_rpc_method_handler(unary, **codec)
        if isinstance(method, BidiStream):
            return grpc.stream_stream_rpc_method_handler(stream, **codec)
        return grpc.unary_stream_rpc_method_handler(stream, **codec)


def bytes_of(message: Any) -> bytes:
    """Serialise a message; bytes pass, for answers no message can express."""
    return message if isinstance(message, bytes) else message.SerializeToString()


@asynccontextmanager
async def fake_server(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[FakeServer]:
    """Run a fake server for the time of a test, over TLS with `credentials`."""
    fake = FakeServer()
    await fake.start(credentials=credentials)
    try:
        yield fake
    finally:
        await fake.stop()
