"""The graph as a list of versions, and lives of memories to try it with; for the suite of every graph."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import TypeAlias

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from memoir_server.domain.graph import MemoryFacts, Relation, facts_of, normalise_name
from memoir_server.domain.memory import NEVER, EntityMention, Memory, RelationStatement, Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.graph import EntityGraph, GraphAction, GraphMatch, OfEntity, PutFacts
from memoir_server.ports.projection import Remove, Retire

OpenGraph: TypeAlias = Callable[[], AbstractAsyncContextManager[EntityGraph]]

NOW = 1_000_000
ALICE = Scope("alice")


def facts(
    revision: int,
    memory_id: str | None = None,
    scope: Scope = ALICE,
    *,
    entities: Sequence[str | EntityMention] = (),
    relations: Sequence[tuple[str, str, str] | RelationStatement] = (),
    namespace: str = "ns",
) -> MemoryFacts:
    """What a memory with these entities and relations contributes."""
    return facts_of(
        Memory(
            namespace=namespace,
            memory_id=f"m{revision}" if memory_id is None else memory_id,
            text="",
            scope=scope,
            revision=revision,
            entities=tuple(EntityMention(name=e) if isinstance(e, str) else e for e in entities),
            relations=tuple(
                r if isinstance(r, RelationStatement) else RelationStatement(subject=r[0], predicate=r[1], object=r[2])
                for r in relations
            ),
        )
    )


def select(scope: Scope = ALICE, **changes: object) -> Selection:
    """A selection of what is there now."""
    return replace(Selection(scope=scope, reference=NOW, now=NOW), **changes)  # type: ignore[arg-type]


async def names(graph: EntityGraph, name: str, selection: Selection, depth: int = 1) -> list[str]:
    """Ids of the memories matched."""
    return [found.memory_id for found in await graph.match("ns", [name], selection, depth=depth, limit=100)]


@dataclass
class Version:
    facts: MemoryFacts
    retired: int
    source_removed: bool


class Model:
    """The graph as a list of versions, searched by brute force."""

    def __init__(self, actions: Sequence[GraphAction]) -> None:
        self.versions: dict[int, Version] = {}
        for action in actions:
            self._apply(action)

    def _apply(self, action: GraphAction) -> None:
        if isinstance(action, PutFacts):
            put = replace(action.facts, entities=()) if action.source_removed else action.facts
            self.versions.pop(put.revision, None)
            if not put.empty:
                self.versions[put.revision] = Version(put, action.retired, action.source_removed)
        elif isinstance(action, Retire):
            held = self.versions.get(action.revision)
            if held is not None and held.facts.memory_id == action.memory_id and not held.source_removed:
                held.retired = action.retired
        else:
            for revision, version in list(self.versions.items()):
                if version.facts.memory_id != action.memory_id or revision > action.upto:
                    continue
                if action.keep_relations and version.source_removed:
                    continue
                del self.versions[revision]
                if action.keep_relations and version.retired == NEVER and version.facts.relations:
                    self.versions[revision] = Version(replace(version.facts, entities=()), NEVER, True)

    def match(self, wanted: Sequence[str], selection: Selection, depth: int, limit: int) -> list[GraphMatch]:
        seen = [v for r, v in self.versions.items() if r <= selection.revision < v.retired]
        owned = [v for v in seen if selection.scope.owner.covers(v.facts.scope)]
        seeds = {entity for v in owned for name, entity in spoken(v.facts) if name in wanted}
        edges: dict[str, set[str]] = defaultdict(set)
        for version in seen:
            for relation in version.facts.relations:
                if walkable(relation, selection):
                    edges[relation.subject.entity_id].add(relation.object.entity_id)
                    edges[relation.object.entity_id].add(relation.subject.entity_id)
        distances = {seed: walk(seed, edges, depth - 1) for seed in seeds}
        found = []
        for version in seen:
            if version.source_removed or not selection.scope.covers(version.facts.scope):
                continue
            mentioned = {e.entity_id for e in version.facts.entities}
            near = [min((d[e] for e in mentioned if e in d), default=depth) for d in distances.values()]
            hops = min(near, default=depth)
            if hops == depth:
                continue
            touching = [r for r in version.facts.relations if {r.subject.entity_id, r.object.entity_id} & seeds]
            found.append(
                GraphMatch(
                    memory_id=version.facts.memory_id,
                    revision=version.facts.revision,
                    hops=hops,
                    entities=near.count(hops),
                    relations=tuple(sorted(touching, key=lambda r: r.relation_id)),
                )
            )
        return sorted(found, key=lambda f: (f.hops, -f.entities, f.memory_id, f.revision))[:limit]

    def count(self, scope: Scope) -> int:
        return sum(
            len(v.facts.entities) + len(v.facts.relations)
            for v in self.versions.values()
            if scope.covers(v.facts.scope)
        )

    def names(self, words: Sequence[str], scope: Scope) -> list[str]:
        held = {n for v in self.versions.values() if scope.owner.covers(v.facts.scope) for n, _ in spoken(v.facts)}
        return sorted(n for n in held if n.startswith(tuple(words)))


def spoken(said: MemoryFacts) -> list[tuple[str, str]]:
    """(normalised name, entity) of every name in a version's words."""
    pairs = [(normalise_name(name), e.entity_id) for e in said.entities for name in (e.name, *e.aliases)]
    for relation in said.relations:
        pairs += [(normalise_name(end.name), end.entity_id) for end in (relation.subject, relation.object)]
    return pairs


