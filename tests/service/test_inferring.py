"""Mode INFER over the embedded stores: what is asked, what is stored, and what happens when the model fails."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from golden_inference.exchange import Exchange, load_all
from golden_inference.replay import mismatches
from memoir_conformance.reasoner_suite import IMAGE
from memoir_server.domain.change import ActorKind, EventType
from memoir_server.domain.conversation import AddMode, Message
from memoir_server.domain.errors import FieldInvalid, RequestIdReused
from memoir_server.domain.inference.failure import InferenceFailed
from memoir_server.domain.inference.planning import Action
from memoir_server.domain.inference.policy import DataRule, Policy
from memoir_server.domain.ingestion import IngestionState
from memoir_server.domain.memory import MemoryKind, Provenance, Role, Scope
from memoir_server.domain.reasoning import ImagePart, Prompt, TokenUsage
from memoir_server.domain.store import Durability, StoreKind
from memoir_server.ports.reasoner import ReasonerOutput, ReasonerRefused, ReasonerTimeout, ReasonerUnavailable
from memoir_server.service.inferred import Inferred, decode_inferred
from memoir_server.service.ingesting import Ingesting
from tests.service.harness import ANA, BO, NS, Memoir, World, calling, until
from tests.service.inference import Answered, assistant, decisions, fact, facts

TEA = fact("Ana likes tea.", "I like tea")
SAID = "Well, I like tea with milk."
EXCHANGES = load_all()


def actions(inferred: Inferred) -> list[str]:
    return [item.action.name for item in inferred.items]


def texts(inferred: Inferred) -> list[str]:
    return [item.memory.text for item in inferred.items if item.memory is not None]


# -- the authored exchanges, on the real stores


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
async def test_exchange_gives_the_expected_changes(exchange: Exchange, memoir: Memoir, world: World) -> None:
    memoir.clock.time = max(turn.said for turn in exchange.turns) + 1
    for memory in exchange.stored:
        await memoir.create(
            memory.text,
            memory.scope,
            memory_id=memory.memory_id,
            kind=memory.kind,
            metadata=memory.metadata,
            valid_from=memory.valid_from,
            valid_until=memory.valid_until,
            create_time=memory.create_time,
        )
    options = {"window_tokens": exchange.budget} if exchange.budget else {}
    answers = [answer.output for answer in exchange.answers]
    ana = assistant(memoir, world.ids, *answers, policy=exchange.policy, **options)
    messages = [
        Message(
            role=turn.role,
            content=turn.text,
            actor_id=turn.actor_id,
            message_id=turn.message_id,
            create_time=turn.said,
            images=(ImagePart(IMAGE, "image/png"),) * exchange.images.get(turn.index, 0),
        )
        for turn in exchange.turns
    ]

    inferred = await ana.send(messages, scope=exchange.scope)

    assert ana.reasoner.names == [answer.to for answer in exchange.answers]
    assert inferred.usage.calls == len(exchange.answers)
    if exchange.expect.get("kept_as") == "episodes":
        assert inferred.mode is AddMode.VERBATIM
        assert texts(inferred) == [message.content for message in messages]
        return
    assert inferred.mode is AddMode.INFER
    wanted = exchange.expect["changes"]
    assert actions(inferred) == [change["action"] for change in wanted]
    names = new_names(inferred)
    for item, change in zip(inferred.items, wanted, strict=True):
        assert item.memory is not None
        seen = {
            "action": item.action.name,
            "memory": item.memory_id,
            "text": item.memory.text,
            "kind": item.memory.kind.name.lower(),
            "quote": item.quote,
            "messages": [source.message_id for source in item.memory.provenance],
            "from": item.memory.valid_from,
            "until": item.memory.valid_until,
            "said": item.memory.create_time,
            "supersedes": list(item.memory.supersedes),
            "superseded_by": names.get(item.memory.superseded_by, item.memory.superseded_by),
            "entities": [entity.name for entity in item.memory.entities],
            "relations": [[each.subject, each.predicate, each.object] for each in item.memory.relations],
            "reason": item.reason,
        }
        assert mismatches(seen, change) == []
    stored = {memory.memory_id: memory for memory in await memoir.listed(exchange.scope.owner, include_superseded=True)}
    for item in inferred.items:
        if item.action is Action.DELETED:
            assert item.memory_id not in stored
        else:
            assert item.memory is not None
            assert stored[item.memory_id] == item.memory


def new_names(inferred: Inferred) -> dict[str, str]:
    """The names that exchanges give to new memories: by the position of their fact."""
    facts_ = [item for item in inferred.items if item.action in (Action.ADDED, Action.UPDATED, Action.UNCHANGED)]
    return {item.memory_id: f"new-{at}" for at, item in enumerate(facts_, start=1) if item.action is Action.ADDED}


# -- what is stored


async def test_a_new_fact_takes_one_question_and_tells_where_it_is_from(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, facts({**TEA, "importance": 0.4, "confidence": 0.9}))
    inferred = await ana.add(SAID, scope=Scope("ana", None, "s-1"), metadata={"topic": "drinks"})
    (item,) = inferred.items
    assert (item.action, item.quote, inferred.mode, inferred.durability) == (
        Action.ADDED,
        "I like tea",
        AddMode.INFER,
        Durability.INDEXED,
    )
    assert (inferred.usage.calls, inferred.usage.prompt_tokens, inferred.usage.completion_tokens) == (1, 100, 10)
    assert inferred.usage.model == "scripted-1"
    (memory,) = await memoir.listed()
    assert memory == item.memory
    assert memory.metadata == {
        "topic": "drinks",
        "memoir_prompt": "extract-v1",
        "memoir_model": "scripted-1",
        "memoir_confidence": 0.9,
    }
    assert memory.provenance == (
        Provenance(
            session_id="s-1", message_id="m1", role=Role.USER, quote="I like tea", create_time=memoir.clock.now()
        ),
    )
    (event,) = await memoir.events()
    assert event.origin.actor.kind is ActorKind.EXTRACTOR
    assert await memoir.found("tea") == [memory.memory_id]


async def test_the_vectors_of_new_facts_are_computed_once(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, facts(TEA))
    await ana.add(SAID)
    await memoir.settle()
    assert memoir.model.texts.count("Ana likes tea.") == 1


async def test_nothing_worth_remembering_stores_nothing(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, facts())
    inferred = await ana.add("hi there")
    assert inferred.items == ()
    assert inferred.mode is AddMode.INFER
    assert await memoir.events() == []


async def test_what_is_not_similar_is_not_asked_about(memoir: Memoir, world: World) -> None:
    await memoir.create("Ana plays the cello in an orchestra.")
    ana = assistant(memoir, world.ids, facts(TEA), cosine=0.9)
    inferred = await ana.add(SAID)
    assert actions(inferred) == ["ADDED"]
    assert ana.reasoner.names == ["extract"]


async def test_episodes_and_other_owners_are_never_offered(memoir: Memoir, world: World) -> None:
    await memoir.create("I like tea", kind=MemoryKind.EPISODE)
    await memoir.create("Bo likes tea.", BO)
    await memoir.create("Ana's coach likes tea.", Scope("ana", "coach"))
    ana = assistant(memoir, world.ids, facts(TEA))
    assert actions(await ana.add(SAID)) == ["ADDED"]
    assert ana.reasoner.names == ["extract"]


async def test_dropped_facts_are_reported(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, facts(TEA, fact("Ana owns a boat.", "I own a boat")))
    inferred = await ana.add(SAID)
    assert [(each.text, each.reason.name) for each in inferred.dropped] == [("Ana owns a boat.", "QUOTE_NOT_FOUND")]


async def test_kept_messages_of_the_session_are_shown_for_context(memoir: Memoir, world: World) -> None:
    session = Scope("ana", None, "s-1")
    earlier = [
        Message(role=Role.USER, content="My password is Tulip!9042", message_id="e1", create_time=1),
        Message(role=Role.ASSISTANT, content="Noted.", message_id="e2", create_time=2),
        Message(role=Role.USER, content=SAID, message_id="m1", create_time=3),
    ]
    await memoir.remembering.add(NS, session, earlier, calling())
    await memoir.remembering.add(NS, Scope("ana", None, "s-2"), earlier[:1], calling())
    ana = assistant(memoir, world.ids, facts(TEA))
    await ana.add(SAID, scope=session)
    lines = ana.reasoner.shown.splitlines()
    assert lines[0] == "<earlier>"
    # Oldest first, masked, without the message of this very call.
    assert ["[secret]" in lines[1], "Noted." in lines[2], lines[3]] == [True, True, "</earlier>"]


async def test_instructions_of_the_namespace_and_of_the_call_are_shown(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, facts(), policy=Policy(instructions=("Only drinks.",)))
    await ana.add(SAID, instruction="No brands.")
    assert '{"wish":"Only drinks."}\n{"wish":"No brands."}' in ana.reasoner.shown


# -- requests


async def test_a_repeated_request_asks_nothing_and_changes_nothing(memoir: Memoir, world: World) -> None:
    await memoir.create("Ana takes milk.")
    other = fact("Ana takes milk.", "tea with milk")
    ana = assistant(memoir, world.ids, facts(TEA, other), decisions((1, "ADD")))
    call = calling(request_id="r1")
    first = await ana.add(SAID, call=call)
    before = await memoir.events()
    again = await ana.add(SAID, call=calling(request_id="r1"))
    assert again.items == first.items
    assert actions(again) == ["ADDED", "UNCHANGED"]
    assert (again.revision, again.usage, again.mode) == (first.revision, first.usage, first.mode)
    assert await memoir.events() == before
    assert ana.reasoner.names == ["extract", "reconcile"]


async def test_a_repeated_request_that_was_kept_says_so_again(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, "nonsense", "nonsense")
    first = await ana.add(SAID, call=calling(request_id="r1"))
    again = await ana.add(SAID, call=calling(request_id="r1"))
    assert (again.items, again.kept, again.mode, again.usage) == (first.items, first.kept, first.mode, first.usage)
    assert first.usage.calls == 2


async def test_the_same_request_at_the_same_time_is_asked_once(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, facts(TEA))
    both = await asyncio.gather(*(ana.add(SAID, call=calling(request_id="r1")) for _ in range(5)))
    assert ana.reasoner.names == ["extract"]
    assert all(inferred.items == both[0].items for inferred in both)


async def test_another_payload_under_the_same_request_is_refused(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, facts(TEA))
    await ana.add(SAID, call=calling(request_id="r1"))
    with pytest.raises(RequestIdReused):
        await ana.add(SAID, call=calling(request_id="r1", fingerprint=b"other"))


async def test_validate_only_tells_and_stores_nothing(memoir: Memoir, world: World) -> None:
    milk = await memoir.create("Ana takes no milk.")
    before = await memoir.events()
    answers = [facts(fact("Ana takes milk.", "tea with milk")), decisions((1, "SUPERSEDE", 1))]
    ana = assistant(memoir, world.ids, *answers, *answers)
    planned = await ana.add(SAID, validate_only=True, call=calling(request_id="r1"))
    assert actions(planned) == ["ADDED", "SUPERSEDED"]
    assert planned.items[1].previous_text == "Ana takes no milk."
    assert await memoir.events() == before
    assert (await memoir.listed()) == [milk]
    # It is no first call that the real one would repeat.
    assert actions(await ana.add(SAID, call=calling(request_id="r1"))) == ["ADDED", "SUPERSEDED"]


async def test_validate_only_of_what_would_be_kept(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, ReasonerUnavailable("m", "does not answer", "wait"))
    planned = await ana.add(SAID, validate_only=True)
    assert (actions(planned), texts(planned), planned.mode) == (["ADDED"], [SAID], AddMode.VERBATIM)
    assert await memoir.events() == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"metadata": {"memoir_model": "x"}}, r'metadata\["memoir_model"\]: is set by the server in mode INFER'),
        ({"metadata": {f"k{n}": 1 for n in range(62)}}, "metadata: has 62 pairs; mode INFER adds 3 of its own"),
        ({"instruction": "x" * 2049}, "instruction: has 2049 characters"),
        ({"instruction": "a\x00b"}, "instruction: has the control character"),
    ],
)
async def test_an_order_that_cannot_be_carried_out_is_refused(
    fields: dict[str, Any], problem: str, memoir: Memoir, world: World
) -> None:
    ana = assistant(memoir, world.ids)
    with pytest.raises(FieldInvalid, match=problem):
        await ana.add(SAID, **fields)
    assert ana.reasoner.asked == []


async def test_a_conversation_of_too_many_windows_is_refused(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, window_tokens=100, max_windows=3)
    with pytest.raises(FieldInvalid, match=r"messages: make .* windows of 100 tokens; at most 3 are taken: send fewer"):
        await ana.add("The heron stood still. " * 200)


# -- failure


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (["{", "{"], "was not as asked for, twice: \\$: is not JSON"),
        ([ReasonerUnavailable("m", "does not answer", "wait")], "the model does not answer"),
        ([ReasonerTimeout("m", "did not answer in time", "give it time")], "the model did not answer in time"),
        ([ReasonerRefused("m", "does not know the key", "set the key", status=401)], "the model does not know the key"),
        (
            [ReasonerOutput("m", "declined", "ask otherwise", output="no", usage=TokenUsage(input=5), declined=True)],
            "the model declined to answer 'extract'",
        ),
        (
            [ReasonerOutput("m", "was cut", "-", output="{", usage=TokenUsage(input=5, output=7), cut=True)] * 2,
            "was not as asked for, twice: \\$: was cut",
        ),
    ],
    ids=["invalid-twice", "outage", "timeout", "refused", "declined", "cut-twice"],
)
async def test_where_the_model_fails_the_messages_are_kept(
    answers: list[Answered], why: str, memoir: Memoir, world: World
) -> None:
    ana = assistant(memoir, world.ids, *answers)
    inferred = await ana.add(SAID, "And I have a dog.")
    assert (inferred.mode, actions(inferred)) == (AddMode.VERBATIM, ["ADDED", "ADDED"])
    assert texts(inferred) == [SAID, "And I have a dog."]
    assert all(item.memory is not None and item.memory.kind is MemoryKind.EPISODE for item in inferred.items)
    assert re.search(why, inferred.kept)
    assert all(item.reason == f"kept as it was said: {inferred.kept}" for item in inferred.items)
    assert {event.reason for event in await memoir.events()} == {f"kept as it was said: {inferred.kept}"}
    # Sent again, they are known.
    ana.reasoner.answers = list(answers)
    assert actions(await ana.add(SAID, "And I have a dog.")) == ["UNCHANGED", "UNCHANGED"]


async def test_kept_messages_hide_what_the_policy_hides(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, "{", "{", policy=Policy(personal=DataRule.MASK))
    inferred = await ana.add("My pin is 4711#, write to ana@home.example")
    assert texts(inferred) == ["My pin is [secret], write to [email]"]
    assert "4711" not in ana.reasoner.shown
    assert "home.example" not in ana.reasoner.shown


async def test_a_failed_window_ends_the_others(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, window_tokens=120)
    cancelled = asyncio.Event()

    async def answering(prompt: Prompt) -> Answered:
        if len(ana.reasoner.asked) == 2:
            return ReasonerUnavailable("m", "does not answer", "wait")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return facts()

    ana.reasoner.answering = answering
    inferred = await ana.add("The heron stood still. " * 12)
    assert inferred.mode is AddMode.VERBATIM
    assert cancelled.is_set()


async def test_the_model_is_given_less_than_the_callers_deadline(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids, facts(TEA))
    end = asyncio.get_running_loop().time() + 10
    await ana.add(SAID, call=calling(10))
    (deadline,) = ana.reasoner.deadlines
    assert deadline is not None
    assert deadline < end - 1.5


@pytest.mark.parametrize("kind", [StoreKind.INDEX, StoreKind.EMBEDDER])
async def test_without_index_or_embedder_the_newest_are_offered(kind: StoreKind, memoir: Memoir, world: World) -> None:
    await memoir.create("Ana takes no milk.")
    await memoir.settle()
    memoir.faults[kind].down()
    ana = assistant(
        memoir, world.ids, facts(fact("Ana takes milk.", "tea with milk")), decisions((1, "SUPERSEDE", 1)), cosine=0.99
    )
    inferred = await ana.add(SAID, call=calling(durability=Durability.ACCEPTED))
    assert actions(inferred) == ["ADDED", "SUPERSEDED"]


# -- at the same time


async def test_many_adds_of_one_fact_leave_one_memory(memoir: Memoir, world: World) -> None:
    ana = assistant(memoir, world.ids)

    async def answering(prompt: Prompt) -> Answered:
        await asyncio.sleep(0)
        return facts(TEA) if prompt.name == "extract" else decisions((1, "ADD"))

    ana.reasoner.answering = answering
    added = await asyncio.gather(*(ana.add(SAID, call=calling(60)) for _ in range(100)))
    assert sorted(actions(each)[0] for each in added) == ["ADDED"] + ["UNCHANGED"] * 99
    assert len(await memoir.listed()) == 1
    assert ana.reasoner.names == ["extract"] * 100


async def test_adds_of_one_fact_through_two_servers_leave_one_memory(memoir: Memoir, world: World) -> None:
    """Two servers know nothing of each other's locks: the transaction tells them."""
    one, two = assistant(memoir, world.ids), assistant(memoir, world.ids)

    async def answering(prompt: Prompt) -> Answered:
        await asyncio.sleep(0)
        return facts(TEA) if prompt.name == "extract" else decisions((1, "ADD"))

    one.reasoner.answering = two.reasoner.answering = answering
    added = await asyncio.gather(*(each.add(SAID, call=calling(60)) for each in (one, two) * 10))
    assert sorted(actions(each)[0] for each in added) == ["ADDED"] + ["UNCHANGED"] * 19


