"""Reads DriverRequests from stdin and answers on stdout until stdin ends. Nothing but frames may be printed there.

The messages of a call go through the dataclasses in both directions: what the runner gets is what they decoded and
encoded again.
"""

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator

import betterproto2
import grpc
from google.protobuf.any_pb2 import Any as PackedMessage
from google.rpc.status_pb2 import Status as StatusMessage  # type: ignore[import-untyped]

from golden_runner.contract import METHODS
from golden_runner.framing import read_frame, write_frame
from memoir.dataclasses.google.rpc import Status
from memoir.dataclasses.message_pool import default_message_pool
from memoir_golden_pb.golden_pb2 import DriverRequest, DriverResponse

CALL_SECONDS = 20.0
TYPE_PREFIX = "type.googleapis.com/"
DETAILS_KEY = "grpc-status-details-bin"


def dataclass_of(type_name: str) -> type[betterproto2.Message]:
    """The dataclass of a message type, by its full name."""
    return default_message_pool.url_to_type[TYPE_PREFIX + type_name]


class Channels:
    """The channels opened so far, one per target."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, target: str) -> grpc.aio.Channel:
        """The channel to a target."""
        if target not in self._channels:
            self._channels[target] = grpc.aio.insecure_channel(target)
        return self._channels[target]

    async def close(self) -> None:
        """Close all of them."""
        for channel in self._channels.values():
            await channel.close()


async def call(channels: Channels, request: DriverRequest.Call) -> DriverResponse.CallResult:
    """Make one call. There are no views and no exception classes: both are the SDK's."""
    result = DriverResponse.CallResult()
    method = METHODS[request.method]
    message = dataclass_of(method.request.full_name).parse(request.request.value)
    try:
        async for response in responses(channels.channel(request.target), request.method, message):
            type_url = TYPE_PREFIX + method.response.full_name
            result.responses.append(PackedMessage(type_url=type_url, value=bytes(response)))
    except grpc.aio.AioRpcError as error:
        result.error.CopyFrom(status_of(error))
    return result


async def responses(
    channel: grpc.aio.Channel, name: str, message: betterproto2.Message
) -> AsyncIterator[betterproto2.Message]:
    """The responses of a method that takes one request, as the dataclasses' users get them."""
    method = METHODS[name]
    parse = dataclass_of(method.response.full_name).parse
    if method.server_streaming:
        stream = channel.unary_stream(method.path, request_serializer=bytes, response_deserializer=parse)
        async for response in stream(message, timeout=CALL_SECONDS):
            yield response
    else:
        unary = channel.unary_unary(method.path, request_serializer=bytes, response_deserializer=parse)
        yield await unary(message, timeout=CALL_SECONDS)


def status_of(error: grpc.aio.AioRpcError) -> StatusMessage:
    """The status of a failed call, with the details the server sent, decoded by the dataclasses."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return StatusMessage.FromString(bytes(Status.parse(value)))
    return StatusMessage(code=error.code().value[0], message=error.details() or "")


def round_trip(request: DriverRequest.RoundTrip) -> DriverResponse.RoundTripResult:
    """Decode and encode one message."""
    kind = dataclass_of(request.type_name)
    try:
        is_binary = request.WhichOneof("input") == "binary"
        message = kind.parse(request.binary) if is_binary else kind.from_json(request.json)
        return DriverResponse.RoundTripResult(binary=bytes(message), json=message.to_json())
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        # The library has no error class of its own: these are what it refuses an input with.
        return DriverResponse.RoundTripResult(error=type(error).__name__)


async def answer(channels: Channels, request: DriverRequest) -> DriverResponse:
    """Answer one request; whatever breaks in here is a fault of the driver or of the dataclasses, and says so."""
    response = DriverResponse(id=request.id)
    try:
        if request.WhichOneof("command") == "call":
            response.call.CopyFrom(await call(channels, request.call))
        else:
            response.round_trip.CopyFrom(round_trip(request.round_trip))
    except Exception:  # noqa: BLE001 - reported to the runner, which fails the run with it
        response.driver_error = traceback.format_exc()
    return response


async def main() -> None:
    """Serve until stdin ends."""
    channels = Channels()
    while (request := await asyncio.to_thread(read_frame, sys.stdin.buffer, DriverRequest)) is not None:
        write_frame(sys.stdout.buffer, await answer(channels, request))
    await channels.close()


if __name__ == "__main__":
    asyncio.run(main())
