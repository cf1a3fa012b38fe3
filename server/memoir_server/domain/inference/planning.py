"""From facts and verdicts to the changes that are committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

from memoir_server.domain.change import Draft, EventType
from memoir_server.domain.inference.facts import GroundedFact
from memoir_server.domain.inference.policy import ConflictRule
from memoir_server.domain.inference.reconciliation import Judged, Verb, Verdict
from memoir_server.domain.memory import Memory, MetadataValue, Scope
from memoir_server.domain.supersession import supersede

PROMPT_KEY: Final = "memoir_prompt"
"""Metadata: name and version of the prompt a memory was made with, such as "extract-v1"."""
MODEL_KEY: Final = "memoir_model"
"""Metadata: the model that answered."""
CONFIDENCE_KEY: Final = "memoir_confidence"
"""Metadata: how sure the model was of it, 0 to 1."""
KEYS: Final = frozenset({PROMPT_KEY, MODEL_KEY, CONFIDENCE_KEY})

MAX_PROVENANCE: Final = 64
"""Messages a memory refers to (contract); the newest are kept. So are as many entities and relations."""


class Action(IntEnum):
    """What was done with one memory; the numbers are those of the contract's MemoryChange.Action."""

    ADDED = 1
    UPDATED = 2
    SUPERSEDED = 3
    DELETED = 4
    UNCHANGED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredChange:
    """One decision about one memory.

    Attributes:
        action: What is done.
        memory: As it is afterwards; for DELETED and UNCHANGED the memory concerned.
        before: The version that the decision rests on; None for ADDED.
        reason: Why, in a sentence.
        quote: The words of the conversation that led to it.
        exact: UNCHANGED only: the memory says the fact in the same words.
    """

    action: Action
    memory: Memory
    before: Memory | None = None
    reason: str = ""
    quote: str = ""
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What all memories of a call have in common.

    Attributes:
        namespace: Where they live.
        scope: Whose they are.
        metadata: The caller's.
        prompt: Name and version of the prompt that extracted them.
        model: The model that answered.
        ids: An id for each fact.
        conflicts: Which of two statements that contradict each other stands.
    """

    namespace: str
    scope: Scope
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    prompt: str
    model: str
    ids: Sequence[str]
    conflicts: ConflictRule = ConflictRule.NEWEST


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes of a call in the order decided; at most one of them touches any memory, UNCHANGED aside."""

    changes: tuple[InferredChange, ...] = ()

    @property
    def memory_ids(self) -> tuple[str, ...]:
        """Memories concerned, each once: those the transaction has to look at."""
        return tuple(dict.fromkeys(change.memory.memory_id for change in self.changes))

    def outdated(self, found: Mapping[str, Memory]) -> tuple[str, ...]:
        """Ids of the memories that are no longer as they were when it was decided; `found` are those that exist."""
        return tuple(
            dict.fromkeys(
                change.before.memory_id
                for change in self.changes
                if change.before is not None
                and ((now := found.get(change.before.memory_id)) is None or now.revision != change.before.revision)
            )
        )

    def drafts(self) -> list[Draft]:
        """For the ledger: closings first, so that at the revision of a new memory the old one is closed already."""
        drafts = [_draft(change) for change in self.changes if change.action is not Action.UNCHANGED]
        return sorted(drafts, key=lambda draft: _ORDER[draft.type])


_ORDER: Final = {EventType.SUPERSEDED: 0, EventType.UPDATED: 1, EventType.DELETED: 2, EventType.CREATED: 3}
_EVENTS: Final = {
    Action.ADDED: EventType.CREATED,
    Action.UPDATED: EventType.UPDATED,
    Action.SUPERSEDED: EventType.SUPERSEDED,
    Action.DELETED: EventType.DELETED,
}


def _draft(change: InferredChange) -> Draft:
    return Draft(
        type=_EVENTS[change.action],
        memory_id=change.memory.memory_id,
        before=change.before,
        after=None if change.action is Action.DELETED else change.memory,
        reason=change.reason,
    )


def new_memory(fact: GroundedFact, memory_id: str, making: Making) -> Memory:
    """The memory of a fact."""
    session = making.scope.session_id or ""
    return Memory(
        namespace=making.namespace,
        memory_id=memory_id,
        text=fact.text,
        kind=fact.kind,
        scope=making.scope,
        metadata=_marked(making.metadata, fact, making),
        importance=fact.importance,
        valid_from=fact.validity.valid_from,
        valid_until=fact.validity.valid_until,
        create_time=fact.said,
        provenance=tuple(place.turn.provenance(place.quote, session) for place in fact.sources)[-MAX_PROVENANCE:],
        entities=fact.entities,
        relations=fact.relations,
    )


