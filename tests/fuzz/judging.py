"""What must hold for every refusal, whatever was asked."""

from __future__ import annotations

import re
from typing import Any

import grpc

from tests.integration.harness import Refusal, refusal_of

FORBIDDEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
MAX_TRAILER_BYTES = 8192
"""What HTTP/2 peers take of headers by default."""
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""The server's default server.max_message_bytes."""
_STEP = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)(\[\d+\]|\[".*"\])?(?:\.|$)', re.DOTALL)


def judge(error: Any, request: Any) -> Refusal:
    """The refusal, once it has proved to be one of the contract: no defect, rich, and precise about the field.

    `error` is a grpc.RpcError of either of gRPC's Python APIs.
    """
    assert error.code() not in FORBIDDEN, f"{error.code()}: {error.details()}"
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and request.ByteSize() > MAX_MESSAGE_BYTES:
        # gRPC itself refuses it before the server sees a byte.
        return Refusal(error.code(), "MESSAGE_TOO_LARGE", {}, {})
    refusal = refusal_of(error)
    trailer = sum(len(key) + len(value) for key, value in error.trailing_metadata())
    assert trailer <= MAX_TRAILER_BYTES, f"{trailer} bytes of trailers"
    if refusal.code is grpc.StatusCode.INVALID_ARGUMENT:
        assert refusal.reason in ("FIELD_INVALID", "TOKEN_INVALID"), refusal.reason
        named = refusal.metadata["field"]
        assert named, "the field has no name"
        paths = [named]
        if refusal.reason == "FIELD_INVALID":
            assert named == refusal.fields[0], (named, refusal.fields)
            paths = refusal.fields
            assert all(v.description for v in refusal.details["BadRequest"].field_violations)
        for path in paths:
            if path == "request" and f"is not a {request.DESCRIPTOR.full_name}: " in str(error.details()):
                continue  # Nested deeper than protobuf decodes: there is no field yet.
            assert names_a_field(request.DESCRIPTOR, path), (
                f"{path!r} is no field of {request.DESCRIPTOR.name}: {error.details()}"
            )
    return refusal


def names_a_field(descriptor: Any, path: str) -> bool:
    """Whether a path such as `items[3].memory.metadata["key"]` leads to a field or a oneof of the message."""
    step = _STEP.match(path)
    if step is None:
        return False
    name, rest = step[1], path[step.end() :]
    if name in descriptor.oneofs_by_name:
        return not rest
    field = descriptor.fields_by_name.get(name)
    if field is None or (step[2] and not field.is_repeated):
        return False
    if not rest:
        return True
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        inner = inner.fields_by_name["value"].message_type
    return inner is not None and names_a_field(inner, rest)
