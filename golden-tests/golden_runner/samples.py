"""Samples of every message of the contract, made by walking descriptors, and the vectors written from them."""

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from golden_runner.contract import AnyDescriptor, AnyField, contract_messages, new_message
from golden_runner.paths import is_map, map_value
from memoir_golden_pb.golden_pb2 import Vector, VectorSet

# Recursion (filters in filters) stops here.
MAX_DEPTH: Final = 4
_SECONDS: Final = 1_767_225_600  # 2026-01-01T00:00:00Z
_INTEGERS: Final = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32}
_WIDE: Final = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
BEYOND_DOUBLE: Final = 2**53 + 1


def populated(descriptor: AnyDescriptor, arms: dict[str, str] | None = None, depth: int = 0) -> Message:
    """Build a message with every field set, to a value that names its place.

    `arms`: for oneofs, by full name, the field to set; the first one otherwise. 64-bit integers lie beyond 2^53 and
    times have nanoseconds, so that a decoder that goes through doubles or milliseconds is noticed.
    """
    message = new_message(descriptor.full_name)
    if _fill_well_known(message):
        return message
    chosen = arms or {}
    for field in descriptor.fields:
        oneof = real_oneof(field)
        if oneof is not None and chosen.get(oneof.full_name, oneof.fields[0].name) != field.name:
            continue
        _fill(message, field, chosen, depth)
    return message


def _fill_well_known(message: Message) -> bool:
    """Fill the types whose JSON form is not an object of their fields."""
    match message.DESCRIPTOR.full_name:
        case "google.protobuf.Timestamp":
            _assign(message, seconds=_SECONDS, nanos=123_456_789)
        case "google.protobuf.Duration":
            _assign(message, seconds=3, nanos=500_000_001)
        case "google.protobuf.FieldMask":
            message.paths.extend(["text", "valid_until"])  # type: ignore[attr-defined]
        case "google.rpc.Status":
            _assign(message, code=5, message="sample")
        case _:
            return False
    return True


def _assign(message: Message, /, **values: Any) -> None:
    for name, value in values.items():
        setattr(message, name, value)


def real_oneof(field: AnyField) -> Any:
    """The oneof a field is an arm of, leaving out the synthetic ones of `optional`."""
    oneof = field.containing_oneof
    return None if oneof is None or oneof.name.startswith("_") else oneof


def _fill(message: Message, field: AnyField, arms: dict[str, str], depth: int) -> None:
    if is_map(field):
        value_field = map_value(field)
        target = getattr(message, field.name)
        # One entry: encoders are free in the order of several, and vectors are compared by bytes.
        if value_field.message_type is None:
            target["key"] = _scalar(value_field)
        else:
            target["key"].CopyFrom(populated(value_field.message_type, arms, depth + 1))
    elif field.message_type is not None:
        if depth >= MAX_DEPTH:
            return
        value = populated(field.message_type, arms, depth + 1)
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            getattr(message, field.name).CopyFrom(value)
            getattr(message, field.name).SetInParent()
    elif field.is_repeated:
        getattr(message, field.name).extend([_scalar(field)] * 2)
    else:
        setattr(message, field.name, _scalar(field))


def _scalar(field: AnyField) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return b"\x00\xff" if field.type == FieldDescriptor.TYPE_BYTES else f"{field.name} ä中🙂"
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.cpp_type in _WIDE:
        return BEYOND_DOUBLE + field.number
    if field.cpp_type in _INTEGERS:
        return field.number + 1
    return field.number + 0.5


def vector(name: str, message: Message) -> Vector:
    """Tie a message to its canonical bytes and its ProtoJSON."""
    made = Vector(name=name, type_name=message.DESCRIPTOR.full_name, direction=Vector.DIRECTION_BOTH)
    made.binary = message.SerializeToString(deterministic=True)
    made.json.update(MessageToDict(message))
    return made


def contract_vectors() -> VectorSet:
    """One vector with every field set for each message of the contract, and one for each further arm of its oneofs."""
    made = VectorSet(
        name="messages",
        description="Every message of the contract with every field and every oneof arm set, and empty.",
    )
    for descriptor in contract_messages():
        made.vectors.extend(_vectors_of(descriptor))
    return made


def _vectors_of(descriptor: AnyDescriptor) -> Iterator[Vector]:
    short = descriptor.full_name.removeprefix("memoir.v1.")
    yield vector(f"{short}/empty", new_message(descriptor.full_name))
    yield vector(f"{short}/populated", populated(descriptor))
    for oneof in descriptor.oneofs:
        if not oneof.name.startswith("_"):
            for arm in oneof.fields[1:]:
                yield vector(f"{short}/{arm.name}", populated(descriptor, {oneof.full_name: arm.name}))
