"""Memories and what belongs to them, as returned by the client."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime

from memoir.enums import CHANGE_ACTION, DURABILITY, MEMORY_KIND, ROLE, ChangeAction, Durability, MemoryKind, Role
from memoir.graph import EntityMention, RelationStatement
from memoir.v1 import memory_pb2
from memoir.values import MetadataValue, Scope, datetime_from_proto, metadata_from_proto, scope_from_proto


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a memory came from: the message, its speaker, and the words (`quote`) it rests on."""

    session_id: str = ""
    message_id: str = ""
    role: Role = Role.UNSPECIFIED
    actor_id: str = ""
    quote: str = ""
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """One durable statement, as one version of it.

    Attributes:
        id: identity within the namespace (`memory_id` in the contract).
        metadata: plain dict; values are str, int (64 bits), float, bool, aware datetime or list of str.
        importance: weight in ranking, 0..1; None when the server decides.
        valid_from, valid_until: when the statement is true in the world, half-open.
        expire_time: moment from which the memory is gone.
        create_time: when it was said. update_time: commit time of the last change. All times are aware, in UTC.
        entities, relations: present in view FULL only.
        revision: namespace revision of the last change. etag: send it back to make a change conditional.
        supersedes, superseded_by: ids of the memories this one replaced, and of the one that replaced it.
        access_count, last_access_time: how often it was returned, and when last; set where `include_access` was asked
            for and the server counts.
        message: the message as received; nanoseconds, unknown fields and unknown enum numbers survive in it.
    """

    id: str
    namespace: str
    text: str
    kind: MemoryKind
    scope: Scope
    metadata: dict[str, MetadataValue]
    importance: float | None
    valid_from: datetime | None
    valid_until: datetime | None
    expire_time: datetime | None
    create_time: datetime | None
    update_time: datetime | None
    provenance: tuple[Provenance, ...]
    entities: tuple[EntityMention, ...]
    relations: tuple[RelationStatement, ...]
    etag: str
    revision: int
    supersedes: tuple[str, ...]
    superseded_by: str
    access_count: int | None = field(compare=False)
    last_access_time: datetime | None = field(compare=False)
    message: memory_pb2.Memory = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The memory that already says what a write wanted to store.

    Attributes:
        exact: it says the same; False: nearly, with this `cosine` between the two texts.
        stored: the new memory was stored all the same, since it came with an id of its own or supersedes another.
    """

    memory_id: str
    exact: bool
    cosine: float | None
    stored: bool


@dataclass(frozen=True, slots=True)
class MemoryChange:
    """One decision about one memory; `memory` is its state after the change. `duplicate` is set when a memory said
    this already: that of UNCHANGED itself, another one for ADDED."""

    action: ChangeAction
    memory: Memory
    previous_text: str
    reason: str
    source_quote: str
    duplicate: Duplicate | None


@dataclass(frozen=True, slots=True, eq=False)
class WrittenMemory(Memory):
    """A memory as `create` or `update` left it, and what the write did. Equal to the same memory read back.

    Attributes:
        changes: of `create`: the memory ADDED (UNCHANGED when it was known already), and each one SUPERSEDED by it.
            Empty for `update`.
        duplicate: of `create`: set when a memory said this already. Unless `duplicate.stored`, this is that memory.
        durability: how far the write has got.
        write_revision: pass as `min_revision` to a read to see this write.
        response: the response as received.
    """

    changes: tuple[MemoryChange, ...]
    duplicate: Duplicate | None
    durability: Durability
    write_revision: int
    response: memory_pb2.CreateMemoryResponse | memory_pb2.UpdateMemoryResponse = field(repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Memory):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    __hash__ = Memory.__hash__


_COMPARED = tuple(item.name for item in fields(Memory) if item.compare)


def memory_from_proto(message: memory_pb2.Memory) -> Memory:
    """Convert a memory."""
    has = message.HasField
    return Memory(
        id=message.memory_id,
        namespace=message.namespace,
        text=message.text,
        kind=MEMORY_KIND.decode(message.kind),
        scope=scope_from_proto(message.scope),
        metadata=metadata_from_proto(message.metadata),
        importance=message.importance if has("importance") else None,
        valid_from=datetime_from_proto(message.valid_from) if has("valid_from") else None,
        valid_until=datetime_from_proto(message.valid_until) if has("valid_until") else None,
        expire_time=datetime_from_proto(message.expire_time) if has("expire_time") else None,
        create_time=datetime_from_proto(message.create_time) if has("create_time") else None,
        update_time=datetime_from_proto(message.update_time) if has("update_time") else None,
        provenance=tuple([provenance_from_proto(item) for item in message.provenance]),
        entities=tuple([EntityMention(item.name, item.type, tuple(item.aliases)) for item in message.entities]),
        relations=tuple(
            [
                RelationStatement(
                    item.subject,
                    item.predicate,
                    item.object,
                    item.confidence if item.HasField("confidence") else None,
                    datetime_from_proto(item.valid_from) if item.HasField("valid_from") else None,
                    datetime_from_proto(item.valid_until) if item.HasField("valid_until") else None,
                )
                for item in message.relations
            ]
        ),
        etag=message.etag,
        revision=message.revision,
        supersedes=tuple(message.supersedes),
        superseded_by=message.superseded_by,
        access_count=message.access_count if has("access_count") else None,
        last_access_time=datetime_from_proto(message.last_access_time) if has("last_access_time") else None,
        message=message,
    )


def provenance_from_proto(message: memory_pb2.Provenance) -> Provenance:
    """Convert a provenance."""
    return Provenance(
        message.session_id,
        message.message_id,
        ROLE.decode(message.role),
        message.actor_id,
        message.quote,
        datetime_from_proto(message.create_time) if message.HasField("create_time") else None,
    )


def change_from_proto(message: memory_pb2.MemoryChange) -> MemoryChange:
    """Convert a change."""
    return MemoryChange(
        CHANGE_ACTION.decode(message.action),
        memory_from_proto(message.memory),
        message.previous_text,
        message.reason,
        message.source_quote,
        duplicate_from_proto(message.duplicate) if message.HasField("duplicate") else None,
    )


def duplicate_from_proto(message: memory_pb2.Duplicate) -> Duplicate:
    """Convert a duplicate."""
    return Duplicate(message.memory_id, message.exact, message.cosine or None, message.stored)


def written_from_proto(
    response: memory_pb2.CreateMemoryResponse | memory_pb2.UpdateMemoryResponse,
    changes: Iterable[memory_pb2.MemoryChange] = (),
) -> WrittenMemory:
    """Convert the response of CreateMemory, whose changes are given too, or of UpdateMemory, which has none."""
    memory = memory_from_proto(response.memory)
    made = tuple([change_from_proto(change) for change in changes])
    return WrittenMemory(
        **{item.name: getattr(memory, item.name) for item in fields(Memory)},
        changes=made,
        duplicate=made[0].duplicate if made else None,
        durability=DURABILITY.decode(response.durability),
        write_revision=response.revision,
        response=response,
    )
