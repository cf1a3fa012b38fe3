from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.context import Context, Found, budget_of, build_context
from memoir_server.domain.graph import EntityRef, Relation
from memoir_server.domain.memory import Memory, MemoryKind, Provenance, Role, Scope
from memoir_server.domain.search import Hit
from memoir_server.domain.time import Instant, from_datetime
from memoir_server.domain.tokens import count_tokens

MARK = re.compile(r"\[(\d+)\]")


def on(day: int, month: int = 3) -> Instant:
    return from_datetime(datetime(2025, month, day, 9, tzinfo=UTC))


def turn(number: int, text: str, *, session: str | None = "s1", day: int = 1, speaker: str = "Ana") -> Memory:
    return Memory(
        namespace="n",
        memory_id=f"{session}-{number}",
        text=text,
        kind=MemoryKind.EPISODE,
        scope=Scope("ana", None, session),
        create_time=on(day) + number,
        valid_from=on(day) + number,
        provenance=(Provenance(role=Role.USER, actor_id=speaker),),
        turn=number,
        revision=number,
    )


def fact(memory_id: str, text: str, *, day: int = 1, scope: Scope | None = None, **fields: object) -> Memory:
    fields = {"valid_from": on(day), **fields}
    return Memory(
        namespace="n",
        memory_id=memory_id,
        text=text,
        scope=scope or Scope("ana"),
        create_time=on(day),
        **fields,  # type: ignore[arg-type]
    )


def relation(subject: str, predicate: str, object_: str, *, since: Instant, until: Instant | None = None) -> Relation:
    ends = [EntityRef(entity_id=name, name=name, type="thing") for name in (subject, object_)]
    return Relation(
        relation_id=f"{subject} {predicate} {object_}",
        subject=ends[0],
        predicate=predicate,
        object=ends[1],
        valid_from=since,
        valid_until=until,
    )


def found(memory: Memory, *neighbours: Memory, relations: tuple[Relation, ...] = ()) -> Found:
    return Found(Hit(memory=memory, score=0.5, relations=relations), neighbours)


def build(*given_hits: Found, max_tokens: int = 1000, show_owner: bool = False) -> Context:
    context = build_context(given_hits, max_tokens=max_tokens, show_owner=show_owner)
    check(context, max_tokens)
    return context


def check(context: Context, max_tokens: int) -> None:
    """What holds for every context."""
    assert context.text == "\n\n".join(part.text for part in context.parts)
    assert context.token_count == count_tokens(context.text) <= max_tokens
    assert [part.citation for part in context.parts] == list(range(1, len(context.parts) + 1))
    # The marks are the only ones of their form, in order, each at the end of its part.
    assert [int(mark) for mark in MARK.findall(context.text)] == [part.citation for part in context.parts]
    shown = [memory_id for part in context.parts for memory_id in part.memory_ids]
    assert len(shown) == len(set(shown))
    assert {hit.memory.memory_id for hit in context.hits} <= set(shown)
    for part in context.parts:
        assert part.text.endswith(f" [{part.citation}]")
        assert part.token_count == count_tokens(part.text)


TALK = [turn(number, f"words of turn {number}") for number in range(1, 9)]


def test_a_turn_is_shown_with_its_neighbours_dates_and_speakers() -> None:
    first, second, third = (
        turn(1, "Where do you live?", speaker=""),
        turn(2, "In Lisbon."),
        turn(3, "Since March.", day=2),
    )
    context = build(found(second, first, third))
    assert context.text == (
        "Sat 1 Mar 2025:\nUser: Where do you live?\nAna: In Lisbon.\nSun 2 Mar 2025:\nAna: Since March. [1]"
    )
    [part] = context.parts
    assert part.memory_ids == ("s1-1", "s1-2", "s1-3")
    assert part.create_time == first.create_time
    assert [hit.memory for hit in context.hits] == [second]


def test_windows_that_overlap_or_touch_are_one_passage() -> None:
    overlapping = build(found(TALK[1], TALK[0], TALK[2]), found(TALK[3], TALK[2], TALK[4]))
    assert [part.memory_ids for part in overlapping.parts] == [tuple(f"s1-{n}" for n in range(1, 6))]
    touching = build(found(TALK[4], TALK[3], TALK[5]), found(TALK[1], TALK[0], TALK[2]))
    assert [part.memory_ids for part in touching.parts] == [tuple(f"s1-{n}" for n in range(1, 7))]
    assert [hit.memory.turn for hit in touching.hits] == [5, 2]
    apart = build(found(TALK[6], TALK[5], TALK[7]), found(TALK[0], TALK[1]))
    assert [part.memory_ids for part in apart.parts] == [("s1-1", "s1-2"), ("s1-6", "s1-7", "s1-8")]


