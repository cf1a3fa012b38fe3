"""What a memory looks like once it is stored, worked out from the request and the contract's words alone.

Nothing here may use the server's code: a model that shares a mistake with what it judges finds nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from memoir.v1 import memory_pb2

Memory = memory_pb2.Memory
MUTABLE = (
    "text", "kind", "metadata", "importance", "valid_from", "valid_until", "expire_time", "create_time", "provenance",
    "entities", "relations",
)  # fmt: skip
NO_END = float("inf")


class Refused(Exception):
    """How the contract wants a request to be refused. `fields` are those of the violations, for FIELD_INVALID."""

    def __init__(self, reason: str, *fields: str, **metadata: str) -> None:
        super().__init__(reason, fields, metadata)
        self.reason = reason
        self.fields = list(fields)
        self.metadata = metadata


def micros(time: Timestamp) -> int:
    """Whole microseconds; finer digits are cut off."""
    return time.seconds * 1_000_000 + time.nanos // 1000


def at(instant: int) -> Timestamp:
    """The timestamp of microseconds since the epoch."""
    seconds, rest = divmod(instant, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def stored(request: Any, now: int) -> Any:
    """A new memory with what the server fills in, but for its place in the log."""
    memory = _cut(request)
    if not memory.HasField("create_time"):
        memory.create_time.CopyFrom(at(now))
    if not memory.HasField("valid_from"):
        memory.valid_from.CopyFrom(memory.create_time)
    return memory


def episode(request: Any, message: Any, now: int) -> Any:
    """What AddMemories keeps of one message."""
    memory = Memory(text=message.content, kind=memory_pb2.MEMORY_KIND_EPISODE, scope=request.scope)
    for key, value in request.metadata.items():
        memory.metadata[key].CopyFrom(value)
    if message.HasField("create_time"):
        memory.create_time.CopyFrom(message.create_time)
    memory = stored(memory, now)
    memory.provenance.add(
        session_id=request.scope.session_id,
        message_id=message.message_id,
        role=message.role,
        actor_id=message.actor_id,
        create_time=memory.create_time,
    )
    return memory


def patched(before: Any, request: Any) -> Any:
    """The memory after an UpdateMemoryRequest, with the revision it had."""
    given = _cut(request.memory)
    after = Memory()
    after.CopyFrom(before)
    for field in mask_of(request):
        if field == "create_time" and not given.HasField("create_time"):
            continue
        after.ClearField(field)
        wanted = Memory()
        wanted.CopyFrom(given)
        for other in {d.name for d, _ in wanted.ListFields()} - {field}:
            wanted.ClearField(other)
        after.MergeFrom(wanted)
    return after


def mask_of(request: Any) -> Sequence[str]:
    """Fields an UpdateMemoryRequest names, or populates where it names none."""
    paths = list(request.update_mask.paths)
    if "*" in paths:
        return MUTABLE
    return paths or [d.name for d, _ in request.memory.ListFields() if d.name in MUTABLE]


def _cut(request: Any) -> Any:
    """What a caller may set, with times in whole microseconds and defaults filled in."""
    memory = Memory(text=request.text, kind=request.kind or memory_pb2.MEMORY_KIND_FACT, scope=request.scope)
    for field in ("metadata", "provenance", "entities", "relations"):
        getattr(memory, field).MergeFrom(getattr(request, field))
    if request.HasField("importance"):
        memory.importance = request.importance
    for field in ("valid_from", "valid_until", "expire_time", "create_time"):
        _copy_time(request, memory, field)
    for value in memory.metadata.values():
        if value.HasField("timestamp_value"):
            _copy_time(value, value, "timestamp_value")
    for provenance in memory.provenance:
        _copy_time(provenance, provenance, "create_time")
    for mention in memory.entities:
        mention.type = mention.type or "thing"
    for statement in memory.relations:
        statement.confidence = statement.confidence if statement.HasField("confidence") else 1.0
        _copy_time(statement, statement, "valid_from")
        _copy_time(statement, statement, "valid_until")
    return memory


def _copy_time(source: Any, target: Any, field: str) -> None:
    if source.HasField(field):
        getattr(target, field).CopyFrom(at(micros(getattr(source, field))))


def begin(memory: Any) -> float:
    """Where the validity of a memory begins; minus infinity where nothing says so."""
    return micros(memory.valid_from) if memory.HasField("valid_from") else -NO_END


def end(memory: Any) -> float:
    """Where the validity of a memory ends; infinity where nothing says so."""
    return micros(memory.valid_until) if memory.HasField("valid_until") else NO_END


def empty_interval(memory: Any) -> bool:
    """Whether both bounds are set and leave nothing between them."""
    return memory.HasField("valid_from") and memory.HasField("valid_until") and end(memory) <= begin(memory)


def settled(memory: Any, contradicted: Sequence[Any]) -> tuple[Any, list[Any]]:
    """The new memory against those it contradicts, and those of them that it closes.

    Each that overlaps in validity and began no later is closed where the new one begins. Of those that began later, the
    first to begin closes the new one.
    """
    start, stop = begin(memory), end(memory)
    overlapping = [o for o in contradicted if max(start, begin(o)) < min(stop, end(o))]
    later = [o for o in overlapping if begin(o) > start]
    new = Memory()
    new.CopyFrom(memory)
    if later:
        first = min(later, key=begin)
        new.valid_until.CopyFrom(first.valid_from)
        new.superseded_by = first.memory_id
    closed = []
    for other in overlapping:
        if begin(other) <= start:
            ended = Memory()
            ended.CopyFrom(other)
            ended.valid_until.CopyFrom(memory.valid_from)
            ended.superseded_by = memory.memory_id
            closed.append(ended)
    new.supersedes.extend(o.memory_id for o in closed)
    return new, closed


def basic(memory: Any) -> Any:
    """The memory in view BASIC."""
    shown = Memory()
    shown.CopyFrom(memory)
    shown.ClearField("entities")
    shown.ClearField("relations")
    return shown


def same_content(one: Any, other: Any) -> bool:
    """Whether two memories say the same, their create_time and valid_from aside."""
    return _said(one) == _said(other)


def same_turn(one: Any, other: Any) -> bool:
    """Whether two EPISODEs are the same message: by its id, or where it has none by its create_time."""
    return _turn(one) == _turn(other)


def _said(memory: Any) -> bytes:
    said = Memory()
    said.CopyFrom(memory)
    output_only = ("namespace", "memory_id", "revision", "etag", "update_time", "supersedes", "superseded_by")
    for field in (*output_only, "create_time", "valid_from"):
        said.ClearField(field)
    said.text = normal(said.text)
    data: bytes = said.SerializeToString(deterministic=True)
    return data


def _turn(memory: Any) -> tuple[Any, ...]:
    first = memory.provenance[0] if memory.provenance else memory_pb2.Provenance()
    when = first.message_id or micros(memory.create_time)
    scope: bytes = memory.scope.SerializeToString(deterministic=True)
    return memory.kind, scope, first.role, first.actor_id, normal(memory.text), when


def normal(text: str) -> str:
    """Unicode normal form C, without white space around it."""
    return unicodedata.normalize("NFC", text).strip()
