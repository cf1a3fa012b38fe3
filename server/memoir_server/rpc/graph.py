"""GraphService."""

from __future__ import annotations

from memoir.v1 import graph_pb2 as pb
from memoir_server.domain.graph import sort_name
from memoir_server.ports.graph import EntityPosition, RelationPosition
from memoir_server.rpc.convert.graph import read_relation_spec, write_entity
from memoir_server.rpc.convert.memory import read_scope
from memoir_server.rpc.convert.search import write_relation
from memoir_server.rpc.convert.time import read_optional_time
from memoir_server.rpc.incoming import Incoming
from memoir_server.rpc.paging import page_size, parameters_of
from memoir_server.rpc.tokens import EntityToken, RelationToken, Tokens
from memoir_server.service.graph_reading import (
    DEFAULT_ENTITIES,
    MAX_ENTITIES,
    EntityPlace,
    EntitySpec,
    GraphReading,
    RelationPlace,
)


class GraphService:
    """Entities and relations. `page_bytes` bounds the size of a page, and of a walk's answer."""

    def __init__(self, reading: GraphReading, tokens: Tokens, *, page_bytes: int) -> None:
        self._reading = reading
        self._tokens = tokens
        self._page_bytes = page_bytes

    async def GetEntity(self, request: pb.GetEntityRequest, incoming: Incoming) -> pb.GetEntityResponse:
        entity = await self._reading.entity(
            incoming.namespace, request.entity_id, min_revision=request.min_revision, call=incoming.reading()
        )
        response = pb.GetEntityResponse()
        write_entity(response.entity, entity)
        return response

    async def ListEntities(self, request: pb.ListEntitiesRequest, incoming: Incoming) -> pb.ListEntitiesResponse:
        size = page_size(request.page_size)
        text, parameters = parameters_of(request, incoming)
        token = self._tokens.decode(text, EntityToken, parameters, field="page_token") if text else None
        page = await self._reading.entities(
            incoming.namespace,
            EntitySpec(scope=read_scope(request.scope), type=request.type, name_prefix=request.name_prefix),
            EntityPlace(token.revision, EntityPosition(token.name, token.entity_id)) if token else None,
            limit=size + 1,
            min_revision=request.min_revision,
            call=incoming.reading(),
        )
        response = pb.ListEntitiesResponse()
        room = self._page_bytes
        for entity in page.entities[:size]:
            message = response.entities.add()
            write_entity(message, entity)
            room -= message.ByteSize()
            if room < 0 and len(response.entities) > 1:
                del response.entities[-1]
                break
        shown = len(response.entities)
        if shown < len(page.entities):
            last = page.entities[shown - 1]
            response.next_page_token = self._tokens.encode(
                EntityToken(parameters, page.revision, sort_name(last.name), last.entity_id)
            )
        return response

    async def ListRelations(self, request: pb.ListRelationsRequest, incoming: Incoming) -> pb.ListRelationsResponse:
        size = page_size(request.page_size)
        text, parameters = parameters_of(request, incoming)
        token = self._tokens.decode(text, RelationToken, parameters, field="page_token") if text else None
        place = None
        if token is not None:
            after = RelationPosition(token.valid_from, token.relation_id)
            place = RelationPlace(token.revision, token.reference, after)
        page = await self._reading.relations(
            incoming.namespace,
            read_relation_spec(request),
            place,
            limit=size + 1,
            min_revision=request.min_revision,
            call=incoming.reading(),
        )
        response = pb.ListRelationsResponse()
        room = self._page_bytes
        for relation in page.relations[:size]:
            message = response.relations.add()
            write_relation(message, relation)
            room -= message.ByteSize()
            if room < 0 and len(response.relations) > 1:
                del response.relations[-1]
                break
        shown = len(response.relations)
        if shown < len(page.relations):
            last = page.relations[shown - 1]
            response.next_page_token = self._tokens.encode(
                RelationToken(parameters, page.revision, page.reference, last.valid_from, last.relation_id)
            )
        return response

    async def TraverseGraph(self, request: pb.TraverseGraphRequest, incoming: Incoming) -> pb.TraverseGraphResponse:
        limit = min(request.max_entities or DEFAULT_ENTITIES, MAX_ENTITIES)
        while True:
            found = await self._reading.traverse(
                incoming.namespace,
                list(request.start_entity_ids),
                depth=request.depth,
                predicates=frozenset(request.predicates),
                max_entities=limit,
                valid_at=read_optional_time(request, "valid_at", ""),
                min_revision=request.min_revision,
                call=incoming.reading(),
            )
            response = pb.TraverseGraphResponse(truncated=found.truncated)
            for entity in found.entities:
                write_entity(response.entities.add(), entity)
            for relation in found.relations:
                write_relation(response.relations.add(), relation)
            if response.ByteSize() <= self._page_bytes or len(found.entities) <= 1:
                return response
            # Too much for one message: a smaller walk is whole in itself, and says that it was cut short.
            limit = len(found.entities) // 2
