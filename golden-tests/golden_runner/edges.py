"""Vectors written by hand: the edges where encoders and decoders of different languages are known to part."""

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from golden_runner.contract import new_message
from golden_runner.samples import vector
from memoir_golden_pb.golden_pb2 import Vector, VectorSet

VALUE: Final = "memoir.v1.MetadataValue"
INT64_EDGES: Final = (0, 1, -1, 2**31, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
DOUBLES: Final = (0.0, -0.5, 1e-300, 1.5e300, 0.1)
TIMES: Final = (
    "1970-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "1969-12-31T23:59:59.000000001Z",
    "2026-01-01T00:00:00.100Z",
    "2026-01-01T00:00:00.000001Z",
    "2026-01-01T00:00:00.123456789Z",
)


def edge_vectors() -> VectorSet:
    """All of them, in a stable order."""
    made = VectorSet(
        name="edges",
        description="64-bit integers, nanoseconds, presence, oneofs, unknown fields and enum numbers, refusals.",
    )
    for part in (_numbers(), _times(), _presence(), _unknown(), _last_wins(), _spellings(), _refused()):
        made.vectors.extend(part)
    return made


def _json(type_name: str, value: dict[str, Any]) -> Message:
    return ParseDict(value, new_message(type_name))


def _numbers() -> Iterator[Vector]:
    for number in INT64_EDGES:
        yield vector(f"int64/{number}", _json(VALUE, {"intValue": str(number)}))
    for double in DOUBLES:
        yield vector(f"double/{double!r}", _json(VALUE, {"doubleValue": double}))
    yield vector("int64/map-value", _json("memoir.v1.GetServerInfoResponse", {"limits": {"a": str(2**63 - 1)}}))
    yield vector("text/nul-and-astral", _json(VALUE, {"stringValue": "a\u0000b 🙂 \u2028"}))


def _times() -> Iterator[Vector]:
    for time in TIMES:
        yield vector(f"time/{time}", _json(VALUE, {"timestampValue": time}))
    for duration in ("0s", "-0.000000001s", "0.100s", "315576000000s"):
        yield vector(f"duration/{duration}", _json("memoir.v1.StoreStatus", {"latency": duration}))


def _presence() -> Iterator[Vector]:
    yield vector(
        "presence/optional-double-zero", _json("memoir.v1.SearchSpec", {"query": "q", "minScore": 0, "graphDepth": 0})
    )
    yield vector("presence/optional-string-empty", _json("memoir.v1.Scope", {"userId": ""}))
    yield vector("presence/empty-message", _json("memoir.v1.Memory", {"scope": {}}))
    yield vector("presence/oneof-bool-false", _json(VALUE, {"boolValue": False}))
    yield vector("presence/oneof-empty-string", _json(VALUE, {"stringValue": ""}))
    yield vector("presence/oneof-zero-revision", _json("memoir.v1.AsOf", {"revision": "0"}))
    yield vector("presence/empty-list-in-oneof", _json(VALUE, {"stringList": {}}))


def _unknown() -> Iterator[Vector]:
    known = _json("memoir.v1.Memory", {"memoryId": "m-1", "text": "t"})
    extra = {
        "varint": b"\xf8\x3f\x96\x01",
        "bytes": b"\xfa\x3f\x03abc",
        "fixed64": b"\xf9\x3f" + bytes(range(8)),
        "fixed32": b"\xfd\x3f" + bytes(4),
    }
    for name, field in extra.items():
        yield _from_binary(f"unknown-field/{name}", "memoir.v1.Memory", known.SerializeToString() + field)
    inner = _json("memoir.v1.Scope", {"userId": "alice"}).SerializeToString() + extra["varint"]
    yield _from_binary("unknown-field/nested", "memoir.v1.Memory", b"\x2a" + bytes([len(inner)]) + inner)
    yield _from_binary("unknown-field/only", "memoir.v1.StringList", extra["bytes"])
    yield _from_binary("unknown-enum/singular", "memoir.v1.Memory", b"\x20\xe7\x07")
    yield _from_binary(
        "unknown-enum/repeated", "memoir.v1.StreamSearchMemoriesResponse.Started", b"\x12\x03\x01\xe7\x07"
    )
    yield _from_binary("unknown-enum/negative", "memoir.v1.Memory", b"\x20" + b"\xff" * 9 + b"\x01")


def _from_binary(name: str, type_name: str, binary: bytes, canonical: bytes = b"") -> Vector:
    made = Vector(
        name=name, type_name=type_name, binary=binary, canonical=canonical, direction=Vector.DIRECTION_FROM_BINARY
    )
    message = new_message(type_name)
    message.ParseFromString(binary)
    made.json.update(MessageToDict(message))
    return made


def _last_wins() -> Iterator[Vector]:
    text, number = (
        _json(VALUE, {"stringValue": "a"}).SerializeToString(),
        _json(VALUE, {"intValue": "7"}).SerializeToString(),
    )
    yield _from_binary("last-wins/oneof-text-then-number", VALUE, text + number, number)
    yield _from_binary("last-wins/oneof-number-then-text", VALUE, number + text, text)
    first, second = (_json("memoir.v1.Memory", {"text": value}).SerializeToString() for value in ("first", "second"))
    yield _from_binary("last-wins/singular", "memoir.v1.Memory", first + second, second)
    user, agent = ({"scope": {"userId": "u"}}, {"scope": {"agentId": "a"}})
    merged = _json("memoir.v1.Memory", {"scope": {"userId": "u", "agentId": "a"}}).SerializeToString()
    parts = b"".join(_json("memoir.v1.Memory", part).SerializeToString() for part in (user, agent))
    yield _from_binary("last-wins/messages-merge", "memoir.v1.Memory", parts, merged)
    yield _from_binary(
        "packing/unpacked-enums",
        "memoir.v1.StreamSearchMemoriesResponse.Started",
        b"\x10\x01\x10\x02",
        b"\x12\x02\x01\x02",
    )


def _spellings() -> Iterator[Vector]:
    canonical = _json("memoir.v1.Memory", {"memoryId": "m-1", "revision": "7"}).SerializeToString()
    spellings: dict[str, dict[str, Any]] = {
        "snake-case-names": {"memory_id": "m-1", "revision": "7"},
        "int64-as-number": {"memoryId": "m-1", "revision": 7},
        "null-is-absent": {"memoryId": "m-1", "revision": "7", "scope": None, "metadata": None},
    }
    for name, value in spellings.items():
        yield _from_json(f"spelling/{name}", "memoir.v1.Memory", value, canonical)
    yield _from_json("spelling/enum-as-number", "memoir.v1.Memory", {"kind": 6}, b"\x20\x06")
    moment = _json(VALUE, {"timestampValue": "2026-01-01T00:00:00Z"}).SerializeToString()
    yield _from_json("spelling/time-with-offset", VALUE, {"timestampValue": "2026-01-01T02:00:00+02:00"}, moment)


def _from_json(name: str, type_name: str, value: dict[str, Any], binary: bytes) -> Vector:
    made = Vector(name=name, type_name=type_name, binary=binary, direction=Vector.DIRECTION_FROM_JSON)
    made.json.update(value)
    return made


def _refused() -> Iterator[Vector]:
    binary = {
        "truncated": b"\x0a\x05ab",
        "bad-utf8": b"\x0a\x02\xff\xfe",
        "field-number-zero": b"\x00\x01",
        "endless-varint": b"\x10" + b"\xff" * 11,
    }
    for name, wire in binary.items():
        yield Vector(
            name=f"refused-binary/{name}", type_name=VALUE, binary=wire, direction=Vector.DIRECTION_REJECT_BINARY
        )
    refused: dict[str, dict[str, Any]] = {
        "int64-too-large": {"intValue": str(2**63)},
        "int64-fraction": {"intValue": "1.5"},
        "time-without-zone": {"timestampValue": "2026-01-01T00:00:00"},
        "time-out-of-range": {"timestampValue": "10000-01-01T00:00:00Z"},
        "unknown-name": {"noSuchField": 1},
        "two-arms": {"intValue": "1", "stringValue": "a"},
        "wrong-type": {"boolValue": "true"},
    }
    for name, value in refused.items():
        made = Vector(name=f"refused-json/{name}", type_name=VALUE, direction=Vector.DIRECTION_REJECT_JSON)
        made.json.update(value)
        yield made
