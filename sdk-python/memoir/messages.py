"""What callers write: conversation messages, new memories, entities, relations, provenance; dicts or dataclasses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from google.protobuf.field_mask_pb2 import FieldMask

from memoir.enums import MEMORY_KIND, ROLE, MemoryKind, Role
from memoir.errors import invalid
from memoir.graph import EntityMention, RelationStatement
from memoir.memory import Provenance
from memoir.v1 import graph_pb2, memory_pb2
from memoir.values import Instant, MetadataInput, metadata_to_proto, optional_timestamp, scope_to_proto


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `create_time` (aware, or RFC 3339 text) may lie in the past; None means now.

    `images` are the bytes of PNG, JPEG, GIF or WebP files: mode INFER has a model describe them.
    """

    role: Role | str
    content: str
    actor_id: str = ""
    message_id: str = ""
    create_time: Instant | None = None
    images: Iterable[bytes | bytearray | memoryview] = ()


#: One turn: a `Message`, or a dict with the same keys.
MessageInput: TypeAlias = Message | Mapping[str, Any]
#: An entity: an `EntityMention`, a dict with the same keys, or just its name.
EntityInput: TypeAlias = EntityMention | Mapping[str, Any] | str
#: A relation: a `RelationStatement`, a dict with the same keys, or (subject, predicate, object).
RelationInput: TypeAlias = RelationStatement | Mapping[str, Any] | tuple[str, str, str]
#: A provenance: a `Provenance`, or a dict with the same keys.
ProvenanceInput: TypeAlias = Provenance | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMemory:
    """One item of `create_many`; the fields are the arguments of `create`."""

    text: str
    user_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    kind: MemoryKind | str | None = None
    metadata: Mapping[str, MetadataInput] | None = None
    entities: Iterable[EntityInput] = ()
    relations: Iterable[RelationInput] = ()
    memory_id: str = ""
    importance: float | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    expire_time: Instant | None = None
    create_time: Instant | None = None
    provenance: Iterable[ProvenanceInput] = ()
    supersedes: Iterable[str] = field(default=())


