"""Remembering with a language model: a conversation becomes facts, and the facts one transaction.

The steps are functions of `domain.inference`; this file strings them together and does what they may not: it asks,
looks, waits and commits. At most one question per window and one more. Whatever the model does, nothing the user said
is lost: where nothing usable comes of it, the messages are kept as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from opentelemetry import metrics

from memoir_server.domain.conversation import Message
from memoir_server.domain.errors import FieldInvalid, ScopeMoved
from memoir_server.domain.filter import Compare, Operator
from memoir_server.domain.inference.facts import GroundedFact, Settled, merge, says_already, settle
from memoir_server.domain.inference.failure import InferenceFailed
from memoir_server.domain.inference.order import Order
from memoir_server.domain.inference.planning import KEYS, Action, Making, Plan, new_memory, plan
from memoir_server.domain.inference.policy import Policies, Policy, checked_instruction
from memoir_server.domain.inference.procedures import is_trace
from memoir_server.domain.inference.reconciliation import Judged, Offers, judge, offers_of
from memoir_server.domain.inference.turns import Turn, turns_of
from memoir_server.domain.inference.usage import Usage
from memoir_server.domain.inference.windowing import CONTEXT_TOKENS, WINDOW_TOKENS, Window, cost_of, windows_of
from memoir_server.domain.ingestion import IngestionEnd, Undisturbed
from memoir_server.domain.memory import Memory, MetadataValue, Scope
from memoir_server.domain.mutation import Decision, Mutation
from memoir_server.domain.selection import Selection
from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock, IdSource
from memoir_server.ports.ledger import Ledger
from memoir_server.ports.reasoner import Reasoner, ReasonerError, ReasonerUnavailable
from memoir_server.prompts import load
from memoir_server.service.answering import Answers, origin_of
from memoir_server.service.call import Call
from memoir_server.service.freshness import Freshness
from memoir_server.service.inferred import Inferred, planned_items, record_of
from memoir_server.service.keeping import Keeping
from memoir_server.service.questions import AnswerUseless, Questions, reason_of
from memoir_server.service.similar import Similar, Surroundings

MAX_WINDOWS: Final = 32
"""Windows of one add, unless the operator says otherwise: about 700,000 characters of English."""
MAX_METADATA: Final = 64
"""Pairs that a memory may have (contract)."""
EARLIER_TURNS: Final = 12
"""Messages of the session that are shown for context, as far as they are kept and the budget allows."""
RESERVE_SECONDS: Final = 2.0
"""Kept of the caller's deadline for keeping the messages when no answer comes; no more than a quarter of it."""
MAX_ROUNDS: Final = 16
"""How often an add is decided again because the owner's memories were changed by another server meanwhile."""

_meter = metrics.get_meter("memoir_server.inferring")
_changes = _meter.create_counter("memoir.inference.changes", "{change}", "Decisions of inference, by action")
_dropped = _meter.create_counter("memoir.inference.dropped", "{fact}", "Facts that were left out, by reason")
_refused = _meter.create_counter("memoir.inference.refused", "{decision}", "Decisions not carried out, by reason")
_again = _meter.create_counter("memoir.inference.again", "{add}", "Adds decided again after a concurrent change")


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceOptions:
    """How a server infers. Sizes in tokens are those of `memoir-words-1`."""

    policies: Policies = field(default_factory=Policies)
    window_tokens: int = WINDOW_TOKENS
    context_tokens: int = CONTEXT_TOKENS
    max_windows: int = MAX_WINDOWS


@dataclass(frozen=True, slots=True)
class _Decided:
    """An answer about what is stored, and the question it answers: facts by position, memories by version."""

    facts: tuple[int, ...]
    offers: Offers
    judged: Judged

    def answers(self, facts: tuple[int, ...], offers: Offers) -> bool:
        return facts == self.facts and [(m.memory_id, m.revision) for m in offers.memories] == [
            (m.memory_id, m.revision) for m in self.offers.memories
        ]


T = TypeVar("T")