def walkable(relation: Relation, selection: Selection) -> bool:
    at = selection.valid_at
    if at is None:
        until = relation.valid_until
        return selection.include_superseded or until is None or until > selection.reference
    return (relation.valid_from is None or relation.valid_from <= at) and (
        relation.valid_until is None or at < relation.valid_until
    )


def walk(seed: str, edges: dict[str, set[str]], steps: int) -> dict[str, int]:
    distance, border = {seed: 0}, {seed}
    for hops in range(1, steps + 1):
        border = {n for e in border for n in edges[e] if n not in distance}
        distance.update(dict.fromkeys(border, hops))
    return distance


# --- a ledger's life, as the projector would tell it -----------------------------------------------------------------

NAMES = ("Anna", "anna ", "Ann", "Rome", "ACME", "北京")
scopes = st.builds(
    Scope,
    st.sampled_from(("alice", "alice-2", "alice@x.com", None)),
    st.sampled_from(("a", None)),
    st.sampled_from(("s", "s-1", None)),
)
instants = st.none() | st.integers(NOW - 2, NOW + 2)
mentions = st.builds(
    EntityMention,
    name=st.sampled_from(NAMES),
    type=st.sampled_from(("thing", "person")),
    aliases=st.lists(st.sampled_from((*NAMES, "Annie", "Peking")), max_size=1).map(tuple),
)
statements = st.builds(
    RelationStatement,
    subject=st.sampled_from(NAMES),
    predicate=st.sampled_from(("knows", "likes")),
    object=st.sampled_from(NAMES),
    confidence=st.sampled_from((0.5, 1.0)),
    valid_from=instants,
    valid_until=instants,
)


@st.composite
def lives(draw: st.DrawFn, *, steps: int = 10) -> list[GraphAction]:
    """Memories made, changed, deleted with or without their relations, and made again, each under its own revision."""
    actions: list[GraphAction] = []
    current: dict[str, tuple[int, Scope]] = {}
    for revision in range(1, draw(st.integers(1, steps)) + 1):
        memory_id = draw(st.sampled_from(("m", "m-1", "m1", "n")))
        if memory_id in current and draw(st.booleans()) and draw(st.booleans()):
            actions.append(Remove(memory_id, upto=revision - 1, keep_relations=draw(st.booleans())))
            del current[memory_id]
            continue
        scope = current[memory_id][1] if memory_id in current else draw(scopes)
        if memory_id in current:
            actions.append(Retire(memory_id, current[memory_id][0], revision))
        current[memory_id] = (revision, scope)
        said = facts(
            revision,
            memory_id,
            scope,
            entities=draw(st.lists(mentions, max_size=2)),
            relations=draw(st.lists(statements, max_size=2)),
        )
        actions.append(PutFacts(said))
    return actions


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    return select(
        draw(scopes),
        revision=draw(st.sampled_from((NEVER - 1, NEVER - 1, 3, 6))),
        valid_at=draw(instants),
        include_superseded=draw(st.booleans()),
    )


# Several stores inherit the same laws; without a database no store replays the examples of another.
laws = settings(
    max_examples=int(os.environ.get("MEMOIR_EXAMPLES", "40")),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
wanted_names = st.lists(st.sampled_from(("anna", "ann", "rome", "acme", "annie", "北京", "nobody")), max_size=3)


async def snapshot(graph: EntityGraph, namespace: str) -> list[object]:
    """Everything that can be asked of a namespace, now and at past moments."""
    told: list[object] = []
    for user in ("alice", "alice-2", "alice@x.com", None):
        for revision in (NEVER - 1, 3, 6):
            selection = select(Scope(user), revision=revision)
            told.append(list(await graph.match(namespace, ["anna", "rome", "北京"], selection, depth=3, limit=50)))
            every = replace(selection, include_superseded=True)
            entities = await graph.entities(
                namespace, every, type_="", prefix="", after=None, limit=99, hidden=frozenset()
            )
            told.append(entities)
            for entity in entities.found:
                of = OfEntity(entity.entity_id)
                told.append(await graph.relations(namespace, of, every, after=None, limit=99, hidden=frozenset()))
        told.append(list(await graph.known_names(namespace, ["a", "r", "北"], Scope(user))))
        told.append(await graph.count(namespace, Scope(user)))
    told.append(list(await graph.find(namespace, ["m", "m-1", "m1", "n"])))
    return told


def run(open_graph: OpenGraph, check: Callable[[EntityGraph], Awaitable[None]]) -> None:
    """Opens an empty graph, and runs the check on it."""

    async def whole() -> None:
        async with open_graph() as graph:
            await check(graph)

    asyncio.run(whole())