class Unset:
    """Type of `UNSET`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


#: Stands for an argument that was not given, where None has a meaning of its own.
UNSET: Final = Unset()


def _checked(data: Mapping[str, Any], allowed: type[Any], path: str) -> Mapping[str, Any]:
    names = allowed.__dataclass_fields__
    for key in data:
        if key not in names:
            raise invalid(f"{path}.{key}", f"{key!r} is not a key here; use one of {', '.join(names)}")
    return data


def _one(data: object, cls: type[Any], path: str) -> Any:
    if isinstance(data, cls):
        return data
    if isinstance(data, Mapping):
        try:
            return cls(**_checked(data, cls, path))
        except TypeError as error:
            raise invalid(path, str(error).split("() ", 1)[-1]) from error
    raise invalid(path, f"{data!r} is neither a {cls.__name__} nor a dict")


def messages_to_proto(messages: str | MessageInput | Iterable[MessageInput]) -> list[memory_pb2.Message]:
    """Convert the turns of a conversation; a plain string is one turn of the user.

    Raises:
        InvalidArgument: an unknown key or role, a missing one, or a time without a zone; the error names the turn.
    """
    if isinstance(messages, str):
        messages = [Message(Role.USER, messages)]
    elif isinstance(messages, Message | Mapping):
        messages = [messages]
    result = []
    for index, item in enumerate(messages):
        path = f"messages[{index}]"
        turn: Message = _one(item, Message, path)
        result.append(
            memory_pb2.Message(
                role=ROLE.encode(turn.role, f"{path}.role"),
                content=turn.content,
                actor_id=turn.actor_id or "",
                message_id=turn.message_id or "",
                create_time=optional_timestamp(turn.create_time, f"{path}.create_time"),
                images=_images(turn.images, f"{path}.images"),
            )
        )
    return result


def _images(images: Iterable[bytes | bytearray | memoryview] | None, path: str) -> list[memory_pb2.Image]:
    result = []
    for index, data in enumerate(images or ()):
        if not isinstance(data, bytes | bytearray | memoryview):
            raise invalid(f"{path}[{index}]", f"a {type(data).__name__} is not the bytes of an image; read the file")
        result.append(memory_pb2.Image(data=bytes(data)))
    return result


def entities_to_proto(entities: Iterable[EntityInput] | None, path: str = "entities") -> list[graph_pb2.EntityMention]:
    """Convert mentions of entities."""
    result = []
    for index, item in enumerate(entities or ()):
        mention: EntityMention = (
            EntityMention(item) if isinstance(item, str) else _one(item, EntityMention, f"{path}[{index}]")
        )
        result.append(graph_pb2.EntityMention(name=mention.name, type=mention.type, aliases=mention.aliases))
    return result


def relations_to_proto(
    relations: Iterable[RelationInput] | None, path: str = "relations"
) -> list[graph_pb2.RelationStatement]:
    """Convert statements of relations."""
    result = []
    for index, item in enumerate(relations or ()):
        here = f"{path}[{index}]"
        if isinstance(item, tuple):
            if len(item) != 3:
                raise invalid(here, f"{item!r} is not (subject, predicate, object)")
            item = RelationStatement(*item)
        relation: RelationStatement = _one(item, RelationStatement, here)
        result.append(
            graph_pb2.RelationStatement(
                subject=relation.subject,
                predicate=relation.predicate,
                object=relation.object,
                confidence=relation.confidence,
                valid_from=optional_timestamp(relation.valid_from, f"{here}.valid_from"),
                valid_until=optional_timestamp(relation.valid_until, f"{here}.valid_until"),
            )
        )
    return result


def provenance_to_proto(
    provenance: Iterable[ProvenanceInput] | None, path: str = "provenance"
) -> list[memory_pb2.Provenance]:
    """Convert provenance."""
    result = []
    for index, item in enumerate(provenance or ()):
        here = f"{path}[{index}]"
        source: Provenance = _one(item, Provenance, here)
        result.append(
            memory_pb2.Provenance(
                session_id=source.session_id,
                message_id=source.message_id,
                role=ROLE.encode(source.role, f"{here}.role"),
                actor_id=source.actor_id,
                quote=source.quote,
                create_time=optional_timestamp(source.create_time, f"{here}.create_time"),
            )
        )
    return result


def new_memory_to_proto(item: NewMemory | Mapping[str, Any], path: str = "") -> tuple[NewMemory, memory_pb2.Memory]:
    """Convert a new memory; also returned as the dataclass, for its id and the memories it supersedes."""
    prefix = f"{path}." if path else ""
    new: NewMemory = _one(item, NewMemory, path or "memory")
    return new, memory_pb2.Memory(
        text=new.text,
        kind=MEMORY_KIND.encode(new.kind, f"{prefix}kind"),
        scope=scope_to_proto(new.user_id, new.agent_id, new.session_id),
        metadata=metadata_to_proto(new.metadata, f"{prefix}metadata"),
        importance=new.importance,
        valid_from=optional_timestamp(new.valid_from, f"{prefix}valid_from"),
        valid_until=optional_timestamp(new.valid_until, f"{prefix}valid_until"),
        expire_time=optional_timestamp(new.expire_time, f"{prefix}expire_time"),
        create_time=optional_timestamp(new.create_time, f"{prefix}create_time"),
        provenance=provenance_to_proto(new.provenance, f"{prefix}provenance"),
        entities=entities_to_proto(new.entities, f"{prefix}entities"),
        relations=relations_to_proto(new.relations, f"{prefix}relations"),
    )


def changes_to_proto(changes: Mapping[str, Any]) -> tuple[memory_pb2.Memory, FieldMask]:
    """Build the new values and the mask of an update. Arguments that are UNSET stay out of both; None clears a field.

    Raises:
        InvalidArgument: nothing is to change.
    """
    given = {name: value for name, value in changes.items() if value is not UNSET}
    if not given:
        raise invalid("update_mask", f"nothing to change; give at least one of {', '.join(changes)}")
    mask = FieldMask(paths=list(given))
    given = {name: value for name, value in given.items() if value is not None}
    _, memory = new_memory_to_proto({"text": "", **given})
    return memory, mask
