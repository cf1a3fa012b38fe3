"""Calls of another client: streams that the runner holds open, without an SDK, while a step makes its call."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict

from golden_runner.contract import METHODS, message_class
from golden_runner.variables import Variables
from memoir_golden_pb.golden_pb2 import OtherCall

LIFE_SECONDS: Final = 60.0


class OtherCallFailed(Exception):
    """Another client's call did not come as far as the case needs; the message names the method and the error."""


@contextmanager
def in_hand(target: str, calls: Sequence[OtherCall], variables: Variables) -> Iterator[None]:
    """Hold the calls open, each from a connection of its own. Raises `OtherCallFailed` for one that ends or hangs."""
    with ExitStack() as opened:
        for wanted in calls:
            method = METHODS[wanted.method]
            if not method.server_streaming or method.client_streaming:
                raise OtherCallFailed(f"{wanted.method} does not answer one request with a stream: it cannot be held")
            request_class = message_class(method.request.full_name)
            request = ParseDict(variables.substitute(MessageToDict(wanted.request)), request_class())
            credentials = (("authorization", f"Bearer {wanted.api_key}"),) if wanted.api_key else ()
            channel = opened.enter_context(grpc.insecure_channel(target))
            stream = channel.unary_stream(
                method.path, request_serializer=request_class.SerializeToString, response_deserializer=bytes
            )(request, timeout=LIFE_SECONDS, metadata=credentials)
            opened.callback(stream.cancel)
            try:
                next(stream)
            except (grpc.RpcError, StopIteration) as error:
                raise OtherCallFailed(
                    f"{wanted.method} of another client ended before it was needed: {error}"
                ) from error
        yield
