"""What every graph must answer when it is read directly; part of the suite of every graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memoir_conformance.graph_model import ALICE, OpenGraph, facts, laws, lives, run, select, selections
from memoir_conformance.graph_read_model import ReadModel
from memoir_server.domain.graph import Entity, Relation, entity_id, sort_name
from memoir_server.domain.memory import EntityMention, RelationStatement, Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.graph import (
    EntityGraph,
    EntityPosition,
    GraphAction,
    Neighbourhood,
    OfEntity,
    OfMemory,
    PutFacts,
    RelationAnchor,
    RelationPosition,
)
from memoir_server.ports.projection import Remove

NOTHING: frozenset[int] = frozenset()
hidings = st.frozensets(st.integers(1, 10), max_size=3)


def identity(name: str, type_: str = "thing", owner: Scope = ALICE) -> str:
    """Id of an entity in the namespace ns."""
    return entity_id("ns", owner, type_, name)


async def read_entity(graph: EntityGraph, name: str, selection: Selection | None = None) -> Entity | None:
    """One entity of type thing."""
    return (await graph.entity("ns", identity(name), selection or select(), hidden=NOTHING)).found


async def read_relations(
    graph: EntityGraph, anchor: RelationAnchor, selection: Selection | None = None
) -> tuple[Relation, ...]:
    """All relations of an anchor."""
    return (await graph.relations("ns", anchor, selection or select(), after=None, limit=99, hidden=NOTHING)).found


async def walked(graph: EntityGraph, *start: str, depth: int = 1, limit: int = 99, only: str = "") -> Neighbourhood:
    """The neighbourhood of entities of type thing."""
    answer = await graph.traverse(
        "ns",
        [identity(name) for name in start],
        select(Scope()),
        depth=depth,
        predicates=frozenset([only] if only else []),
        limit=limit,
        hidden=NOTHING,
    )
    return answer.found


def names_of(found: Neighbourhood) -> list[str]:
    """Names of the entities."""
    return [entity.name for entity in found.entities]


class GraphReadSuite:
    """The behaviour of the reads of `EntityGraph`."""

    @laws
    @given(
        actions=lives(),
        selection=selections(),
        hidden=hidings,
        type_=st.sampled_from(("", "person")),
        prefix=st.sampled_from(("", "a", "ann", "anni", "北", "x")),
        size=st.integers(1, 4),
    )
    def test_pages_of_entities_are_what_a_scan_finds(
        self,
        open_graph: OpenGraph,
        actions: list[GraphAction],
        selection: Selection,
        hidden: frozenset[int],
        type_: str,
        prefix: str,
        size: int,
    ) -> None:
        async def check(graph: EntityGraph) -> None:
            await graph.apply("ns", actions, applied=1)
            model = ReadModel(actions, selection, hidden)
            wanted = model.entities(type_, prefix)
            after = None
            for begin in range(0, len(wanted) + 1, size):
                page = await graph.entities(
                    "ns", selection, type_=type_, prefix=prefix, after=after, limit=size, hidden=hidden
                )
                assert page == model.answer(tuple(wanted[begin : begin + size]))
                if page.found:
                    after = EntityPosition(sort_name(page.found[-1].name), page.found[-1].entity_id)
            for entity in wanted:
                found = await graph.entity("ns", entity.entity_id, selection, hidden=hidden)
                assert found == model.entity(entity.entity_id)

        run(open_graph, check)

    @laws
    @given(actions=lives(), selection=selections(), hidden=hidings, size=st.integers(1, 4))
    def test_pages_of_relations_are_what_a_scan_finds(
        self,
        open_graph: OpenGraph,
        actions: list[GraphAction],
        selection: Selection,
        hidden: frozenset[int],
        size: int,
    ) -> None:
        async def check(graph: EntityGraph) -> None:
            await graph.apply("ns", actions, applied=1)
            model = ReadModel(actions, selection, hidden)
            anchors: list[RelationAnchor] = [OfMemory(name) for name in ("m", "m-1", "m1", "n", "nobody")]
            said = [a.facts for a in actions if isinstance(a, PutFacts)]
            anchors += [OfEntity(e) for e in sorted({e.entity_id for f in said for e in f.entities})]
            for anchor in anchors:
                wanted = model.relations(anchor)
                after = None
                for begin in range(0, len(wanted) + 1, size):
                    page = await graph.relations("ns", anchor, selection, after=after, limit=size, hidden=hidden)
                    assert page == model.answer(tuple(wanted[begin : begin + size]))
                    if page.found:
                        after = RelationPosition(page.found[-1].valid_from, page.found[-1].relation_id)

        run(open_graph, check)

    @laws
    @given(
        actions=lives(),
        selection=selections(),
        hidden=hidings,
        depth=st.integers(1, 3),
        predicates=st.sampled_from((NOTHING, frozenset({"knows"}), frozenset({"knows", "likes"}))),
        limit=st.integers(1, 5),
    )
    def test_walks_are_what_a_scan_finds(
        self,
        open_graph: OpenGraph,
        actions: list[GraphAction],
        selection: Selection,
        hidden: frozenset[int],
        depth: int,
        predicates: frozenset[str],
        limit: int,
    ) -> None:
        async def check(graph: EntityGraph) -> None:
            await graph.apply("ns", actions, applied=1)
            model = ReadModel(actions, selection, hidden)
            said = [a.facts for a in actions if isinstance(a, PutFacts)]
            start = [*sorted({e.entity_id for f in said for e in f.entities})[:2], "nobody"]
            found = await graph.traverse(
                "ns", start, selection, depth=depth, predicates=predicates, limit=limit, hidden=hidden
            )
            assert found == model.traverse(start, depth, predicates, limit)

        run(open_graph, check)

    def test_an_entity_and_its_mentions(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            said = [
                facts(1, entities=[EntityMention(name="Ana  Sousa", aliases=("Ana", "  ", "ANA sousa"))]),
                facts(2, entities=[EntityMention(name="ana sousa", aliases=("ANA", "Aninha"))]),
                facts(3, relations=[("ANA SOUSA", "knows", "Ben")]),
                facts(4, scope=Scope("bob"), entities=["Ana Sousa"]),
            ]
            await graph.apply("ns", [PutFacts(s) for s in said], applied=4)
            found = await graph.entity("ns", identity("Ana Sousa"), select(), hidden=NOTHING)
            assert found.found == Entity(
                entity_id=identity("Ana Sousa"),
                name="Ana  Sousa",
                type="thing",
                aliases=("Ana", "Aninha"),
                mention_count=3,
                owner=ALICE,
            )
            assert (found.versions, found.kept) == (frozenset({1, 2, 3}), NOTHING)
            without = await graph.entity("ns", identity("Ana Sousa"), select(), hidden=frozenset({1, 3}))
            assert without.found is not None
            assert (without.found.name, without.found.mention_count) == ("ana sousa", 1)
            assert await read_entity(graph, "Nobody") is None
            assert (await graph.entity("other", identity("Ana Sousa"), select(), hidden=NOTHING)).found is None

        run(open_graph, check)

    def test_a_relation_of_several_memories(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            def told(until: int | None, confidence: float) -> RelationStatement:
                return RelationStatement(
                    subject="Ana",
                    predicate="LIVES_IN",
                    object="Rome",
                    confidence=confidence,
                    valid_from=5,
                    valid_until=until,
                )

            said = [facts(1, relations=[told(10, 0.75)]), facts(2, relations=[told(20, 0.5)])]
            await graph.apply("ns", [PutFacts(s) for s in said], applied=2)
            for anchor in (OfEntity(identity("Rome")), OfMemory("m1"), OfMemory("m2")):
                [relation] = await read_relations(graph, anchor, select(valid_at=15))
                assert (relation.confidence, relation.valid_until) == (0.75, 20)
                assert (relation.memory_ids, relation.source_removed) == (("m1", "m2"), False)
            assert await read_relations(graph, OfMemory("m1"), select(valid_at=4)) == ()
            assert await read_relations(graph, OfMemory("m1"), select(valid_at=20)) == ()
            await graph.apply("ns", [PutFacts(facts(3, relations=[told(None, 0.5)]))], applied=3)
            [relation] = await read_relations(graph, OfMemory("m3"), select(valid_at=99))
            assert relation.valid_until is None

        run(open_graph, check)

    def test_a_kept_relation_has_no_memory(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            said = facts(1, entities=["Carl"], relations=[("Ana", "knows", "Ben")])
            await graph.apply("ns", [PutFacts(said), Remove("m1", 1, keep_relations=True)], applied=2)
            answer = await graph.relations(
                "ns", OfEntity(identity("Ben")), select(), after=None, limit=9, hidden=NOTHING
            )
            [relation] = answer.found
            assert (relation.memory_ids, relation.source_removed) == ((), True)
            assert (answer.versions, answer.kept) == (NOTHING, frozenset({1}))
            assert await read_relations(graph, OfMemory("m1")) == ()
            ana = await read_entity(graph, "Ana")
            assert ana is not None
            assert ana.mention_count == 0
            assert await read_entity(graph, "Carl") is None

        run(open_graph, check)

    def test_a_walk_goes_both_ways_and_stays_with_its_owner(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            said = [
                facts(1, relations=[("Ben", "knows", "Ana"), ("Ben", "likes", "Tea")]),
                facts(2, relations=[("Ben", "knows", "Carl"), ("Dora", "knows", "Carl"), ("Dora", "knows", "Dora")]),
                facts(3, scope=Scope("bob"), relations=[("Ana", "knows", "Zoe")]),
                facts(4, scope=Scope("alice", "coach"), relations=[("Ana", "knows", "Yan")]),
            ]
            await graph.apply("ns", [PutFacts(s) for s in said], applied=4)
            assert names_of(await walked(graph, "Ana")) == ["Ana", "Ben"]
            assert names_of(await walked(graph, "Ana", depth=2)) == ["Ana", "Ben", "Carl", "Tea"]
            whole = await walked(graph, "Ana", depth=3)
            assert names_of(whole) == ["Ana", "Ben", "Carl", "Tea", "Dora"]
            assert len(whole.relations) == 5
            assert not whole.truncated
            likes = await walked(graph, "Ana", "Tea", depth=3, only="likes")
            assert names_of(likes) == ["Ana", "Tea", "Ben"]
            assert [r.predicate for r in likes.relations] == ["likes"]

        run(open_graph, check)

    def test_a_walk_is_cut_nearest_first(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            said = facts(1, relations=[("Hub", "knows", f"N{n}") for n in range(5)] + [("N0", "knows", "Far")])
            await graph.apply("ns", [PutFacts(said)], applied=1)
            for limit, expected in ((1, ["Hub"]), (3, ["Hub", "N0", "N1"]), (6, ["Hub", *(f"N{n}" for n in range(5))])):
                cut = await walked(graph, "Hub", depth=2, limit=limit)
                assert names_of(cut) == expected
                assert cut.truncated
                assert len(cut.relations) == limit - 1
            assert not (await walked(graph, "Hub", depth=2, limit=7)).truncated
            assert not (await walked(graph, "Hub", depth=1, limit=6)).truncated
            both = await walked(graph, "Hub", "N4", "Nobody", limit=1)
            assert names_of(both) == ["Hub"]
            assert both.truncated
            assert both.missing == (identity("Nobody"),)

        run(open_graph, check)
