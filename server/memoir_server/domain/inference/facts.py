"""Facts that hold: what is left of an extraction once quotes are found, dates checked and the policy applied."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from memoir_server.domain.inference.dating import Validity, validity_of
from memoir_server.domain.inference.extraction import Extraction, Fact, ForgetRequest
from memoir_server.domain.inference.folding import fold
from memoir_server.domain.inference.grounding import Grounding, Source, Ungrounded
from memoir_server.domain.inference.policy import Policy
from memoir_server.domain.inference.turns import Turn
from memoir_server.domain.memory import EntityMention, Memory, MemoryKind, RelationStatement, Role
from memoir_server.domain.time import Instant


class DropReason(Enum):
    """Why something the model handed over was left out; the value is a sentence for the caller."""

    QUOTE_NOT_FOUND = "its quote does not occur in the conversation"
    QUOTE_TOO_SHORT = "its quote has fewer than three words and is not a whole message"
    KIND_NOT_WANTED = "its kind is one that the namespace does not keep"
    PERSONAL_DATA = "it speaks of personal data or a secret that the namespace does not keep"
    SAID_TWICE = "another fact of the same answer says it"
    NOT_THE_USERS_REQUEST = "only a user may ask to forget, and the quoted words are not a user's"


_UNGROUNDED: Final = {
    Ungrounded.NOT_FOUND: DropReason.QUOTE_NOT_FOUND,
    Ungrounded.TOO_SHORT: DropReason.QUOTE_TOO_SHORT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Something that was left out: its text and quote as the model gave them, what the policy hides masked, and why."""

    text: str
    quote: str
    reason: DropReason


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundedFact:
    """A fact whose words stand in the conversation.

    `sources` are the places, at least one; the first is where it is taken from. `key` is equal for facts that say the
    same in the same words.
    """

    text: str
    kind: MemoryKind
    importance: float
    confidence: float
    validity: Validity
    sources: tuple[Grounding, ...]
    entities: tuple[EntityMention, ...] = ()
    relations: tuple[RelationStatement, ...] = ()

    @property
    def key(self) -> bytes:
        """SHA-256 of the text as it is compared."""
        return fact_key(self.text)

    @property
    def quote(self) -> str:
        """The words it is taken from."""
        return self.sources[0].quote

    @property
    def said(self) -> Instant:
        """When it was said."""
        return self.sources[0].turn.said


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundedRequest:
    """A user's request to forget something, whose words stand in a message of the user."""

    what: str
    source: Grounding


@dataclass(frozen=True, slots=True)
class Settled:
    """What holds of an extraction, and what was left out of it."""

    facts: tuple[GroundedFact, ...] = ()
    forget: tuple[GroundedRequest, ...] = ()
    dropped: tuple[Dropped, ...] = ()


def fact_key(text: str) -> bytes:
    """SHA-256 of a text as facts are compared: folded, in one case, without a full stop at its end."""
    return hashlib.sha256(fold(text).casefold().rstrip(".。!！ ").encode("utf-8", "replace")).digest()


def settle(extraction: Extraction, turns: Sequence[Turn], policy: Policy) -> Settled:
    """Settles what was extracted from one window.

    Args:
        extraction: As read, without problems.
        turns: The messages of the window, as the model saw them.
        policy: What may be remembered.
    """
    source = Source(turns)
    facts: list[GroundedFact] = []
    dropped: list[Dropped] = []
    for fact in extraction.facts:
        settled = _settled(fact, source, policy)
        if isinstance(settled, DropReason):
            dropped.append(_left_out(fact.text, fact.quote, settled, policy))
        else:
            facts.append(settled)
    forget: list[GroundedRequest] = []
    for request in extraction.forget:
        asked = _request(request, source)
        if isinstance(asked, DropReason):
            dropped.append(_left_out(request.what, request.quote, asked, policy))
        else:
            forget.append(asked)
    return Settled(tuple(facts), tuple(forget), tuple(dropped))


