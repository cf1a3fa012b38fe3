"""The graph: entities, relations and the memories that mention them. A projection of the ledger."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Generic, TypeVar

from memoir_server.domain.graph import Entity, MemoryFacts, Relation
from memoir_server.domain.memory import NEVER, Scope
from memoir_server.domain.selection import Selection
from memoir_server.domain.time import Instant
from memoir_server.ports.projection import Projection, Remove, Retire


@dataclass(frozen=True, slots=True)
class PutFacts:
    """Adds what a version mentions, or replaces it. `source_removed`: only the relations, without their source."""

    facts: MemoryFacts
    retired: int = NEVER
    source_removed: bool = False


GraphAction = PutFacts | Retire | Remove


@dataclass(frozen=True, slots=True)
class GraphMatch:
    """A version that mentions entities of the query. `hops` is 0 when it mentions one itself, 1 when it mentions a
    neighbour, and so on; `entities` counts the matched entities it reaches at that distance; `relations` are those of
    the version that touch an entity of the query."""

    memory_id: str
    revision: int
    hops: int
    entities: int
    relations: tuple[Relation, ...]


T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T_co]):
    """What a read found, and every version it rests on, by revision: `versions` of memories, and those `kept` for
    their relations after their memory was removed. Whether they still stand is the ledger's word."""

    found: T_co
    versions: frozenset[int]
    kept: frozenset[int]


@dataclass(frozen=True, slots=True)
class EntityPosition:
    """Place in a listing ordered by `sort_name` of the name, then entity_id: after this entity."""

    name: str
    entity_id: str


@dataclass(frozen=True, slots=True)
class RelationPosition:
    """Place in a listing ordered by valid_from, None first, then relation_id: after this relation."""

    valid_from: Instant | None
    relation_id: str


@dataclass(frozen=True, slots=True)
class OfEntity:
    """Relations with the entity at either end."""

    entity_id: str


@dataclass(frozen=True, slots=True)
class OfMemory:
    """Relations taken from the memory."""

    memory_id: str


RelationAnchor = OfEntity | OfMemory


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Entities by distance from the start, those of one distance by `sort_name`, then entity_id; the relations among
    them, in the order of `RelationPosition`. `truncated`: more entities were within reach. `missing`: entities to start
    from that do not exist, as given."""

    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]
    truncated: bool
    missing: tuple[str, ...]


class EntityGraph(Projection):
    """Entities by owner, dated relations, mentions by version. Nothing ever crosses owners or namespaces.

    An entity exists while a current version, or a relation whose source was removed, mentions it.

    The reads `entity`, `entities`, `relations` and `traverse` see the versions that the selection's revision picks, but
    for those whose revisions are `hidden`. They tell the same of an entity or a relation wherever it occurs:

    - An entity has its name as the oldest of these versions writes it, as aliases the oldest spelling of each other
      normalised name, sorted by that, and in mention_count the memories among them; a version without its memory
      counts as none.
    - A relation has the names of its ends as the oldest of the versions that state it writes them, the largest
      confidence, the last valid_until (None is the last), and the ids of the memories, oldest version first. It is
      source_removed when none of the versions has a memory any more. It is true when one of them says so.

    World time is that of relations: with `valid_at` those true then, else, unless `include_superseded`, those whose
    valid_until lies after `reference`. Filter and times of creation play no part.
    """

    @abstractmethod
    async def apply(self, namespace: str, actions: Sequence[GraphAction], *, applied: int) -> None:
        """Applies the actions in order, atomically, and remembers `applied` as the namespace's applied revision
        where it is larger. Idempotent. Raises StoreUnavailable("graph", why)."""

    @abstractmethod
    async def match(
        self, namespace: str, names: Sequence[str], selection: Selection, *, depth: int, limit: int
    ) -> Sequence[GraphMatch]:
        """Versions that mention, within `depth` - 1 hops, entities with one of the normalised names or aliases.

        The selection's scope narrows by owner and session, its revision picks versions; world time is the ledger's,
        except that relations walked over must be valid. Ordered by hops, then entities descending, then memory_id.
        """

    @abstractmethod
    async def known_names(self, namespace: str, words: Sequence[str], scope: Scope) -> Sequence[str]:
        """Normalised names and aliases of entities of the scope that start with one of the normalised words; for
        finding the entities a query names."""

    def names_at_hand(self, namespace: str, words: Sequence[str], scope: Scope) -> Collection[str] | None:
        """Those of `known_names` that stand in the words, each as some of them one after another, sorted; as far as
        they are known without waiting, else None: ask `known_names`.

        The words are those of the query in its order, normalised, none empty or with a space: a name stands in them
        when `f" {name} "` occurs in `f" {' '.join(words)} "`. Costs no more where the scope has thousands of names.
        A store that knows nothing without waiting always answers None.
        """
        return None

    @abstractmethod
    async def count(self, namespace: str, scope: Scope) -> int:
        """Mentions and relations of the scope's versions, retired ones included."""

    @abstractmethod
    async def entity(
        self, namespace: str, entity_id: str, selection: Selection, *, hidden: AbstractSet[int]
    ) -> Answer[Entity | None]:
        """The entity, None when it does not exist. The selection's scope plays no part."""

    @abstractmethod
    async def entities(
        self,
        namespace: str,
        selection: Selection,
        *,
        type_: str,
        prefix: str,
        after: EntityPosition | None,
        limit: int,
        hidden: AbstractSet[int],
    ) -> Answer[tuple[Entity, ...]]:
        """One page in EntityPosition order, at most `limit`, of entities that a version of the selection's scope
        mentions. `type_` is exact, `prefix` begins a normalised name or alias; empty does not bind."""

    @abstractmethod
    async def relations(
        self,
        namespace: str,
        anchor: RelationAnchor,
        selection: Selection,
        *,
        after: RelationPosition | None,
        limit: int,
        hidden: AbstractSet[int],
    ) -> Answer[tuple[Relation, ...]]:
        """One page in RelationPosition order, at most `limit`, of true relations. A version without its memory is no
        longer of that memory. The selection's scope plays no part."""

    @abstractmethod
    async def traverse(
        self,
        namespace: str,
        start: Sequence[str],
        selection: Selection,
        *,
        depth: int,
        predicates: AbstractSet[str],
        limit: int,
        hidden: AbstractSet[int],
    ) -> Answer[Neighbourhood]:
        """Entities within `depth` true relations of those in `start`, in either direction, nearest first, at most
        `limit`; relations of other `predicates` are neither walked nor returned, none given means all. The selection's
        scope plays no part."""