def plan(
    facts: Sequence[GroundedFact],
    known: Mapping[int, Memory],
    judged: Judged | None,
    making: Making,
) -> Plan:
    """Plans the changes of a call.

    Args:
        facts: What is worth remembering.
        known: By position among the facts, the stored memory that says it in the same words.
        judged: Verdicts about the facts that are not known, in their order; None where nothing similar is stored.
        making: What the new memories have in common.
    """
    steps = _Steps(making)
    verdicts = iter(judged.verdicts if judged else ())
    for position, fact in enumerate(facts):
        if position in known:
            steps.known(fact, known[position], "it is stored already", exact=True)
            continue
        verdict = next(verdicts, Verdict(verb=Verb.ADD))
        if verdict.verb is Verb.NONE and verdict.known is not None:
            steps.known(fact, verdict.known, verdict.reason or "it is stored already", exact=False)
        elif verdict.verb is Verb.UPDATE and verdict.known is not None:
            steps.update(fact, verdict.known, verdict.text, verdict.reason)
        else:
            steps.add(fact, making.ids[position], verdict)
    for removal in judged.removals if judged else ():
        steps.remove(removal.memory, removal.quote, removal.reason)
    return Plan(steps.changes())


class _Steps:
    """Takes changes one after the other; later ones see earlier ones."""

    def __init__(self, making: Making) -> None:
        self._making = making
        self._changes: list[InferredChange] = []
        self._closed: dict[str, int] = {}
        """Where among the changes a memory's closing stands."""

    def changes(self) -> tuple[InferredChange, ...]:
        return tuple(self._changes)

    def known(self, fact: GroundedFact, memory: Memory, reason: str, *, exact: bool) -> None:
        self._changes.append(
            InferredChange(
                action=Action.UNCHANGED, memory=memory, before=memory, reason=reason, quote=fact.quote, exact=exact
            )
        )

    def update(self, fact: GroundedFact, before: Memory, text: str, reason: str) -> None:
        session = self._making.scope.session_id or ""
        sources = tuple(place.turn.provenance(place.quote, session) for place in fact.sources)
        after = replace(
            before,
            text=text,
            metadata=_marked(before.metadata, fact, self._making),
            importance=max(fact.importance, before.importance or 0.0),
            provenance=tuple(dict.fromkeys((*before.provenance, *sources)))[-MAX_PROVENANCE:],
            entities=tuple(dict.fromkeys((*before.entities, *fact.entities)))[:MAX_PROVENANCE],
            relations=tuple(dict.fromkeys((*before.relations, *fact.relations)))[:MAX_PROVENANCE],
        )
        self._changes.append(
            InferredChange(action=Action.UPDATED, memory=after, before=before, reason=reason, quote=fact.quote)
        )

    def remove(self, memory: Memory, quote: str, reason: str) -> None:
        self._changes.append(
            InferredChange(action=Action.DELETED, memory=memory, before=memory, reason=reason, quote=quote)
        )

    def add(self, fact: GroundedFact, memory_id: str, verdict: Verdict) -> None:
        memory = new_memory(fact, memory_id, self._making)
        rule, others = self._making.conflicts, verdict.contradicted
        if others and rule is ConflictRule.KEEP_BOTH:
            reason = f"{verdict.reason} Both are kept.".strip()
            self._changes.append(InferredChange(action=Action.ADDED, memory=memory, reason=reason, quote=fact.quote))
            return
        if rule is ConflictRule.CONFIDENCE:
            surer = next((other for other in others if confidence_of(other) > fact.confidence), None)
            if surer is not None:
                why = f"what is stored is surer ({confidence_of(surer):g} against {fact.confidence:g})"
                reason = f"{verdict.reason} Not stored: {why}.".strip()
                self.known(fact, surer, reason, exact=False)
                return
        if memory.valid_from is None:
            # Of two without a known beginning neither can be closed where the other begins.
            others = tuple(other for other in others if other.valid_from is not None)
        settled = supersede(memory, [self._current(other) for other in others])
        self._changes.append(
            InferredChange(action=Action.ADDED, memory=settled.memory, reason=verdict.reason, quote=fact.quote)
        )
        stored = {other.memory_id: other for other in others}
        for closed in settled.closed:
            other = stored[closed.memory_id]
            change = InferredChange(
                action=Action.SUPERSEDED, memory=closed, before=other, reason=verdict.reason, quote=fact.quote
            )
            if other.memory_id in self._closed:
                self._changes[self._closed[other.memory_id]] = change
            else:
                self._closed[other.memory_id] = len(self._changes)
                self._changes.append(change)

    def _current(self, memory: Memory) -> Memory:
        at = self._closed.get(memory.memory_id)
        return memory if at is None else self._changes[at].memory


def confidence_of(memory: Memory) -> float:
    """How sure a stored memory is: as recorded, or 1 for one that a caller stated."""
    value = memory.metadata.get(CONFIDENCE_KEY)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 1.0


def _marked(metadata: Mapping[str, MetadataValue], fact: GroundedFact, making: Making) -> dict[str, MetadataValue]:
    return {
        **metadata,
        PROMPT_KEY: making.prompt,
        MODEL_KEY: making.model,
        CONFIDENCE_KEY: round(fact.confidence, 6),
    }
