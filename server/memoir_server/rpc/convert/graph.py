"""Entities and what is asked of relations."""

from __future__ import annotations

from memoir.v1 import graph_pb2 as pb
from memoir_server.domain.graph import Entity
from memoir_server.ports.graph import OfEntity, OfMemory
from memoir_server.rpc.convert.filter import read_as_of
from memoir_server.rpc.convert.memory import write_scope
from memoir_server.rpc.convert.time import read_optional_time
from memoir_server.service.graph_reading import RelationSpec


def read_relation_spec(request: pb.ListRelationsRequest) -> RelationSpec:
    """What a ListRelationsRequest asks for; validation has made sure that it names an anchor. Raises FieldInvalid."""
    of_entity = request.WhichOneof("anchor") == "entity_id"
    return RelationSpec(
        anchor=OfEntity(request.entity_id) if of_entity else OfMemory(request.memory_id),
        valid_at=read_optional_time(request, "valid_at", ""),
        include_superseded=request.include_superseded,
        as_of=read_as_of(request),
    )


def write_entity(target: pb.Entity, entity: Entity) -> None:
    """Sets an Entity message."""
    target.entity_id = entity.entity_id
    target.name = entity.name
    target.type = entity.type
    target.aliases.extend(entity.aliases)
    target.mention_count = entity.mention_count
    target.owner.SetInParent()
    write_scope(target.owner, entity.owner)