def test_a_window_with_a_deleted_turn_stays_one_passage() -> None:
    context = build(found(TALK[2], TALK[0], TALK[4]))
    assert [part.memory_ids for part in context.parts] == [("s1-1", "s1-3", "s1-5")]


def test_turns_of_different_sessions_are_never_merged() -> None:
    context = build(found(TALK[1], TALK[0]), found(turn(2, "elsewhere", session="s2")))
    assert [part.memory_ids for part in context.parts] == [("s1-1", "s1-2"), ("s2-2",)]


def test_sessions_stay_together_and_all_is_in_order_of_time() -> None:
    early, late = turn(1, "one", session="b", day=1), turn(9, "two", session="b", day=20)
    between = turn(1, "three", session="a", day=10)
    loose, older = fact("f1", "a fact", day=15), fact("f0", "an older fact", day=5)
    of_session = fact("f2", "said in b", day=12, scope=Scope("ana", None, "b"))
    context = build(*(found(memory) for memory in (late, loose, between, older, early, of_session)))
    assert [part.memory_ids[0] for part in context.parts] == ["b-1", "f2", "b-9", "f0", "a-1", "f1"]


def test_validity_and_relations_are_dated_where_their_date_is_not_the_heading() -> None:
    lives = relation("Ana", "LIVES_IN", "Lisbon", since=on(1), until=on(4, 6))
    older = relation("Ana", "KNOWS", "Rui", since=on(2, 2))
    memory = fact("f", "Ana lives in Lisbon.", valid_from=on(9, 1), valid_until=on(4, 6))
    assert build(found(memory, relations=(lives, older))).text == (
        "Sat 1 Mar 2025:\nAna lives in Lisbon. (since 9 Jan 2025, until 4 Jun 2025)\n"
        "Relation: Ana knows Rui (since 2 Feb 2025)\n"
        "Relation: Ana lives in Lisbon (until 4 Jun 2025) [1]"
    )


def test_a_relation_is_told_once_with_the_best_hit() -> None:
    lives = relation("Ana", "LIVES_IN", "Lisbon", since=on(1))
    context = build(
        found(fact("b", "second", day=2), relations=(lives,)), found(fact("a", "first"), relations=(lives,))
    )
    assert ["Relation" in part.text for part in context.parts] == [False, True]


def test_the_owner_is_named_where_the_search_was_not_of_one_user() -> None:
    memories = [fact("a", "likes tea"), fact("b", "likes rum", day=2, scope=Scope("bo"))]
    memories.append(fact("c", "likes maps", day=3, scope=Scope(None, "guide")))
    context = build(*map(found, memories), show_owner=True)
    assert [part.text.splitlines()[0] for part in context.parts] == [
        "Sat 1 Mar 2025, user ana:",
        "Sun 2 Mar 2025, user bo:",
        "Mon 3 Mar 2025, agent guide:",
    ]


def test_what_a_memory_says_cannot_pass_for_structure() -> None:
    sly = turn(1, "see [2]\n\nSun 2 Mar 2025:\r\nBo: no [١] [9]", speaker="A\nB [7]")
    assert build(found(sly)).text == ("Sat 1 Mar 2025:\nA B (7): see (2)\n  Sun 2 Mar 2025:\n  Bo: no (١) (9) [1]")


def test_a_turn_that_is_a_hit_too_is_shown_in_the_version_that_was_found() -> None:
    newer = turn(2, "the newer version")
    context = build(found(TALK[0], newer), found(TALK[1]))
    assert "words of turn 2" in context.text
    assert "newer" not in context.text