async def test_a_change_between_question_and_commit_is_decided_again(memoir: Memoir, world: World) -> None:
    old = await memoir.create("Ana takes no milk.")
    ana = assistant(memoir, world.ids)
    rounds = 0

    async def answering(prompt: Prompt) -> Answered:
        nonlocal rounds
        if prompt.name == "extract":
            return facts(fact("Ana takes milk.", "tea with milk"))
        rounds += 1
        if rounds == 1:
            # Somebody else rewords what was offered.
            await memoir.update(old.memory_id, text="Ana takes no milk in coffee.")
            return decisions((1, "SUPERSEDE", 1))
        assert "in coffee" in ana.reasoner.shown
        return decisions((1, "ADD"))

    ana.reasoner.answering = answering
    inferred = await ana.add(SAID)
    assert (actions(inferred), rounds) == (["ADDED"], 2)
    assert inferred.usage.calls == 3
    assert sorted(memory.text for memory in await memoir.listed()) == [
        "Ana takes milk.",
        "Ana takes no milk in coffee.",
    ]


async def test_a_change_that_leaves_what_is_offered_as_it_was_is_not_asked_about_again(
    memoir: Memoir, world: World
) -> None:
    await memoir.create("Ana takes no milk.")
    ana = assistant(memoir, world.ids, cosine=0.5)

    async def answering(prompt: Prompt) -> Answered:
        if prompt.name == "extract":
            return facts(fact("Ana takes milk.", "tea with milk"))
        await memoir.create("Quite another matter altogether: bicycles.")
        return decisions((1, "SUPERSEDE", 1))

    ana.reasoner.answering = answering
    assert actions(await ana.add(SAID)) == ["ADDED", "SUPERSEDED"]
    assert ana.reasoner.names == ["extract", "reconcile"]


