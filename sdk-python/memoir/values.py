"""Scalars of the contract: instants, durations, metadata values, scopes, moments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from memoir.errors import invalid
from memoir.v1 import common_pb2

#: What a metadata key can hold. Integers are 64-bit, datetimes are aware, lists hold strings only.
MetadataValue: TypeAlias = str | int | float | bool | datetime | list[str]
#: What callers may write for a metadata value; a Timestamp keeps nanoseconds.
MetadataInput: TypeAlias = str | int | float | bool | datetime | Timestamp | Sequence[str]
#: An instant: an aware datetime, RFC 3339 text, or a Timestamp (which keeps nanoseconds, as the text does).
Instant: TypeAlias = datetime | str | Timestamp
#: A past moment of the ledger: an instant, or a revision.
Moment: TypeAlias = Instant | int

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory something is: every id that is set must match, an id that is None matches anything."""

    user_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None


def timestamp_to_proto(value: Instant, field: str) -> Timestamp:
    """Convert an instant.

    Raises:
        InvalidArgument: a naive datetime (it names no instant), or text that is not RFC 3339.
    """
    if isinstance(value, Timestamp):
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise invalid(field, f"{value!r} has no time zone; use datetime(..., tzinfo=UTC) or value.astimezone()")
        delta = value - _EPOCH
        return Timestamp(seconds=delta.days * 86_400 + delta.seconds, nanos=delta.microseconds * 1_000)
    if isinstance(value, str):
        result = Timestamp()
        try:
            result.FromJsonString(value)
        except ValueError as error:
            raise invalid(field, f"{value!r} is not RFC 3339 text such as 2026-01-31T09:00:00Z") from error
        return result
    raise invalid(field, f"{value!r} is not an instant; use an aware datetime or RFC 3339 text")


def optional_timestamp(value: Instant | None, field: str) -> Timestamp | None:
    """Convert an instant, or pass None on."""
    return None if value is None else timestamp_to_proto(value, field)


def datetime_from_proto(value: Timestamp) -> datetime:
    """Convert to an aware datetime in UTC; digits finer than a microsecond are cut off."""
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1_000)


def duration_to_proto(seconds: float) -> Duration:
    """Convert seconds."""
    whole = int(seconds // 1)
    return Duration(seconds=whole, nanos=round((seconds - whole) * 1e9))


def timedelta_from_proto(value: Duration) -> timedelta:
    """Convert to a timedelta; digits finer than a microsecond are rounded."""
    return timedelta(seconds=value.seconds, microseconds=value.nanos / 1_000)


def metadata_value_to_proto(value: MetadataInput, field: str) -> common_pb2.MetadataValue:
    """Convert one typed value. There is no coercion: the Python type decides.

    Raises:
        InvalidArgument: a type the contract has no place for, or an integer beyond 64 bits.
    """
    # bool before int: True is an int in Python, and not in the contract.
    if isinstance(value, bool):
        return common_pb2.MetadataValue(bool_value=value)
    if isinstance(value, str):
        return common_pb2.MetadataValue(string_value=value)
    if isinstance(value, int):
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise invalid(field, f"{value} does not fit in 64 bits; store it as text")
        return common_pb2.MetadataValue(int_value=value)
    if isinstance(value, float):
        return common_pb2.MetadataValue(double_value=value)
    if isinstance(value, datetime | Timestamp):
        return common_pb2.MetadataValue(timestamp_value=timestamp_to_proto(value, field))
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return common_pb2.MetadataValue(string_list=common_pb2.StringList(values=value))
    raise invalid(field, f"{value!r} is not a str, int, float, bool, aware datetime or list of str")


def metadata_to_proto(
    metadata: Mapping[str, MetadataInput] | None, field: str = "metadata"
) -> dict[str, common_pb2.MetadataValue]:
    """Convert a whole metadata dict; None is empty."""
    if not metadata:
        return {}
    return {key: metadata_value_to_proto(value, f"{field}.{key}") for key, value in metadata.items()}


def metadata_value_from_proto(value: common_pb2.MetadataValue) -> MetadataValue | None:
    """Convert one typed value; None for a type this package does not know."""
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bool_value":
            return value.bool_value
        case "timestamp_value":
            return datetime_from_proto(value.timestamp_value)
        case "string_list":
            return [*value.string_list.values]
        case _:
            return None


def metadata_from_proto(metadata: Mapping[str, common_pb2.MetadataValue]) -> dict[str, MetadataValue]:
    """Convert a metadata map to a plain dict, by key; values of an unknown type are left out (see `.message`)."""
    result = dict[str, MetadataValue]()
    for key in sorted(metadata):
        value = metadata_value_from_proto(metadata[key])
        if value is not None:
            result[key] = value
    return result


def scope_to_proto(user_id: str | None, agent_id: str | None, session_id: str | None) -> common_pb2.Scope | None:
    """Build a scope; None when no id is given."""
    if user_id is None and agent_id is None and session_id is None:
        return None
    return common_pb2.Scope(user_id=user_id, agent_id=agent_id, session_id=session_id)


def scope_from_proto(scope: common_pb2.Scope) -> Scope:
    """Convert a scope."""
    return Scope(
        scope.user_id if scope.HasField("user_id") else None,
        scope.agent_id if scope.HasField("agent_id") else None,
        scope.session_id if scope.HasField("session_id") else None,
    )


def as_of_to_proto(moment: Moment | None) -> common_pb2.AsOf | None:
    """Build the moment of a read in the past: an int is a revision, anything else an instant."""
    if moment is None:
        return None
    if isinstance(moment, bool):
        raise invalid("as_of", f"{moment!r} is neither an instant nor a revision")
    if isinstance(moment, int):
        return common_pb2.AsOf(revision=moment)
    return common_pb2.AsOf(time=timestamp_to_proto(moment, "as_of"))


def time_range_to_proto(
    after: Instant | None, before: Instant | None, fields: tuple[str, str]
) -> common_pb2.TimeRange | None:
    """Build the half-open range after <= t < before; None when neither side is given."""
    if after is None and before is None:
        return None
    return common_pb2.TimeRange(
        start_time=optional_timestamp(after, fields[0]), end_time=optional_timestamp(before, fields[1])
    )
