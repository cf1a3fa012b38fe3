"""Plans: what is committed, in which order, and when it has to be decided again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memoir_server.domain.change import EventType
from memoir_server.domain.inference.dating import Validity
from memoir_server.domain.inference.extraction import Extraction, Fact, ForgetRequest
from memoir_server.domain.inference.facts import DropReason, GroundedFact, fact_key, merge, says_already, settle
from memoir_server.domain.inference.planning import (
    CONFIDENCE_KEY,
    MAX_PROVENANCE,
    Action,
    Making,
    confidence_of,
    plan,
)
from memoir_server.domain.inference.policy import DataRule, Policy
from memoir_server.domain.inference.procedures import is_trace
from memoir_server.domain.inference.reconciliation import Judged, Removal, Verb, Verdict
from memoir_server.domain.inference.turns import MAX_KEPT_QUOTE, Turn
from memoir_server.domain.memory import EntityMention, Memory, MemoryKind, Provenance, RelationStatement, Role, Scope

TURNS = (
    Turn(index=0, role=Role.USER, text="We moved to Ghent in May.", said=1000, actor_id="Nora", message_id="m1"),
    Turn(index=1, role=Role.USER, text="Yes, we moved to Ghent.", said=2000, actor_id="Nora", message_id="m2"),
)
SCOPE = Scope("nora", "guide", "s-1")


def extracted(
    text: str = "Nora moved to Ghent.", quote: str = "We moved to Ghent", message: int = 0, **fields: Any
) -> Fact:
    return Fact(**{"text": text, "kind": MemoryKind.FACT, "message": message, "quote": quote, **fields})


def grounded(*facts: Fact, policy: Policy | None = None) -> tuple[GroundedFact, ...]:
    return settle(Extraction(facts=facts), TURNS, policy or Policy()).facts


def stored(memory_id: str = "old", **fields: Any) -> Memory:
    return Memory(
        **{
            "namespace": "n",
            "memory_id": memory_id,
            "text": "Nora lives in Leeds.",
            "scope": Scope("nora", "guide"),
            "valid_from": 10,
            "create_time": 10,
            "revision": 7,
            **fields,
        }
    )


def making(**fields: Any) -> Making:
    return Making(
        **{
            "namespace": "n",
            "scope": SCOPE,
            "prompt": "extract-v1",
            "model": "sonnet",
            "ids": ["n1", "n2", "n3"],
            **fields,
        }
    )


def test_a_new_memory_says_where_it_comes_from_and_what_made_it() -> None:
    (fact,) = grounded(
        extracted(importance=0.9, confidence=0.75, entities=(EntityMention(name="Ghent", type="place"),))
    )
    (change,) = plan([fact], {}, None, making(metadata={"topic": "home"})).changes
    memory = change.memory
    assert (change.action, change.quote, memory.memory_id) == (Action.ADDED, "We moved to Ghent", "n1")
    assert (memory.text, memory.scope, memory.importance, memory.create_time) == (
        "Nora moved to Ghent.",
        SCOPE,
        0.9,
        1000,
    )
    assert memory.metadata == {
        "topic": "home",
        "memoir_prompt": "extract-v1",
        "memoir_model": "sonnet",
        "memoir_confidence": 0.75,
    }
    assert memory.provenance == (
        Provenance(
            session_id="s-1",
            message_id="m1",
            role=Role.USER,
            actor_id="Nora",
            quote="We moved to Ghent",
            create_time=1000,
        ),
    )
    assert memory.entities == (EntityMention(name="Ghent", type="place"),)


def test_a_long_quote_is_kept_shortened() -> None:
    turn = Turn(index=0, role=Role.USER, text="word " * 400, said=0)
    kept = turn.provenance(turn.text, "").quote
    assert len(kept) <= MAX_KEPT_QUOTE
    assert kept.endswith("…")


def test_drafts_come_closings_first_and_leave_out_what_stays() -> None:
    one, two, three = grounded(
        extracted("Nora lives in Ghent."), extracted("Nora likes Ghent."), extracted("Nora knows Ghent.")
    )
    judged = Judged(
        verdicts=(
            Verdict(verb=Verb.ADD, contradicted=(stored(),), reason="Moved."),
            Verdict(verb=Verb.NONE, known=stored("liked")),
            Verdict(verb=Verb.UPDATE, known=stored("known"), text="Nora knows Leeds and Ghent."),
        ),
        removals=(Removal(memory=stored("gone"), quote="forget it all", reason="Asked."),),
    )
    made = plan([one, two, three], {}, judged, making())
    assert [change.action.name for change in made.changes] == ["ADDED", "SUPERSEDED", "UNCHANGED", "UPDATED", "DELETED"]
    assert [(draft.type, draft.memory_id) for draft in made.drafts()] == [
        (EventType.SUPERSEDED, "old"),
        (EventType.UPDATED, "known"),
        (EventType.DELETED, "gone"),
        (EventType.CREATED, "n1"),
    ]
    assert made.drafts()[2].after is None
    assert made.memory_ids == ("n1", "old", "liked", "known", "gone")
    closed = made.changes[1].memory
    assert (closed.valid_until, closed.superseded_by, closed.text) == (1000, "n1", "Nora lives in Leeds.")


def test_a_plan_is_outdated_when_a_memory_it_rests_on_has_changed_or_gone() -> None:
    (fact,) = grounded(extracted())
    judged = Judged(verdicts=(Verdict(verb=Verb.ADD, contradicted=(stored(),)),))
    made = plan([fact], {}, judged, making())
    assert made.outdated({"old": stored()}) == ()
    assert made.outdated({"old": stored(revision=8)}) == ("old",)
    assert made.outdated({}) == ("old",)


def test_what_is_known_in_the_same_words_is_unchanged() -> None:
    one, two = grounded(extracted(), extracted("Nora likes Ghent."))
    made = plan([one, two], {0: stored(text="nora moved  to Ghent")}, None, making())
    assert [(change.action.name, change.exact) for change in made.changes] == [("UNCHANGED", True), ("ADDED", False)]
    assert made.changes[1].memory.memory_id == "n2"


@pytest.mark.parametrize(
    ("memory", "says"),
    [
        (stored(text="nora moved to  GHENT"), True),
        (stored(text="Nora moved to Ghent!"), True),
        (stored(text="Nora moved to Gent."), False),
        (stored(text="Nora moved to Ghent.", valid_until=5000), False),
        (stored(text="Nora moved to Ghent.", valid_from=1001), True),
        (stored(text="Nora moved to Ghent.", valid_from=1001 + 86_400_000_000), False),
        (stored(text="Nora moved to Ghent.", valid_from=None), True),
        (stored(text="Nora moved to Ghent.", kind=MemoryKind.EPISODE), False),
    ],
)
def test_what_says_a_fact_already(memory: Memory, says: bool) -> None:
    (fact,) = grounded(extracted())
    assert says_already(memory, fact) is says


def test_a_dated_fact_is_not_said_by_a_memory_that_begins_later() -> None:
    (fact,) = grounded(extracted(valid_from="1970-01-01"))
    assert fact.validity.dated
    assert says_already(stored(text="Nora moved to Ghent.", valid_from=0), fact)
    assert not says_already(stored(text="Nora moved to Ghent.", valid_from=1), fact)


def test_an_update_keeps_what_was_there_and_adds_the_source() -> None:
    (fact,) = grounded(
        extracted(importance=0.3, relations=(RelationStatement(subject="Nora", predicate="LIVES_IN", object="Ghent"),))
    )
    before = stored(importance=0.6, metadata={"topic": "home"}, provenance=(Provenance(message_id="m0"),) * 1)
    made = plan([fact], {}, Judged(verdicts=(Verdict(verb=Verb.UPDATE, known=before, text="Merged."),)), making())
    after = made.changes[0].memory
    assert (after.text, after.importance, after.metadata["topic"], after.create_time) == ("Merged.", 0.6, "home", 10)
    assert [each.message_id for each in after.provenance] == ["m0", "m1"]
    assert len(after.relations) == 1
    assert made.changes[0].before is before


def test_provenance_stays_within_the_contract() -> None:
    many = tuple(Provenance(message_id=f"x{number}") for number in range(MAX_PROVENANCE))
    (fact,) = grounded(extracted())
    judged = Judged(verdicts=(Verdict(verb=Verb.UPDATE, known=stored(provenance=many), text="Merged."),))
    provenance = plan([fact], {}, judged, making()).changes[0].memory.provenance
    assert len(provenance) == MAX_PROVENANCE
    assert provenance[-1].message_id == "m1"


def test_a_statement_without_a_beginning_closes_only_what_began() -> None:
    (fact,) = grounded(extracted())
    open_start = replace(fact, validity=Validity(None, 500))
    both = (stored("a", valid_from=None, valid_until=100), stored("b", valid_from=20))
    made = plan([open_start], {}, Judged(verdicts=(Verdict(verb=Verb.ADD, contradicted=both),)), making())
    assert [change.action.name for change in made.changes] == ["ADDED"]
    assert (made.changes[0].memory.valid_from, made.changes[0].memory.valid_until) == (None, 20)


def test_how_sure_a_memory_is() -> None:
    assert confidence_of(stored(metadata={CONFIDENCE_KEY: 0.25})) == 0.25
    assert confidence_of(stored(metadata={CONFIDENCE_KEY: "very"})) == 1.0
    assert confidence_of(stored()) == 1.0


def test_facts_of_several_windows_become_one_where_they_say_the_same_at_the_same_time() -> None:
    first = settle(Extraction(facts=(extracted(),)), TURNS[:1], Policy())
    second = settle(
        Extraction(facts=(extracted("nora moved to Ghent", "we moved to Ghent", 1, importance=0.9),)),
        TURNS[1:],
        Policy(),
    )
    apart = settle(Extraction(facts=(extracted(valid_from="1801", valid_until="1802"),)), TURNS[:1], Policy())
    merged = merge([first, second, apart])
    assert [len(fact.sources) for fact in merged.facts] == [2, 1]
    assert merged.facts[0].importance == 0.9
    assert [each.reason for each in merged.dropped] == [DropReason.SAID_TWICE]


def test_the_same_request_to_forget_counts_once() -> None:
    extraction = Extraction(forget=(ForgetRequest(what="Ghent", message=0, quote="We moved to Ghent"),))
    part = settle(extraction, TURNS, Policy())
    assert len(merge([part, part]).forget) == 1


def test_what_the_policy_hides_does_not_come_back_through_names() -> None:
    fact = extracted(
        "Nora moved to Ghent.",
        entities=(EntityMention(name="nora@home.example"), EntityMention(name="Ghent")),
        relations=(RelationStatement(subject="Nora", predicate="HAS", object="nora@home.example"),),
    )
    (kept,) = grounded(fact, policy=Policy(personal=DataRule.MASK))
    assert [each.name for each in kept.entities] == ["Ghent"]
    assert kept.relations == ()


def test_equal_words_have_equal_keys() -> None:
    assert fact_key("Ｎora  likes TEA.") == fact_key("nora likes tea")
    assert fact_key("Nora likes tea") != fact_key("Nora likes tee")
    assert fact_key("\ud800") != fact_key("x")


@pytest.mark.parametrize(
    ("scope", "role", "trace"),
    [
        (Scope(None, "bot"), Role.TOOL, True),
        (Scope(None, "bot"), Role.USER, False),
        (Scope("nora", "bot"), Role.TOOL, False),
        (Scope("nora"), Role.TOOL, False),
    ],
)
def test_what_is_a_trace(scope: Scope, role: Role, trace: bool) -> None:
    assert is_trace(scope, [Turn(index=0, role=role, text="x", said=0)]) is trace