def merge(parts: Iterable[Settled]) -> Settled:
    """The parts of all windows as one: facts that say the same at the same time become one with all their sources."""
    facts: dict[bytes, list[GroundedFact]] = {}
    order: list[tuple[bytes, int]] = []
    forget: dict[str, GroundedRequest] = {}
    dropped: list[Dropped] = []
    for part in parts:
        dropped.extend(part.dropped)
        for request in part.forget:
            forget.setdefault(fold(request.what).casefold(), request)
        for fact in part.facts:
            same = facts.setdefault(fact.key, [])
            twin = next((at for at, other in enumerate(same) if _overlap(fact.validity, other.validity)), None)
            if twin is None:
                order.append((fact.key, len(same)))
                same.append(fact)
            else:
                same[twin] = _joined(same[twin], fact)
                dropped.append(Dropped(text=fact.text, quote=fact.quote, reason=DropReason.SAID_TWICE))
    return Settled(tuple(facts[key][at] for key, at in order), tuple(forget.values()), tuple(dropped))


_SAME_DAY: Final = 86_400_000_000
"""Microseconds."""


def says_already(memory: Memory, fact: GroundedFact) -> bool:
    """Whether a stored memory of the same owner says the fact in the same words, and holds at least as long.

    A fact without a date of its own is true from when it was said, and when that was is no part of what it says: of two
    messages sent at the same time either may be stored first. So it may begin up to a day before the memory."""
    begin, end = fact.validity.valid_from, fact.validity.valid_until
    slack = 0 if fact.validity.dated else _SAME_DAY
    held = memory.valid_from is None or (begin is not None and memory.valid_from <= begin + slack)
    lasting = memory.valid_until is None or (end is not None and memory.valid_until >= end)
    return memory.kind is not MemoryKind.EPISODE and held and lasting and fact_key(memory.text) == fact.key


def _left_out(text: str, quote: str, reason: DropReason, policy: Policy) -> Dropped:
    # A model may make up a key as well as any other word.
    return Dropped(text=policy.cleared(text), quote=policy.cleared(quote), reason=reason)


def _settled(fact: Fact, source: Source, policy: Policy) -> GroundedFact | DropReason:
    place = source.ground(fact.quote, fact.message)
    if isinstance(place, Ungrounded):
        return _UNGROUNDED[place]
    if fact.kind not in policy.kinds:
        return DropReason.KIND_NOT_WANTED
    if policy.refuses(fact.text) is not None:
        return DropReason.PERSONAL_DATA
    entities = tuple(entity for entity in fact.entities if _may_be_named(entity.name, policy))
    relations = tuple(
        relation
        for relation in fact.relations
        if _may_be_named(relation.subject, policy) and _may_be_named(relation.object, policy)
    )
    validity = validity_of(
        when=fact.when, valid_from=fact.valid_from, valid_until=fact.valid_until, said=place.turn.said
    )
    return GroundedFact(
        text=policy.cleared(fact.text),
        kind=fact.kind,
        importance=fact.importance,
        confidence=fact.confidence,
        validity=validity,
        sources=(place,),
        entities=entities,
        relations=relations,
    )


def _may_be_named(name: str, policy: Policy) -> bool:
    return policy.refuses(name) is None and policy.cleared(name) == name


def _request(request: ForgetRequest, source: Source) -> GroundedRequest | DropReason:
    place = source.ground(request.quote, request.message)
    if isinstance(place, Ungrounded):
        return _UNGROUNDED[place]
    if place.turn.role is not Role.USER or place.passage != 0:
        return DropReason.NOT_THE_USERS_REQUEST
    return GroundedRequest(what=request.what, source=place)


def _overlap(a: Validity, b: Validity) -> bool:
    begin = max(float("-inf") if v.valid_from is None else v.valid_from for v in (a, b))
    end = min(float("inf") if v.valid_until is None else v.valid_until for v in (a, b))
    return begin < end


def _joined(first: GroundedFact, other: GroundedFact) -> GroundedFact:
    return replace(
        first,
        importance=max(first.importance, other.importance),
        confidence=max(first.confidence, other.confidence),
        sources=tuple(dict.fromkeys((*first.sources, *other.sources))),
        entities=tuple(dict.fromkeys((*first.entities, *other.entities))),
        relations=tuple(dict.fromkeys((*first.relations, *other.relations))),
    )