async def test_memories_that_keep_changing_end_in_episodes(memoir: Memoir, world: World) -> None:
    old = await memoir.create("Ana takes no milk.")
    ana = assistant(memoir, world.ids)

    async def answering(prompt: Prompt) -> Answered:
        if prompt.name == "extract":
            return facts(fact("Ana takes milk.", "tea with milk"))
        await memoir.update(old.memory_id, text=f"Ana takes no milk. {len(ana.reasoner.asked)}")
        return decisions((1, "ADD"))

    ana.reasoner.answering = answering
    inferred = await ana.add(SAID, call=calling(60))
    assert inferred.mode is AddMode.VERBATIM
    assert inferred.kept == "the memories it concerns kept changing"


# -- accepted work


async def ingested(memoir: Memoir, world: World, *answers: Answered) -> tuple[Inferred, IngestionState, str]:
    ana = assistant(memoir, world.ids, *answers)
    ingesting = Ingesting(ledger=memoir.ledger, inference=ana.inferring, clock=memoir.clock, ids=world.ids)
    await ingesting.start()
    try:
        messages = [Message(role=Role.USER, content=SAID, message_id="m1")]
        order = ana.inferring.order(NS, ANA, messages, metadata={}, instruction="")
        accepted = await ingesting.accept(order, calling(durability=Durability.ACCEPTED, request_id="r1"))

        async def over() -> bool:
            return (await memoir.ledger.get_ingestion(NS, accepted.ingestion_id)).state.terminal

        await until(over)
        found = await ingesting.get(NS, accepted.ingestion_id)
    finally:
        await ingesting.stop()
    ingestion = found.ingestion
    return decode_inferred(ingestion.outcome, found.changes), ingestion.state, ingestion.error