class Inferring:
    """Mode INFER. Adds of one owner are decided one after the other within a server; a change by another server is
    noticed by the transaction, and the add is decided again."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reasoner: Reasoner,
        similar: Similar,
        freshness: Freshness,
        clock: Clock,
        ids: IdSource,
        options: InferenceOptions | None = None,
    ) -> None:
        self._ledger = ledger
        self._reasoner = reasoner
        self._similar = similar
        self._clock = clock
        self._ids = ids
        self._answers = Answers(ledger, freshness, clock)
        self._keeping = Keeping(ledger, self._answers, clock, ids)
        self._options = options or InferenceOptions()
        self._owners: WeakValueDictionary[tuple[str, Scope], asyncio.Lock] = WeakValueDictionary()
        self._requests: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()

    def order(
        self,
        namespace: str,
        scope: Scope,
        messages: Sequence[Message],
        *,
        metadata: Mapping[str, MetadataValue],
        instruction: str,
    ) -> Order:
        """An order that came now. Raises FieldInvalid for one that could not be carried out as it is."""
        order = Order(
            namespace=namespace,
            scope=scope,
            messages=messages,
            metadata=metadata,
            instruction=instruction,
            accepted=self._clock.now(),
        )
        self._check(order)
        return order

    def _check(self, order: Order) -> None:
        if taken := sorted(KEYS & order.metadata.keys()):
            raise FieldInvalid(f'metadata["{taken[0]}"]', "is set by the server in mode INFER; use another key")
        if len(order.metadata) > MAX_METADATA - len(KEYS):
            raise FieldInvalid(
                "metadata",
                f"has {len(order.metadata)} pairs; mode INFER adds {len(KEYS)} of its own, so that at most "
                f"{MAX_METADATA - len(KEYS)} may be given",
            )
        checked_instruction(order.instruction, "instruction")
        budget, most = self._options.window_tokens, self._options.max_windows
        cost = cost_of(turns_of(order.messages, now=order.accepted))
        if 2 * cost // budget + 1 <= most:
            return
        # Cutting takes a second where there is much to cut: not for what is refused in any case.
        windows = -(-cost // budget)
        if windows <= most:
            windows = len(self._windows(self._turns(order, self._policy(order)), ()))
        if windows > most:
            raise FieldInvalid(
                "messages",
                f"make at least {windows} windows of {budget} tokens; at most {most} are taken: send fewer at once, or "
                "use mode VERBATIM",
            )

    async def add(self, order: Order, call: Call, *, validate_only: bool = False) -> Inferred:
        """Infers; where nothing usable comes of it, keeps the messages as they are. A duplicate of a request is
        answered without a question to the model; one that is in hand is waited for.

        Raises RequestIdReused, StoreUnavailable (for the ledger).
        """
        key = call.idempotency
        if key is None or validate_only:
            return await self._add(order, call, validate_only=validate_only)
        lock = self._requests.setdefault((key.principal, key.namespace, key.request_id), asyncio.Lock())
        async with lock:
            replayed = await self._answers.replayed(order.namespace, call)
            return replayed or await self._add(order, call, validate_only=False)

    async def _add(self, order: Order, call: Call, *, validate_only: bool) -> Inferred:
        try:
            return await self.remember(order, call, validate_only=validate_only)
        except InferenceFailed as failure:
            return await self.keep(order, call, failure.why, usage=failure.usage, validate_only=validate_only)

    async def remember(
        self, order: Order, call: Call, *, ending: IngestionEnd | None = None, validate_only: bool = False
    ) -> Inferred:
        """Infers and commits; with `validate_only`, tells what would be committed. `ending` is the ingestion that the
        commit ends.

        Raises InferenceFailed, IngestionLost, StoreUnavailable (for the ledger).
        """
        policy = self._policy(order)
        reserve = min(RESERVE_SECONDS, call.remaining() / 4)
        questions = Questions(self._reasoner, order.namespace, call.deadline - reserve)
        try:
            turns = policy.hide(await _seen(order, questions))
            text = load("procedure" if is_trace(order.scope, turns) else "extract")
            windows = self._windows(turns, await self._earlier(order))
            extractions = await _all([questions.facts(text, window, policy) for window in windows])
            settled = merge(
                settle(extraction, window.turns, policy)
                for extraction, window in zip(extractions, windows, strict=True)
            )
            for each in settled.dropped:
                _dropped.add(1, {"memoir.reason": each.reason.name.lower()})
            making = Making(
                namespace=order.namespace,
                scope=order.scope,
                metadata=order.metadata,
                prompt=text.label,
                model=questions.model,
                ids=[self._ids.new_id() for _ in settled.facts],
                conflicts=policy.conflicts,
            )
            adding = _Adding(order, call, turns, settled, making, questions, ending, validate_only)
            async with self._owners.setdefault((order.namespace, order.scope.owner), asyncio.Lock()):
                return await self._decide(adding)
        except (ReasonerError, AnswerUseless) as failure:
            raise InferenceFailed(
                reason_of(failure),
                passing=isinstance(failure, ReasonerUnavailable),
                retry_after=failure.retry_after if isinstance(failure, ReasonerUnavailable) else None,
                usage=questions.usage,
            ) from failure

    async def keep(
        self,
        order: Order,
        call: Call,
        why: str,
        *,
        ending: IngestionEnd | None = None,
        usage: Usage | None = None,
        validate_only: bool = False,
    ) -> Inferred:
        """Keeps the messages as EPISODEs, with what the policy hides masked; `why` goes into the answer and the
        history. Raises IngestionLost, StoreUnavailable."""
        if images := sum(len(message.images) for message in order.messages):
            why = f"{why}; {images} image{'s were' if images > 1 else ' was'} not kept"
        return await self._keeping.keep(
            order, self._hidden(order), call, why, ending=ending, usage=usage, validate_only=validate_only
        )

    async def _decide(self, adding: _Adding) -> Inferred:
        decided: _Decided | None = None
        for again in range(MAX_ROUNDS):
            if again:
                _again.add(1)
            now = self._clock.now()
            settled, making = adding.settled, adding.making
            new = [new_memory(fact, id_, making) for fact, id_ in zip(settled.facts, making.ids, strict=True)]
            surroundings = await self._similar.around(
                adding.order.namespace,
                adding.order.scope.owner,
                new,
                [request.what for request in settled.forget],
                now,
            )
            known = _known(settled.facts, surroundings.memories, adding.order.scope.owner)
            unknown = tuple(position for position in range(len(settled.facts)) if position not in known)
            offers = offers_of(surroundings.memories, adding.order.scope)
            judged: Judged | None = None
            if offers.memories and (unknown or settled.forget):
                if decided is None or not decided.answers(unknown, offers):
                    decided = _Decided(unknown, offers, await self._judged(adding, unknown, offers))
                judged = decided.judged
            made = plan(settled.facts, known, judged, making)
            if adding.validate_only:
                return Inferred(
                    items=planned_items(made),
                    revision=surroundings.revision,
                    usage=adding.questions.usage,
                    dropped=settled.dropped,
                )
            try:
                return await self._commit(adding, made, surroundings, now)
            except ScopeMoved:
                continue
        raise InferenceFailed("the memories it concerns kept changing", passing=True, usage=adding.questions.usage)

    async def _judged(self, adding: _Adding, unknown: Sequence[int], offers: Offers) -> Judged:
        facts = [adding.settled.facts[position] for position in unknown]
        forget = adding.settled.forget
        answer = await adding.questions.decisions(facts, forget, offers)
        judged = judge(answer.decisions, facts=facts, forget=forget, offers=offers, turns=adding.turns)
        for each in judged.refused:
            _refused.add(1, {"memoir.reason": each.why.name.lower()})
        return judged

    async def _commit(self, adding: _Adding, made: Plan, surroundings: Surroundings, now: Instant) -> Inferred:
        record = record_of(made, adding.questions.usage)
        namespace = adding.order.namespace

        def decide(found: Mapping[str, Memory]) -> Decision:
            if made.outdated(found):
                raise ScopeMoved(namespace)
            return Decision(made.drafts(), record.encoded(), record.unchanged)

        committed = await self._ledger.commit(
            Mutation(
                namespace=namespace,
                memory_ids=made.memory_ids,
                decide=decide,
                now=now,
                origin=origin_of(adding.call),
                idempotency=adding.call.idempotency,
                vectors=surroundings.vectors,
                undisturbed=Undisturbed(adding.order.scope.owner, surroundings.revision),
                ingestion=adding.ending,
            )
        )
        for change in made.changes:
            _changes.add(1, {"memoir.action": change.action.name.lower()})
        known = {c.memory.memory_id: c.memory for c in made.changes if c.action is Action.UNCHANGED}
        inferred = await self._answers.of(namespace, adding.call, committed, known)
        return replace(inferred, dropped=adding.settled.dropped)

    async def _earlier(self, order: Order) -> tuple[Turn, ...]:
        """The last messages of the session that are kept, oldest first, without those of the order."""
        if order.scope.session_id is None:
            return ()
        now = self._clock.now()
        said = Selection(
            scope=order.scope,
            filter=Compare("kind", Operator.EQUAL, "MEMORY_KIND_EPISODE"),
            reference=now,
            now=now,
        )
        newest = await self._ledger.list_memories(order.namespace, said, after=None, limit=EARLIER_TURNS)
        sent = {(message.message_id, message.content) for message in order.messages}
        policy = self._policy(order)
        turns = [
            Turn(
                index=-1,
                role=source.role,
                text=episode.text,
                said=episode.create_time,
                actor_id=source.actor_id,
                message_id=source.message_id,
            )
            for episode in reversed(newest)
            for source in episode.provenance[:1]
            if (source.message_id, episode.text) not in sent
        ]
        return policy.hide(turns)

    def _policy(self, order: Order) -> Policy:
        return self._options.policies.of(order.namespace).with_instruction(order.instruction)

    def _turns(self, order: Order, policy: Policy) -> tuple[Turn, ...]:
        return policy.hide(turns_of(order.messages, now=order.accepted))

    def _windows(self, turns: Sequence[Turn], earlier: Sequence[Turn]) -> tuple[Window, ...]:
        return windows_of(
            turns, earlier=earlier, budget=self._options.window_tokens, context=self._options.context_tokens
        )

    def _hidden(self, order: Order) -> list[Message]:
        turns = self._turns(order, self._policy(order))
        return [replace(message, content=turn.text) for message, turn in zip(order.messages, turns, strict=True)]


@dataclass(frozen=True, slots=True)
class _Adding:
    """One add, after its facts were extracted."""

    order: Order
    call: Call
    turns: tuple[Turn, ...]
    settled: Settled
    making: Making
    questions: Questions
    ending: IngestionEnd | None
    validate_only: bool


async def _seen(order: Order, questions: Questions) -> tuple[Turn, ...]:
    """The messages with their images described."""
    turns = turns_of(order.messages, now=order.accepted)
    texts = iter(await _all([questions.description(image) for message in order.messages for image in message.images]))
    return tuple(
        replace(turn, images=tuple(next(texts) for _ in message.images)) if message.images else turn
        for turn, message in zip(turns, order.messages, strict=True)
    )


def _known(facts: Sequence[GroundedFact], stored: Sequence[Memory], owner: Scope) -> dict[int, Memory]:
    """By position, the stored memory that says a fact in the same words."""
    own = [memory for memory in stored if memory.scope.owner == owner]
    found = {}
    for position, fact in enumerate(facts):
        same = next((memory for memory in own if says_already(memory, fact)), None)
        if same is not None:
            found[position] = same
    return found


async def _all(questions: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The answers to all, side by side; the first failure ends the others."""
    tasks = [asyncio.ensure_future(question) for question in questions]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