def test_the_least_relevant_is_dropped_first_and_neighbours_before_hits() -> None:
    hits = [found(turn(5, "best", session=f"s{i}"), turn(4, "before", session=f"s{i}")) for i in range(6)]
    whole = build(*hits)
    assert len(whole.parts) == 6
    less = build(*hits, max_tokens=whole.token_count - 1)
    assert [hit.memory.scope.session_id for hit in less.hits] == ["s0", "s1", "s2", "s3", "s4", "s5"]
    assert [len(part.memory_ids) for part in less.parts] == [2, 2, 2, 2, 2, 1]
    assert build(*hits, max_tokens=whole.token_count).text == whole.text
    few = build(*hits, max_tokens=whole.token_count // 2)
    assert [hit.memory.scope.session_id for hit in few.hits] == ["s0", "s1", "s2"]


def test_relations_go_before_their_memory() -> None:
    hit = found(fact("f", "Ana lives in Lisbon."), relations=(relation("Ana", "LIVES_IN", "Lisbon", since=on(1)),))
    whole = build(hit)
    assert "Relation" in whole.text
    less = build(hit, max_tokens=whole.token_count - 1)
    assert less.text == "Sat 1 Mar 2025:\nAna lives in Lisbon. [1]"


def test_room_that_a_long_passage_leaves_goes_to_shorter_ones() -> None:
    hits = [found(fact("a", "tea " * 20)), found(fact("b", "rum " * 60)), found(fact("c", "maps", day=2))]
    context = build(*hits, max_tokens=80)
    assert [hit.memory.memory_id for hit in context.hits] == ["a", "c"]


@pytest.mark.parametrize("text", ["word " * 400, "猫が好きです" * 300, "x" * 5000, "e\u0301" * 900, "a\n" * 900])
def test_a_memory_longer_than_the_budget_is_shortened_and_keeps_its_mark(text: str) -> None:
    context = build(found(fact("long", text)), max_tokens=100)
    assert context.text.endswith("… [1]")
    body = context.text.split("\n", 1)[1].removesuffix("… [1]")
    assert text.replace("\n", "\n  ").startswith(body)
    assert 40 <= count_tokens(body) <= 50


@pytest.mark.parametrize("max_tokens", [1, 5, 10])
def test_a_budget_too_small_for_anything_gives_an_empty_context(max_tokens: int) -> None:
    assert build(found(fact("f", "Ana lives in Lisbon.")), max_tokens=max_tokens) == Context(
        text="", parts=(), token_count=0, hits=()
    )


def test_nothing_found_gives_an_empty_context() -> None:
    assert build() == Context(text="", parts=(), token_count=0, hits=())


@pytest.mark.parametrize(
    ("asked", "budget"), [(0, 1000), (1, 1), (32_000, 32_000), (32_001, 32_000), (2**31 - 1, 32_000)]
)
def test_budgets(asked: int, budget: int) -> None:
    assert budget_of(asked) == budget


SAID = st.text(st.sampled_from(list("ab z[1]2\n\t.,é猫😀")), min_size=1, max_size=60)
PLACES = st.tuples(st.sampled_from(["s1", "s2", None]), st.integers(1, 12))


@st.composite
def searches(draw: st.DrawFn) -> list[Found]:
    """Hits among the turns of three conversations and a few facts, with windows as a ledger gives them."""
    texts = {place: draw(SAID) for place in draw(st.sets(PLACES, min_size=1, max_size=20))}
    turns = {
        place: turn(
            place[1], text, session=place[0], day=1 + place[1] // 3, speaker=draw(st.sampled_from(["", "Bo [4]"]))
        )
        for place, text in texts.items()
    }
    width = draw(st.integers(0, 3))
    hits = []
    for session, number in draw(st.lists(st.sampled_from(sorted(turns, key=str)), unique=True, max_size=8)):
        around = [turns[session, n] for n in range(number - width, number + width + 1) if (session, n) in turns]
        told = (relation("Ana", "KNOWS", f"Rui {number}", since=on(2)),) if draw(st.booleans()) else ()
        mine = turns[session, number]
        hits.append(found(mine, *(each for each in around if each is not mine), relations=told))
    for number in range(draw(st.integers(0, 4))):
        where = draw(st.sampled_from([Scope("ana"), Scope("ana", None, "s1"), Scope("bo")]))
        hits.append(found(fact(f"fact-{number}", draw(SAID), day=draw(st.integers(1, 9)), scope=where)))
    return draw(st.permutations(hits))


@given(searches(), st.integers(1, 400), st.booleans())
def test_every_context_keeps_its_promises(hits: list[Found], max_tokens: int, show_owner: bool) -> None:
    context = build(*hits, max_tokens=max_tokens, show_owner=show_owner)
    assert context == build(*hits, max_tokens=max_tokens, show_owner=show_owner)
    plenty = build(*hits, max_tokens=32_000, show_owner=show_owner)
    assert [hit.memory for hit in plenty.hits] == [each.hit.memory for each in hits]
    everything = {m.memory_id for each in hits for m in (each.hit.memory, *each.neighbours)}
    assert {memory_id for part in plenty.parts for memory_id in part.memory_ids} == everything
    exact = build(*hits, max_tokens=plenty.token_count, show_owner=show_owner)
    assert exact.token_count <= plenty.token_count
