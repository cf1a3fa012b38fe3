"""The one question that holds new facts against what is stored: what is offered, the form of the answer, reading it.

The model sees short numbers, never ids: it cannot name what it was not shown, and it cannot misspell a UUID. Numbers
that were not given out, and everything else a decision may not do, are refused here; the fact is then added, since
what the user said must not be lost to a wrong answer. Only what is offered can be changed, whatever the answer says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from memoir_server.domain.analysis import analyse
from memoir_server.domain.inference.answer import Problems, Reader, decode
from memoir_server.domain.inference.facts import GroundedFact, GroundedRequest
from memoir_server.domain.inference.grounding import Source, Ungrounded
from memoir_server.domain.inference.turns import Turn
from memoir_server.domain.memory import Memory, MemoryKind, Role, Scope
from memoir_server.domain.reasoning import JsonSchema

MAX_OFFERED: Final = 48
"""Memories offered in one call."""
MAX_DECISIONS: Final = 256
MAX_REMOVED: Final = 16
"""Memories that one call may delete. Who wants more gone asks for a reset, which shows beforehand what it takes."""
MAX_REASON: Final = 500
MAX_TEXT: Final = 4000


class Verb(IntEnum):
    """What is to be done with a fact."""

    ADD = 1
    UPDATE = 2
    SUPERSEDE = 3
    DELETE = 4
    NONE = 5


VERBS: Final = {verb.name.casefold(): verb for verb in Verb}

RECONCILE_SCHEMA: Final = JsonSchema.of(
    "reconcile",
    "Hands over the decisions.",
    {
        "type": "object",
        "properties": {
            "decisions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "item": {"type": "integer"},
                        "action": {"type": "string", "enum": [verb.name for verb in Verb]},
                        "memory": {"type": ["integer", "null"]},
                        "text": {"type": ["string", "null"]},
                        "quote": {"type": ["string", "null"]},
                        "reason": {"type": "string"},
                    },
                    "required": ["item", "action", "memory", "text", "quote", "reason"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["decisions"],
        "additionalProperties": False,
    },
)
"""Form of the answer to the prompt `reconcile`."""


@dataclass(frozen=True, slots=True)
class Offers:
    """The memories of one call, under the numbers 1, 2, ..."""

    memories: tuple[Memory, ...] = ()

    def get(self, number: int | None) -> Memory | None:
        """The memory of a number; None for a number that was not given out."""
        if number is None or not 1 <= number <= len(self.memories):
            return None
        return self.memories[number - 1]


def offers_of(memories: Iterable[Memory], scope: Scope) -> Offers:
    """Offers memories, oldest first, each once: those of the caller's owner, but no episodes, which are what was said
    and not what is known. `memories` come nearest first; what goes beyond `MAX_OFFERED` is left out."""
    fitting = {
        memory.memory_id: memory
        for memory in memories
        if memory.scope.owner == scope.owner and memory.kind is not MemoryKind.EPISODE
    }
    nearest = list(fitting.values())[:MAX_OFFERED]
    return Offers(tuple(sorted(nearest, key=lambda memory: (memory.create_time, memory.memory_id))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A decision as the model gave it, of the right form; `item` is one that was asked about."""

    item: int
    verb: Verb
    memory: int | None = None
    text: str = ""
    quote: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What was read from an answer. It may be used only where `problems` is empty."""

    decisions: tuple[Decision, ...] = ()
    problems: tuple[str, ...] = ()


def read_reconciliation(output: str, *, items: int) -> Reconciliation:
    """Reads an answer to a question about items 1 to `items`. Never raises."""
    problems = Problems()
    value = decode(output, problems)
    if value is None:
        return Reconciliation(problems=tuple(problems.found))
    decisions = []
    for reader in Reader(value, "$", problems).objects("decisions", most=MAX_DECISIONS, required=True):
        item = reader.whole("item")
        if item is not None and not 1 <= item <= items:
            problems.add(f"{reader.path}.item", f"has to be a number from 1 to {items}")
        decisions.append(
            Decision(
                item=0 if item is None else item,
                verb=reader.one_of("action", VERBS) or Verb.ADD,
                memory=reader.optional_whole("memory"),
                text=reader.optional_text("text", most=MAX_TEXT),
                quote=reader.optional_text("quote", most=MAX_TEXT),
                reason=reader.optional_text("reason", most=MAX_TEXT)[:MAX_REASON],
            )
        )
    return Reconciliation(problems=tuple(problems.found)) if problems else Reconciliation(tuple(decisions))


class Refusal(Enum):
    """Why a decision was not carried out; the value is a sentence for the caller."""

    NOT_OFFERED = "it names a memory that was not offered"
    NO_REQUEST = "it deletes without words of the user that ask for it"
    NOT_A_FACT = "a request to forget can only delete"
    TOO_MANY = "one call deletes at most 16 memories; a reset removes more"
    NOT_MERGED = "its text says what neither the memory nor the fact says"
    TAKEN = "another decision of the same answer already changes the memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A decision that was not carried out."""

    decision: Decision
    why: Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is done with a fact. `known` says it already (NONE), or takes the fact up as `text` (UPDATE); `contradicted`
    are the memories that cannot be true beside it (ADD)."""

    verb: Verb
    known: Memory | None = None
    contradicted: tuple[Memory, ...] = ()
    text: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A memory the user asked to forget, in the words of `quote`."""

    memory: Memory
    quote: str
    reason: str


