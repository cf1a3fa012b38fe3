"""Entities and relations: as written in memories, and as the graph returns them."""

from dataclasses import dataclass, field
from datetime import datetime

from memoir.v1 import graph_pb2
from memoir.values import Scope, datetime_from_proto, scope_from_proto


@dataclass(frozen=True, slots=True)
class EntityMention:
    """An entity as one memory names it. `type` is lower snake case; empty means "thing"."""

    name: str
    type: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RelationStatement:
    """A directed, dated statement of one memory: subject and object are names, predicate is UPPER_SNAKE case.

    `confidence` is 0..1, None means 1; the times are None for the memory's own.
    """

    subject: str
    predicate: str
    object: str
    confidence: float | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class EntityRef:
    """One end of a relation."""

    entity_id: str
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Entity:
    """A person, place or thing that memories mention; it belongs to the owner of those memories."""

    id: str
    name: str
    type: str
    aliases: tuple[str, ...]
    mention_count: int
    owner: Scope
    message: graph_pb2.Entity = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Relation:
    """A directed, dated edge between two entities; `memory_ids` are the memories it was taken from."""

    id: str
    subject: EntityRef
    predicate: str
    object: EntityRef
    confidence: float
    valid_from: datetime | None
    valid_until: datetime | None
    memory_ids: tuple[str, ...]
    source_removed: bool
    message: graph_pb2.Relation = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Entities reached by a walk, breadth-first, and the relations between them; `truncated` when it was cut short."""

    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]
    truncated: bool
    message: graph_pb2.TraverseGraphResponse = field(repr=False, compare=False)


def entity_from_proto(message: graph_pb2.Entity) -> Entity:
    """Convert an entity."""
    return Entity(
        message.entity_id,
        message.name,
        message.type,
        tuple(message.aliases),
        message.mention_count,
        scope_from_proto(message.owner),
        message,
    )


def relation_from_proto(message: graph_pb2.Relation) -> Relation:
    """Convert a relation."""
    subject, target = message.subject, message.object
    return Relation(
        message.relation_id,
        EntityRef(subject.entity_id, subject.name, subject.type),
        message.predicate,
        EntityRef(target.entity_id, target.name, target.type),
        message.confidence,
        datetime_from_proto(message.valid_from) if message.HasField("valid_from") else None,
        datetime_from_proto(message.valid_until) if message.HasField("valid_until") else None,
        tuple(message.memory_ids),
        message.source_removed,
        message,
    )


def neighbourhood_from_proto(message: graph_pb2.TraverseGraphResponse) -> Neighbourhood:
    """Convert the result of a walk."""
    return Neighbourhood(
        tuple([entity_from_proto(item) for item in message.entities]),
        tuple([relation_from_proto(item) for item in message.relations]),
        message.truncated,
        message,
    )