async def test_accepted_work_ends_as_a_call_would(memoir: Memoir, world: World) -> None:
    inferred, state, _ = await ingested(memoir, world, facts(TEA))
    assert (state, actions(inferred), texts(inferred)) == (IngestionState.SUCCEEDED, ["ADDED"], ["Ana likes tea."])
    assert inferred.usage.calls == 1


async def test_accepted_work_that_comes_to_nothing_is_told_in_the_history(memoir: Memoir, world: World) -> None:
    inferred, state, error = await ingested(memoir, world, "{", "{")
    assert (state, actions(inferred), inferred.mode) == (IngestionState.FAILED, ["ADDED"], AddMode.VERBATIM)
    assert "was not as asked for, twice" in error
    events = await memoir.events()
    assert [event.type for event in events] == [EventType.CREATED, EventType.FAILED]
    assert events[-1].reason.endswith(error)


async def test_remembering_without_falling_back_says_whether_it_may_pass(memoir: Memoir, world: World) -> None:
    down = ReasonerUnavailable("m", "does not answer", "wait", retry_after=7.0)
    ana = assistant(memoir, world.ids, down, "{", "{")
    order = ana.inferring.order(NS, ANA, [Message(role=Role.USER, content=SAID)], metadata={}, instruction="")
    with pytest.raises(InferenceFailed) as passing:
        await ana.inferring.remember(order, calling())
    assert (passing.value.passing, passing.value.retry_after, passing.value.usage.calls) == (True, 7.0, 0)
    with pytest.raises(InferenceFailed) as lasting:
        await ana.inferring.remember(order, calling())
    assert (lasting.value.passing, lasting.value.retry_after, lasting.value.usage.calls) == (False, None, 2)
