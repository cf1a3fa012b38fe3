"""Reading entities and relations."""

from collections.abc import Iterable

from memoir import methods
from memoir.aio.base import AsyncService
from memoir.errors import invalid
from memoir.graph import (
    Entity,
    Neighbourhood,
    Relation,
    entity_from_proto,
    neighbourhood_from_proto,
    relation_from_proto,
)
from memoir.streams import AsyncPages, Page
from memoir.v1 import graph_pb2
from memoir.values import Instant, Moment, as_of_to_proto, optional_timestamp, scope_to_proto


class AsyncGraph(AsyncService):
    """The graph of what memories mention. Needs the feature "graph_read"."""

    async def get_entity(self, entity_id: str, *, min_revision: int = 0, timeout: float | None = None) -> Entity:
        """Read one entity.

        Raises:
            EntityNotFound, FeatureDisabled.
        """
        request = graph_pb2.GetEntityRequest(namespace=self._namespace, entity_id=entity_id, min_revision=min_revision)
        return entity_from_proto((await self._transport.unary(methods.GET_ENTITY, request, timeout)).entity)

    def entities(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        type: str = "",
        name_prefix: str = "",
        min_revision: int = 0,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> AsyncPages[Entity]:
        """List entities by name.

        Args:
            user_id, agent_id, session_id: scope of the memories that mention them.
            type: exact type, such as "person"; empty means any.
            name_prefix: beginning of the name or of an alias, case-folded.
        """
        request = graph_pb2.ListEntitiesRequest(
            namespace=self._namespace,
            page_size=page_size,
            scope=scope_to_proto(user_id, agent_id, session_id),
            type=type,
            name_prefix=name_prefix,
            min_revision=min_revision,
        )

        async def fetch(token: str) -> Page[Entity]:
            request.page_token = token
            response = await self._transport.unary(methods.LIST_ENTITIES, request, timeout)
            return Page(tuple([entity_from_proto(item) for item in response.entities]), response.next_page_token)

        return AsyncPages(fetch, page_token)

    def relations(
        self,
        *,
        entity_id: str | None = None,
        memory_id: str | None = None,
        valid_at: Instant | None = None,
        include_superseded: bool = False,
        as_of: Moment | None = None,
        min_revision: int = 0,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> AsyncPages[Relation]:
        """List the relations of an entity (at either end) or those taken from a memory, oldest first.

        Args:
            entity_id, memory_id: give exactly one.
            valid_at: only relations true at this moment; None means now.
            include_superseded: also relations that are no longer true.
        """
        if entity_id is not None and memory_id is not None:
            raise invalid("anchor", "entity_id and memory_id were both given; give one")
        request = graph_pb2.ListRelationsRequest(
            namespace=self._namespace,
            page_size=page_size,
            entity_id=entity_id,
            memory_id=memory_id,
            valid_at=optional_timestamp(valid_at, "valid_at"),
            include_superseded=include_superseded,
            as_of=as_of_to_proto(as_of),
            min_revision=min_revision,
        )

        async def fetch(token: str) -> Page[Relation]:
            request.page_token = token
            response = await self._transport.unary(methods.LIST_RELATIONS, request, timeout)
            return Page(tuple([relation_from_proto(item) for item in response.relations]), response.next_page_token)

        return AsyncPages(fetch, page_token)

    async def traverse(
        self,
        start_entity_ids: Iterable[str],
        *,
        depth: int = 1,
        predicates: Iterable[str] = (),
        max_entities: int = 0,
        valid_at: Instant | None = None,
        min_revision: int = 0,
        timeout: float | None = None,
    ) -> Neighbourhood:
        """Walk the graph breadth-first from some entities.

        Args:
            start_entity_ids: where to start.
            depth: hops, 1..3.
            predicates: relations to follow; empty means all.
            max_entities: 100 when 0, at most 1000.
        """
        request = graph_pb2.TraverseGraphRequest(
            namespace=self._namespace,
            start_entity_ids=start_entity_ids,
            depth=depth,
            predicates=predicates,
            max_entities=max_entities,
            valid_at=optional_timestamp(valid_at, "valid_at"),
            min_revision=min_revision,
        )
        return neighbourhood_from_proto(await self._transport.unary(methods.TRAVERSE_GRAPH, request, timeout))
