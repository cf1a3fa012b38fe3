"""Memories and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from memoir.v1 import memory_pb2 as pb
from memoir_server.domain.access import Access
from memoir_server.domain.change import Change, EventType
from memoir_server.domain.conversation import MemoryPatch, Message, NewMemory, make_new_memory
from memoir_server.domain.duplicate import Duplicate
from memoir_server.domain.errors import FieldInvalid
from memoir_server.domain.memory import (
    EntityMention,
    Memory,
    MemoryKind,
    MetadataValue,
    Moment,
    Provenance,
    RelationStatement,
    Role,
    Scope,
    make_scope,
)
from memoir_server.domain.reasoning import ImagePart, image_type
from memoir_server.rpc.convert.time import read_optional_time, read_time, write_time

MUTABLE = (
    "text",
    "kind",
    "metadata",
    "importance",
    "valid_from",
    "valid_until",
    "expire_time",
    "create_time",
    "provenance",
    "entities",
    "relations",
)
"""Fields an update may name."""

_ACTIONS: Mapping[EventType, pb.MemoryChange.Action] = {
    EventType.CREATED: pb.MemoryChange.ACTION_ADDED,
    EventType.UPDATED: pb.MemoryChange.ACTION_UPDATED,
    EventType.SUPERSEDED: pb.MemoryChange.ACTION_SUPERSEDED,
    EventType.DELETED: pb.MemoryChange.ACTION_DELETED,
}


def read_scope(scope: Any) -> Scope:
    """A Scope message."""
    return make_scope(
        scope.user_id if scope.HasField("user_id") else None,
        scope.agent_id if scope.HasField("agent_id") else None,
        scope.session_id if scope.HasField("session_id") else None,
    )


def read_owner_scope(message: Any, path: str) -> Scope:
    """The scope of a new memory. Raises FieldInvalid when it names no owner."""
    scope = read_scope(message.scope)
    if scope.user_id is None and scope.agent_id is None:
        raise FieldInvalid(f"{path}.scope", "set user_id or agent_id")
    return scope


def read_value(value: Any, path: str) -> MetadataValue:
    """A MetadataValue message; validation has made sure that one kind is set."""
    kind = value.WhichOneof("kind")
    if kind == "string_list":
        return tuple(value.string_list.values)
    if kind == "timestamp_value":
        return Moment(read_time(value.timestamp_value, f"{path}.timestamp_value"))
    plain: MetadataValue = getattr(value, kind)
    return plain


def read_metadata(metadata: Any, path: str) -> dict[str, MetadataValue]:
    """A metadata map."""
    return {key: read_value(value, f'{path}["{key}"]') for key, value in metadata.items()}


def read_new_memory(memory: Any, memory_id: str, supersedes: Any, path: str) -> NewMemory:
    """A memory to store. `path` is that of `memory` in the request. Raises FieldInvalid."""
    if not memory.text:
        raise FieldInvalid(f"{path}.text", "must not be empty; it is the statement to remember")
    return _new_memory(memory, path, memory_id, read_owner_scope(memory, path), tuple(supersedes))


def read_patch(request: Any) -> MemoryPatch:
    """What an UpdateMemoryRequest changes. Raises FieldInvalid."""
    memory = request.memory
    paths = set(request.update_mask.paths)
    if "*" in paths:
        if len(paths) > 1:
            raise FieldInvalid("update_mask", "`*` stands alone; leave the other paths out")
        paths = set(MUTABLE)
    elif not paths:
        paths = {field for field in MUTABLE if _populated(memory, field)}
    if "text" in paths and not memory.text:
        raise FieldInvalid("memory.text", "must not be empty; leave `text` out of update_mask to keep it")
    return MemoryPatch(fields=frozenset(paths), values=_new_memory(memory, "memory", "", Scope(), ()))


def _populated(memory: Any, field: str) -> bool:
    if memory.DESCRIPTOR.fields_by_name[field].has_presence:
        return bool(memory.HasField(field))
    return bool(getattr(memory, field))


def _new_memory(memory: Any, path: str, memory_id: str, scope: Scope, supersedes: tuple[str, ...]) -> NewMemory:
    # Most memories set two or three of the fields, and asking for each costs as much as reading one.
    given = {field.name: value for field, value in memory.ListFields()}
    if given.keys() <= _PLAIN:
        return make_new_memory(
            memory_id=memory_id,
            text=given.get("text", ""),
            scope=scope,
            kind=MemoryKind(given["kind"]) if "kind" in given else MemoryKind.FACT,
            supersedes=supersedes,
        )
    return make_new_memory(
        memory_id=memory_id,
        text=memory.text,
        scope=scope,
        kind=MemoryKind(memory.kind) if memory.kind else MemoryKind.FACT,
        metadata=read_metadata(memory.metadata, f"{path}.metadata") if memory.metadata else {},
        importance=memory.importance if memory.HasField("importance") else None,
        valid_from=read_optional_time(memory, "valid_from", path),
        valid_until=read_optional_time(memory, "valid_until", path),
        expire_time=read_optional_time(memory, "expire_time", path),
        create_time=read_optional_time(memory, "create_time", path),
        provenance=tuple([_provenance(p, f"{path}.provenance[{i}]") for i, p in enumerate(memory.provenance)]),
        entities=tuple(
            [EntityMention(name=e.name, type=e.type or "thing", aliases=tuple(e.aliases)) for e in memory.entities]
        ),
        relations=tuple([_statement(r, f"{path}.relations[{i}]") for i, r in enumerate(memory.relations)]),
        supersedes=supersedes,
    )


_PLAIN: Final = frozenset({"text", "kind", "scope"})


def _provenance(provenance: Any, path: str) -> Provenance:
    return Provenance(
        session_id=provenance.session_id,
        message_id=provenance.message_id,
        role=Role(provenance.role),
        actor_id=provenance.actor_id,
        quote=provenance.quote,
        create_time=read_optional_time(provenance, "create_time", path),
    )


def _statement(statement: Any, path: str) -> RelationStatement:
    return RelationStatement(
        subject=statement.subject,
        predicate=statement.predicate,
        object=statement.object,
        confidence=statement.confidence if statement.HasField("confidence") else 1.0,
        valid_from=read_optional_time(statement, "valid_from", path),
        valid_until=read_optional_time(statement, "valid_until", path),
    )


def read_message(message: Any, path: str) -> Message:
    """One turn of a conversation."""
    return Message(
        role=Role(message.role),
        content=message.content,
        actor_id=message.actor_id,
        message_id=message.message_id,
        create_time=read_optional_time(message, "create_time", path),
        images=tuple(_image(image.data, f"{path}.images[{i}].data") for i, image in enumerate(message.images)),
    )


def _image(data: bytes, path: str) -> ImagePart:
    media_type = image_type(data)
    if media_type is None:
        raise FieldInvalid(path, "is no PNG, JPEG, GIF or WebP: send the bytes of such a file")
    return ImagePart(data, media_type)


def write_scope(target: Any, scope: Scope) -> None:
    """Sets a Scope message."""
    if scope.user_id is not None:
        target.user_id = scope.user_id
    if scope.agent_id is not None:
        target.agent_id = scope.agent_id
    if scope.session_id is not None:
        target.session_id = scope.session_id


def write_value(target: Any, value: MetadataValue) -> None:
    """Sets a MetadataValue message."""
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, Moment):
        write_time(target.timestamp_value, value.instant)
    else:
        target.string_list.SetInParent()
        target.string_list.values.extend(value)


def write_memory(target: pb.Memory, memory: Memory, *, full: bool, access: Access | None = None) -> None:
    """Sets a Memory message; `full` includes entities and relations (view FULL), `access` how often it was returned."""
    target.namespace = memory.namespace
    target.memory_id = memory.memory_id
    target.text = memory.text
    target.kind = memory.kind  # type: ignore[assignment]  # the numbers are the contract's
    target.revision = memory.revision
    target.etag = memory.etag
    write_scope(target.scope, memory.scope)
    write_time(target.create_time, memory.create_time)
    write_time(target.update_time, memory.update_time)
    if memory.valid_from is not None:
        write_time(target.valid_from, memory.valid_from)
    if memory.valid_until is not None:
        write_time(target.valid_until, memory.valid_until)
    if memory.expire_time is not None:
        write_time(target.expire_time, memory.expire_time)
    if memory.importance is not None:
        target.importance = memory.importance
    if memory.metadata:
        for key, value in memory.metadata.items():
            write_value(target.metadata[key], value)
    for provenance in memory.provenance:
        _write_provenance(target.provenance.add(), provenance)
    if memory.supersedes:
        target.supersedes.extend(memory.supersedes)
    if memory.superseded_by:
        target.superseded_by = memory.superseded_by
    if full:
        _write_facts(target, memory)
    if access is not None:
        target.access_count = access.count
        if access.count:
            write_time(target.last_access_time, access.last)


def _write_provenance(target: pb.Provenance, provenance: Provenance) -> None:
    target.session_id = provenance.session_id
    target.message_id = provenance.message_id
    target.role = provenance.role  # type: ignore[assignment]
    target.actor_id = provenance.actor_id
    target.quote = provenance.quote
    if provenance.create_time is not None:
        write_time(target.create_time, provenance.create_time)


def _write_facts(target: pb.Memory, memory: Memory) -> None:
    for mention in memory.entities:
        target.entities.add(name=mention.name, type=mention.type, aliases=mention.aliases)
    for statement in memory.relations:
        relation = target.relations.add(
            subject=statement.subject,
            predicate=statement.predicate,
            object=statement.object,
            confidence=statement.confidence,
        )
        if statement.valid_from is not None:
            write_time(relation.valid_from, statement.valid_from)
        if statement.valid_until is not None:
            write_time(relation.valid_until, statement.valid_until)


def write_change(target: pb.MemoryChange, change: Change, *, full: bool) -> None:
    """Sets a MemoryChange message from a committed change."""
    target.action = _ACTIONS[change.type]
    memory = change.after or change.before
    if memory is not None:
        write_memory(target.memory, memory, full=full)
    if change.before is not None and change.type in (EventType.UPDATED, EventType.SUPERSEDED):
        target.previous_text = change.before.text
    target.reason = change.reason


def write_duplicate(target: pb.Duplicate, duplicate: Duplicate) -> None:
    """Sets a Duplicate message."""
    target.memory_id = duplicate.memory_id
    target.exact = duplicate.exact
    target.cosine = duplicate.cosine
    target.stored = duplicate.stored


def write_unchanged(
    target: pb.MemoryChange, namespace: str, duplicate: Duplicate, memory: Memory | None, *, full: bool
) -> None:
    """Sets a MemoryChange message for what was known already; `memory` None: it has been removed since."""
    target.action = pb.MemoryChange.ACTION_UNCHANGED
    target.reason = "already known" if duplicate.exact else "nearly the same is already known"
    write_known(target.memory, namespace, duplicate, memory, full=full)
    write_duplicate(target.duplicate, duplicate)


def write_known(target: pb.Memory, namespace: str, duplicate: Duplicate, memory: Memory | None, *, full: bool) -> None:
    """Sets the Memory message of what was known already; only its id when it has been removed since."""
    if memory is not None:
        write_memory(target, memory, full=full)
    else:
        target.namespace = namespace
        target.memory_id = duplicate.memory_id


def wants_full(view: int, *, default: bool) -> bool:
    """Whether a MemoryView asks for entities and relations; `default` stands for UNSPECIFIED."""
    return default if view == pb.MEMORY_VIEW_UNSPECIFIED else view == pb.MEMORY_VIEW_FULL
