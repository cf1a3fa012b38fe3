"""Reads DriverRequests from stdin and answers on stdout until stdin ends. Nothing but frames may be printed there.

With `--sync` the calls go through `Memoir`, the synchronous face, instead of `AsyncMemoir`.
"""

import asyncio
import sys
import traceback
from contextlib import aclosing
from typing import Any

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import DecodeError

from drivers.python.blocking import blocking_client
from drivers.python.calls import CALLS
from drivers.python.views import view
from golden_runner.contract import METHODS, message_class
from golden_runner.framing import read_frame, write_frame
from memoir import AsyncMemoir
from memoir.errors import MemoirError
from memoir_golden_pb.golden_pb2 import CallOptions, DriverRequest, DriverResponse


class Clients:
    """The clients made so far: a user makes one and keeps it."""

    def __init__(self, *, blocking: bool) -> None:
        self._blocking = blocking
        self._clients: dict[tuple[str, str], AsyncMemoir] = {}

    def client(self, target: str, namespace: str, options: CallOptions) -> AsyncMemoir:
        """The client for a target and credential, in a namespace."""
        key = (target, options.api_key)
        if key not in self._clients:
            api_key = options.api_key or None
            made = blocking_client(target, api_key) if self._blocking else AsyncMemoir(target, api_key=api_key)
            self._clients[key] = made
        return self._clients[key].in_namespace(namespace or options.default_namespace or "default")

    async def close(self) -> None:
        """Close all of them."""
        for client in self._clients.values():
            await client.close()


async def call(clients: Clients, request: DriverRequest.Call) -> DriverResponse.CallResult:
    """Make one SDK call."""
    result = DriverResponse.CallResult()
    method = METHODS[request.method]
    first, *further = (_unpacked(packed, method.request.full_name) for packed in (request.request, *request.items))
    holder = first.header if method.client_streaming else first
    asked = [first, *further] if method.client_streaming else first
    memoir = clients.client(request.target, holder.namespace, request.options)
    limit = request.options.cancel_after_responses if request.options.HasField("cancel_after_responses") else 0
    window = request.options.cancel_after.ToTimedelta().total_seconds() or None
    try:
        async with (
            asyncio.timeout(window),
            aclosing(CALLS[request.method](memoir, asked, request.options)) as answers,
        ):
            async for response, value in answers:
                result.responses.add().Pack(response)
                result.views.append(view(value))
                if limit and len(result.responses) >= limit:
                    break
    except TimeoutError:
        pass  # the case wanted the call cancelled after this time; what had arrived is the outcome
    except MemoirError as error:
        result.error.CopyFrom(error.status)
        result.sdk_error = type(error).__name__
    return result


def _unpacked(packed: Any, type_name: str) -> Any:
    message = message_class(type_name)()
    packed.Unpack(message)
    return message


def round_trip(request: DriverRequest.RoundTrip) -> DriverResponse.RoundTripResult:
    """Decode and encode one message."""
    result = DriverResponse.RoundTripResult()
    message = message_class(request.type_name)()
    try:
        if request.WhichOneof("input") == "binary":
            message.ParseFromString(request.binary)
        else:
            Parse(request.json, message)
    except (DecodeError, ParseError) as error:
        result.error = type(error).__name__
        return result
    result.binary = message.SerializeToString()
    result.json = MessageToJson(message)
    return result


async def answer(clients: Clients, request: DriverRequest) -> DriverResponse:
    """Answer one request; whatever breaks in here is a fault of the driver or of the SDK, and says so."""
    response = DriverResponse(id=request.id)
    try:
        if request.WhichOneof("command") == "call":
            response.call.CopyFrom(await call(clients, request.call))
        else:
            response.round_trip.CopyFrom(round_trip(request.round_trip))
    except Exception:  # noqa: BLE001 - reported to the runner, which fails the run with it
        response.driver_error = traceback.format_exc()
    return response


async def main() -> None:
    """Serve until stdin ends."""
    clients = Clients(blocking="--sync" in sys.argv[1:])
    while (request := await asyncio.to_thread(read_frame, sys.stdin.buffer, DriverRequest)) is not None:
        write_frame(sys.stdout.buffer, await answer(clients, request))
    await clients.close()


if __name__ == "__main__":
    asyncio.run(main())
