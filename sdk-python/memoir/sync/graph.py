"""Reading entities and relations. Generated from `memoir/aio/graph.py`; do not edit."""

from collections.abc import Iterable

from memoir.graph import Entity, Neighbourhood, Relation
from memoir.sync.base import Pages, SyncService
from memoir.values import Instant, Moment


class Graph(SyncService):
    """The graph of what memories mention. Needs the feature "graph_read"."""

    def get_entity(self, entity_id: str, *, min_revision: int = 0, timeout: float | None = None) -> Entity:
        """Read one entity.

        Raises:
            EntityNotFound, FeatureDisabled.
        """
        return self._run(self._core.get_entity(entity_id, min_revision=min_revision, timeout=timeout))

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
    ) -> Pages[Entity]:
        """List entities by name.

        Args:
            user_id, agent_id, session_id: scope of the memories that mention them.
            type: exact type, such as "person"; empty means any.
            name_prefix: beginning of the name or of an alias, case-folded.
        """
        return self._pages(
            self._core.entities(
                user_id=user_id,
                agent_id=agent_id,
                session_id=session_id,
                type=type,
                name_prefix=name_prefix,
                min_revision=min_revision,
                page_size=page_size,
                page_token=page_token,
                timeout=timeout,
            )
        )

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
    ) -> Pages[Relation]:
        """List the relations of an entity (at either end) or those taken from a memory, oldest first.

        Args:
            entity_id, memory_id: give exactly one.
            valid_at: only relations true at this moment; None means now.
            include_superseded: also relations that are no longer true.
        """
        return self._pages(
            self._core.relations(
                entity_id=entity_id,
                memory_id=memory_id,
                valid_at=valid_at,
                include_superseded=include_superseded,
                as_of=as_of,
                min_revision=min_revision,
                page_size=page_size,
                page_token=page_token,
                timeout=timeout,
            )
        )

    def traverse(
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
        return self._run(
            self._core.traverse(
                start_entity_ids,
                depth=depth,
                predicates=predicates,
                max_entities=max_entities,
                valid_at=valid_at,
                min_revision=min_revision,
                timeout=timeout,
            )
        )
