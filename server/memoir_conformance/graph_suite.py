"""What every graph must do. A store's test class inherits `GraphSuite` and provides the fixture `open_graph`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memoir_conformance.graph_model import (
    ALICE,
    Model,
    OpenGraph,
    facts,
    laws,
    lives,
    names,
    run,
    scopes,
    select,
    selections,
    snapshot,
    wanted_names,
)
from memoir_conformance.graph_read_suite import GraphReadSuite
from memoir_server.domain.consistency import Portion
from memoir_server.domain.graph import entity_id, normalise_name
from memoir_server.domain.memory import EntityMention, RelationStatement, Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.graph import EntityGraph, GraphAction, PutFacts
from memoir_server.ports.projection import Held, Remove, Retire

asked_words = st.lists(st.sampled_from(("anna", "ann", "rome", "acme", "annie", "smith", "peking")), max_size=5)


async def check_at_hand(graph: EntityGraph, namespace: str, words: list[str], scope: Scope) -> None:
    """What is at hand, before the store was asked about the scope and after, is what the store would say."""
    for _ in range(2):
        at_hand = graph.names_at_hand(namespace, words, scope)
        known = await graph.known_names(namespace, words, scope)
        if at_hand is not None:
            sentence = f" {' '.join(words)} "
            assert list(at_hand) == sorted({name for name in known if f" {name} " in sentence})


class GraphSuite(GraphReadSuite):
    """The behaviour of `EntityGraph`."""

    @laws
    @given(
        actions=lives(), selection=selections(), wanted=wanted_names, depth=st.integers(1, 4), limit=st.integers(1, 9)
    )
    def test_matches_are_what_a_scan_finds(
        self,
        open_graph: OpenGraph,
        actions: list[GraphAction],
        selection: Selection,
        wanted: list[str],
        depth: int,
        limit: int,
    ) -> None:
        async def check(graph: EntityGraph) -> None:
            await graph.apply("ns", actions, applied=len(actions))
            model = Model(actions)
            found = await graph.match("ns", wanted, selection, depth=depth, limit=limit)
            assert list(found) == model.match(wanted, selection, depth, limit)
            for scope in (selection.scope, selection.scope.owner, Scope()):
                assert await graph.count("ns", scope) == model.count(scope)
                assert list(await graph.known_names("ns", ["a", "ro"], scope)) == model.names(["a", "ro"], scope)
                await check_at_hand(graph, "ns", wanted, scope)
            held = sorted((v.facts.memory_id, r) for r, v in model.versions.items() if not v.source_removed)
            assert list(await graph.find("ns", ["n", "m", "m-1", "m1", "m"])) == held

        run(open_graph, check)

    @laws
    @given(actions=lives(), start=st.integers(0, 10))
    def test_a_replay_changes_nothing(self, open_graph: OpenGraph, actions: list[GraphAction], start: int) -> None:
        async def check(graph: EntityGraph) -> None:
            await graph.apply("ns", actions, applied=9)
            before = await snapshot(graph, "ns")
            await graph.apply("ns", actions[start:], applied=3)
            assert await snapshot(graph, "ns") == before
            assert await graph.applied("ns") == 9

        run(open_graph, check)

    @laws
    @given(actions=lives(), seed=st.integers(0, 99))
    def test_memories_may_be_applied_in_any_order(
        self, open_graph: OpenGraph, actions: list[GraphAction], seed: int
    ) -> None:
        def memory(action: GraphAction) -> str:
            return action.facts.memory_id if isinstance(action, PutFacts) else action.memory_id

        order = np.random.default_rng(seed).permutation(["m", "m-1", "m1", "n"]).tolist()

        async def check(graph: EntityGraph) -> None:
            await graph.apply("one", actions, applied=1)
            for name in order:
                await graph.apply("two", [a for a in actions if memory(a) == name], applied=1)
            assert await snapshot(graph, "one") == await snapshot(graph, "two")

        run(open_graph, check)

    @laws
    @given(actions=lives(steps=14), asked=st.lists(st.tuples(asked_words, scopes), min_size=1, max_size=4))
    def test_names_at_hand_follow_every_change(
        self, open_graph: OpenGraph, actions: list[GraphAction], asked: list[tuple[list[str], Scope]]
    ) -> None:
        async def check(graph: EntityGraph) -> None:
            for applied, action in enumerate(actions, 1):
                await graph.apply("ns", [action], applied=applied)
                for words, scope in asked:
                    await check_at_hand(graph, "ns", words, scope)
            for change in (graph.settle("ns"), graph.drop("ns"), graph.apply("ns", actions, applied=9)):
                await change
                for words, scope in asked:
                    await check_at_hand(graph, "ns", words, scope)
            await graph.adopt("another")
            for words, scope in asked:
                await check_at_hand(graph, "ns", words, scope)

        run(open_graph, check)

    def test_ids_that_contain_each_other_never_mix(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            ids = ["alice", "alice-2", "alice@x.com", "Alice", "ali", ""]
            said = [facts(n + 1, scope=Scope(user), entities=["Rome", user or "x"]) for n, user in enumerate(ids)]
            said += [facts(n + 20, scope=Scope("u", agent, agent), entities=["Rome"]) for n, agent in enumerate(ids)]
            await graph.apply("ns", [PutFacts(s) for s in said], applied=9)
            for n, user in enumerate(ids):
                assert await names(graph, "rome", select(Scope(user))) == [f"m{n + 1}"]
                assert await names(graph, "rome", select(Scope(None, user))) == [f"m{n + 20}"]
                assert await names(graph, "rome", select(Scope(None, None, user))) == [f"m{n + 20}"]
                assert await graph.count("ns", Scope(user)) == 2
                known = await graph.known_names("ns", [normalise_name(user) or "x"], Scope(user))
                assert list(known) == [normalise_name(user) or "x"]
            assert len(await names(graph, "rome", select(Scope("u")))) == len(ids)
            assert len(await names(graph, "rome", select(Scope()))) == 2 * len(ids)

        run(open_graph, check)

    def test_namespaces_never_mix(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            await graph.apply("ns", [PutFacts(facts(1, entities=["Anna"]))], applied=2)
            other = facts(1, "other", relations=[("Anna", "knows", "Ben")], namespace="ns-1")
            await graph.apply("ns-1", [PutFacts(other), Remove("m1", 9)], applied=7)
            assert await names(graph, "anna", select(), depth=3) == ["m1"]
            assert [m.memory_id for m in await graph.match("ns-1", ["anna"], select(), depth=3, limit=9)] == ["other"]
            assert list(await graph.known_names("ns", ["ben"], ALICE)) == []
            await graph.drop("ns-1")
            assert await graph.count("ns-1", Scope()) == 0
            assert await graph.applied("ns-1") == 0
            assert await graph.find("ns-1", ["other"]) == []
            assert await graph.count("ns", Scope()) == 1
            assert await graph.applied("ns") == 2

        run(open_graph, check)

    def test_owners_share_no_entity(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            mine = facts(1, relations=[("Anna", "knows", "Ben")])
            theirs = facts(2, scope=Scope("bob"), relations=[("Ben", "knows", "Carl")])
            agents = facts(3, scope=Scope("alice", "coach"), relations=[("Ben", "knows", "Dora")])
            await graph.apply("ns", [PutFacts(s) for s in (mine, theirs, agents)], applied=3)
            assert await names(graph, "anna", select(), depth=4) == ["m1"]
            assert await names(graph, "ben", select(), depth=4) == ["m1", "m3"]
            assert await names(graph, "dora", select(Scope("alice", "coach")), depth=4) == ["m3"]
            assert await names(graph, "anna", select(Scope("alice", "coach")), depth=4) == []

        run(open_graph, check)

    def test_hops_and_their_order(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            said = [
                facts(1, "z", entities=["Anna"], relations=[("Anna", "knows", "Ben")]),
                facts(2, "y", relations=[("Ben", "lives in", "Rome")]),
                facts(3, "x", entities=["Rome"]),
                facts(4, "w", entities=["Anna", "Ben"]),
                facts(5, "v", entities=["Carl"]),
            ]
            await graph.apply("ns", [PutFacts(s) for s in said], applied=5)
            for depth, expected in ((1, ["w", "z"]), (2, ["w", "z", "y"]), (3, ["w", "z", "y", "x"])):
                assert await names(graph, "anna", select(), depth) == expected
            both = await graph.match("ns", ["anna", "ben"], select(), depth=3, limit=3)
            assert [(m.memory_id, m.hops, m.entities) for m in both] == [("w", 0, 2), ("z", 0, 2), ("y", 0, 1)]
            assert both[1].relations == said[0].relations
            assert [r.predicate for r in both[2].relations] == ["lives in"]

        run(open_graph, check)

    def test_only_valid_relations_are_walked(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            past = RelationStatement(subject="Anna", predicate="works at", object="ACME", valid_from=10, valid_until=20)
            await graph.apply(
                "ns", [PutFacts(facts(1, relations=[past])), PutFacts(facts(2, entities=["ACME"]))], applied=2
            )
            assert await names(graph, "anna", select(), 2) == ["m1"]
            assert await names(graph, "anna", select(include_superseded=True), 2) == ["m1", "m2"]
            assert await names(graph, "anna", select(reference=19), 2) == ["m1", "m2"]
            for at, expected in ((9, ["m1"]), (10, ["m1", "m2"]), (19, ["m1", "m2"]), (20, ["m1"])):
                assert await names(graph, "anna", select(valid_at=at), 2) == expected

        run(open_graph, check)

    def test_aliases_are_those_of_the_moment(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            nick = EntityMention(name="Anna Smith", type="person", aliases=("Annie",))
            plain = replace(nick, aliases=())
            await graph.apply(
                "ns",
                [
                    PutFacts(facts(1, "m", entities=[nick])),
                    Retire("m", 1, 2),
                    PutFacts(facts(2, "m", entities=[plain])),
                ],
                applied=2,
            )
            assert await names(graph, "annie", select()) == []
            assert await names(graph, "annie", select(revision=1)) == ["m"]
            assert await names(graph, "anna smith", select()) == ["m"]
            assert list(await graph.known_names("ns", ["ann"], ALICE)) == ["anna smith", "annie"]
            assert list(await graph.known_names("ns", ["anna", "smith", "x"], ALICE)) == ["anna smith"]
            await graph.apply("ns", [Remove("m", upto=1)], applied=3)
            assert list(await graph.known_names("ns", ["ann"], ALICE)) == ["anna smith"]

        run(open_graph, check)

    def test_a_relation_told_twice_needs_both_sources_removed(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            told = [("Anna", "knows", "Ben")]
            said = [facts(1, relations=told), facts(2, relations=told), facts(3, entities=["Ben"])]
            await graph.apply("ns", [PutFacts(s) for s in said], applied=3)
            await graph.apply("ns", [Remove("m1", 1)], applied=4)
            assert await names(graph, "anna", select(), 2) == ["m2", "m3"]
            await graph.apply("ns", [Remove("m2", 2)], applied=5)
            assert await names(graph, "anna", select(), 2) == []
            assert list(await graph.known_names("ns", ["anna", "ben"], ALICE)) == ["ben"]
            assert await graph.count("ns", ALICE) == 1

        run(open_graph, check)

    def test_kept_relations_lose_their_source(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            said = facts(1, entities=["Carl"], relations=[("Anna", "knows", "Ben")])
            await graph.apply("ns", [PutFacts(said), PutFacts(facts(2, entities=["Ben"]))], applied=2)
            await graph.apply("ns", [Remove("m1", 1, keep_relations=True)], applied=3)
            told = await snapshot(graph, "ns")
            assert await graph.find("ns", ["m1"]) == []
            assert await names(graph, "anna", select(), 1) == []
            assert await names(graph, "anna", select(), 2) == ["m2"]
            assert list(await graph.known_names("ns", ["anna", "carl"], ALICE)) == ["anna"]
            assert await graph.count("ns", ALICE) == 2
            # a rebuild tells it so
            await graph.adopt("again")
            kept = PutFacts(said, source_removed=True)
            await graph.apply("ns", [kept, PutFacts(facts(2, entities=["Ben"]))], applied=3)
            assert await snapshot(graph, "ns") == told
            # the memory's final removal takes them along
            await graph.apply("ns", [Remove("m1", 1)], applied=4)
            assert await names(graph, "anna", select(), 2) == []
            assert await graph.count("ns", ALICE) == 1

        run(open_graph, check)

    def test_kept_relations_are_the_last_word_and_hold_their_entities(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            old = facts(1, "m", relations=[("Anna", "works with", "Carl")])
            new = facts(2, "m", relations=[("Anna", "knows", "Ben")])
            others = [PutFacts(facts(3, "ben", entities=["Ben"])), PutFacts(facts(4, "carl", entities=["Carl"]))]
            await graph.apply("ns", [PutFacts(old), Retire("m", 1, 2), PutFacts(new), *others], applied=4)
            await graph.apply("ns", [Remove("m", 2, keep_relations=True)], applied=5)
            assert await names(graph, "anna", select(), 2) == ["ben"]
            assert await graph.count("ns", ALICE) == 3
            await graph.apply("ns", [Remove("ben", 3), Remove("carl", 4)], applied=6)
            assert list(await graph.known_names("ns", ["anna", "ben", "carl"], ALICE)) == ["anna", "ben"]
            await graph.apply("ns", others, applied=6)
            assert await names(graph, "anna", select(), 2) == ["ben"]

        run(open_graph, check)

    def test_a_later_memory_of_the_same_id_leaves_kept_relations_alone(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            first = facts(1, "m", relations=[("Anna", "knows", "Ben")])
            second = facts(3, "m", entities=["Anna", "Carl"])
            await graph.apply("ns", [PutFacts(first), Remove("m", 2, keep_relations=True)], applied=2)
            told = await snapshot(graph, "ns")
            between: list[GraphAction] = [PutFacts(facts(5, "ben", entities=["Ben"])), Remove("ben", 6)]
            for others in ([], between):
                await graph.apply("ns", [PutFacts(second), *others, Remove("m", 4, spare_kept=True)], applied=6)
                assert await snapshot(graph, "ns") == told
            await graph.apply("ns", [PutFacts(second), Remove("m", 4)], applied=7)
            assert await graph.count("ns", ALICE) == 0

        run(open_graph, check)

    def test_it_follows_one_ledger(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            assert await graph.ledger_id() == ""
            await graph.apply("ns", [PutFacts(facts(1, entities=["Anna"]))], applied=4)
            await graph.adopt("ledger-1")
            assert await graph.ledger_id() == "ledger-1"
            assert await graph.applied("ns") == 0
            assert await graph.count("ns", Scope()) == 0
            assert await graph.ping()

        run(open_graph, check)

    @laws
    @given(actions=lives(), limit=st.integers(1, 5))
    def test_a_scan_reads_everything_back(self, open_graph: OpenGraph, actions: list[GraphAction], limit: int) -> None:
        async def check(graph: EntityGraph) -> None:
            await graph.apply("ns", actions, applied=1)
            await graph.apply("ns-1", [PutFacts(facts(1, entities=["Anna"], namespace="ns-1"))], applied=1)
            versions = sorted(Model(actions).versions.items())
            for portion in (Portion(), Portion(scope=ALICE), Portion(until=3), Portion(memory_ids=["m", "n"])):
                found: list[Held] = []
                while page := await graph.scan("ns", portion, after=found[-1].revision if found else 0, limit=limit):
                    assert len(page) <= limit
                    found.extend(page)
                assert found == [
                    Held(
                        memory_id=version.facts.memory_id,
                        revision=revision,
                        retired=version.retired,
                        scope=version.facts.scope,
                        resources=frozenset(
                            [e.entity_id for e in version.facts.entities]
                            + [r.relation_id for r in version.facts.relations]
                        ),
                        source_removed=version.source_removed,
                    )
                    for revision, version in versions
                    if portion.scope.covers(version.facts.scope)
                    and revision <= portion.until
                    and (portion.memory_ids is None or version.facts.memory_id in portion.memory_ids)
                ]
            chosen = Portion(revisions=[1, 3, 99])
            assert [h.revision for h in await graph.scan("ns", chosen, after=0, limit=9)] == [
                revision for revision, _ in versions if revision in (1, 3)
            ]
            assert list(await graph.scan("nowhere", Portion(), after=0, limit=limit)) == []

        run(open_graph, check)

    @laws
    @given(actions=lives())
    def test_settling_changes_nothing_that_is_right(self, open_graph: OpenGraph, actions: list[GraphAction]) -> None:
        async def check(graph: EntityGraph) -> None:
            await graph.apply("ns", actions, applied=1)
            before = await snapshot(graph, "ns")
            await graph.settle("ns")
            await graph.settle("nowhere")
            assert await snapshot(graph, "ns") == before

        run(open_graph, check)

    def test_a_session_narrows_the_memories_not_the_entities(self, open_graph: OpenGraph) -> None:
        async def check(graph: EntityGraph) -> None:
            here, there = Scope("alice", None, "s"), Scope("alice", None, "s-1")
            said = [facts(1, scope=there, relations=[("Anna", "knows", "Ben")]), facts(2, scope=here, entities=["Ben"])]
            await graph.apply("ns", [PutFacts(s) for s in said], applied=2)
            assert said[0].entities[1].entity_id == entity_id("ns", ALICE, "thing", "Ben")
            assert await names(graph, "anna", select(here), 2) == ["m2"]
            assert await names(graph, "ben", select(here)) == ["m2"]
            assert await graph.count("ns", here) == 1
            assert list(await graph.known_names("ns", ["anna"], here)) == ["anna"]

        run(open_graph, check)