@dataclass(frozen=True, slots=True)
class Judged:
    """One verdict for each fact, in their order; what is deleted; what was refused."""

    verdicts: tuple[Verdict, ...] = ()
    removals: tuple[Removal, ...] = ()
    refused: tuple[Refused, ...] = ()


def judge(
    decisions: Sequence[Decision],
    *,
    facts: Sequence[GroundedFact],
    forget: Sequence[GroundedRequest],
    offers: Offers,
    turns: Sequence[Turn],
) -> Judged:
    """Keeps decisions to what they may do. Items 1 to n are the facts, those after them the requests to forget.

    A fact about which nothing was decided, or nothing that may be done, is added.
    """
    asked = Source([turn for turn in turns if turn.role is Role.USER])
    refused: list[Refused] = []
    removals: dict[str, Removal] = {}
    for decision in decisions:
        if decision.verb is Verb.DELETE:
            outcome = _removal(decision, offers, asked, len(removals))
            if isinstance(outcome, Refusal):
                refused.append(Refused(decision=decision, why=outcome))
            else:
                removals.setdefault(outcome.memory.memory_id, outcome)
        elif decision.item > len(facts) and decision.verb is not Verb.NONE:
            refused.append(Refused(decision=decision, why=Refusal.NOT_A_FACT))
    bench = _Bench(offers, taken=set(removals))
    verdicts = [
        bench.verdict(fact, [decision for decision in decisions if decision.item == number])
        for number, fact in enumerate(facts, start=1)
    ]
    return Judged(tuple(verdicts), tuple(removals.values()), (*refused, *bench.refused))


def _removal(decision: Decision, offers: Offers, asked: Source, removed: int) -> Removal | Refusal:
    memory = offers.get(decision.memory)
    if memory is None:
        return Refusal.NOT_OFFERED
    place = asked.ground(decision.quote, -1)
    if isinstance(place, Ungrounded) or place.passage != 0:
        return Refusal.NO_REQUEST
    if removed >= MAX_REMOVED:
        return Refusal.TOO_MANY
    return Removal(memory=memory, quote=place.quote, reason=decision.reason)


class _Bench:
    """Decides fact after fact; no memory is changed in two ways."""

    def __init__(self, offers: Offers, *, taken: set[str]) -> None:
        self._offers = offers
        self._taken = taken
        """Deleted or reworded: nothing else may happen to them."""
        self._contradicted: set[str] = set()
        """Others may contradict them too, but they are neither reworded nor what says a fact already."""
        self.refused: list[Refused] = []

    def verdict(self, fact: GroundedFact, decisions: Sequence[Decision]) -> Verdict:
        contradicted: dict[str, Memory] = {}
        known: list[Verdict] = []
        reasons = []
        for decision in decisions:
            if decision.verb in (Verb.ADD, Verb.DELETE):
                continue
            memory = self._offers.get(decision.memory)
            refusal = self._refusal(decision, memory, fact)
            if memory is None or refusal is not None:
                self.refused.append(Refused(decision=decision, why=refusal or Refusal.NOT_OFFERED))
            elif decision.verb is Verb.SUPERSEDE:
                contradicted[memory.memory_id] = memory
                reasons.append(decision.reason)
            else:
                known.append(Verdict(verb=decision.verb, known=memory, text=decision.text, reason=decision.reason))
        if contradicted:
            # What cannot be true beside the fact weighs more than what could be reworded.
            self._contradicted.update(contradicted)
            reason = " ".join(filter(None, reasons))
            return Verdict(verb=Verb.ADD, contradicted=tuple(contradicted.values()), reason=reason)
        if known:
            # A memory that takes the fact up, before one that merely has it.
            chosen = min(known, key=lambda verdict: verdict.verb)
            if chosen.verb is Verb.UPDATE and chosen.known is not None:
                self._taken.add(chosen.known.memory_id)
            return chosen
        return Verdict(verb=Verb.ADD, reason=next((d.reason for d in decisions if d.verb is Verb.ADD), ""))

    def _refusal(self, decision: Decision, memory: Memory | None, fact: GroundedFact) -> Refusal | None:
        if memory is None:
            return Refusal.NOT_OFFERED
        if memory.memory_id in self._taken:
            return Refusal.TAKEN
        if decision.verb is not Verb.SUPERSEDE and memory.memory_id in self._contradicted:
            return Refusal.TAKEN
        if decision.verb is Verb.UPDATE and not made_of(decision.text, memory.text, fact.text):
            return Refusal.NOT_MERGED
        return None


_LEAST_NEW: Final = 3
_NEW_SHARE: Final = 0.34


def made_of(text: str, *parts: str) -> bool:
    """Whether a merged text says no more than its parts: its terms are theirs, apart from a few that join them, and
    those are no more than half. A new term with a digit in it is never one of them, and a text without terms is made of
    nothing. Terms are those of the search (`domain.analysis`): without function words, by their stems."""
    allowed = {term for part in parts for term in analyse(part)}
    terms = analyse(text)
    new = [term for term in terms if term not in allowed]
    if not terms or any(any(c.isdigit() for c in term) for term in new):
        return False
    return len(new) * 2 <= len(terms) and len(new) <= max(_LEAST_NEW, _NEW_SHARE * len(terms))
