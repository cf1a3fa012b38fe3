"""Duplicates: when two memories say the same, and when one may stand for another that is nearly the same.

What a memory says is everything its caller gave, but for times that the server filled in. A turn of a conversation is
another matter: "yes" is said again and again, and each time is a turn of its own. So a turn is the same only when it is
the same message: by its id, or by the moment its caller gave.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from memoir_server.domain.making import maker
from memoir_server.domain.memory import Memory, MemoryKind, MetadataValue, Moment, Provenance
from memoir_server.domain.time import Instant

# Numbers of different types have different bytes, and the bytes do not depend on anything but the values.
_encode: Final = msgspec.msgpack.Encoder().encode

_ANY_TIME: Final = 2**63 - 1
"""`holds_at` of a message: which one it is does not depend on when it began to be true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """The memory that already says what an item of a write says.

    `exact`: it says the same. Otherwise it is near: `cosine` is that of the two texts' vectors, 0 where it was not
    computed. `stored`: the item was stored all the same, since its caller gave it an identity of its own.
    """

    memory_id: str
    exact: bool
    cosine: float = 0.0
    stored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Cosine from which a memory counts as known already, 0 < t <= 1, by namespace; 0: never."""

    default: float = 0.0
    namespaces: Mapping[str, float] = field(default_factory=dict)

    def of(self, namespace: str) -> float:
        """The threshold of a namespace; 0 where its guard is off."""
        return self.namespaces.get(namespace, self.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """Which current memories say the same as a new one.

    `code` is their `said_code`. None as `create_time` or `valid_from`: the request leaves that time to the server, so
    it is not compared; the other memory must hold at `holds_at` then, the moment from which the new one would.
    """

    code: int
    content: bytes
    create_time: Instant | None
    valid_from: Instant | None
    holds_at: Instant

    def matches(self, memory: Memory) -> bool:
        """Whether the memory, which is a current one, says the same."""
        if self.create_time is not None and memory.create_time != self.create_time:
            return False
        if self.valid_from is None:
            held = memory.valid_from is None or memory.valid_from <= self.holds_at
        else:
            held = memory.valid_from == self.valid_from
        # A code is 64 bits of what is compared here. A turn is the same as a message, or as a memory made by a client.
        turn = memory.kind is MemoryKind.EPISODE
        return held and (self.content == _content(memory) or (turn and self.content == _turn(memory)))


_make_twin = maker(Twin)


def twin_of_memory(memory: Memory, *, create_time_given: bool, valid_from_given: bool) -> Twin | None:
    """The twins of a memory made by a client; None for a turn that nothing tells from another with the same words."""
    if memory.kind is MemoryKind.EPISODE and not (create_time_given or _first(memory).message_id):
        return None
    content = _content(memory)
    return _make_twin(
        code=said_code(memory) if memory.kind is MemoryKind.EPISODE else memory.said_code(lambda _: _code(content)),
        content=content,
        create_time=memory.create_time if create_time_given else None,
        valid_from=memory.valid_from if valid_from_given else None,
        holds_at=0 if memory.valid_from is None else memory.valid_from,
    )


def twin_of_message(episode: Memory, *, create_time_given: bool) -> Twin | None:
    """The twins of a message, as the EPISODE it would become: the same message sent again. None when it has neither an
    id nor a time of its own. Metadata does not count: it says nothing of which message this is."""
    named = bool(_first(episode).message_id)
    if not (named or create_time_given):
        return None
    content = _identity(episode)
    return Twin(
        code=_code(content),
        content=content,
        create_time=None if named else episode.create_time,
        valid_from=None,
        holds_at=_ANY_TIME,
    )


def said_code(memory: Memory) -> int:
    """64 bits that are equal for memories that say the same, signed. Of two with the same code, compare the rest."""
    return memory.said_code(_computed_code)


def stands_for(known: Memory, new: Memory) -> bool:
    """Whether a memory with a text near enough leaves nothing out that the new one says of time: same owner and kind,
    true at least as long, kept at least as long."""
    return (
        known.kind is new.kind
        and known.scope.owner == new.scope.owner
        and (known.valid_from is None or (new.valid_from is not None and known.valid_from <= new.valid_from))
        and _not_before(known.valid_until, new.valid_until)
        and _not_before(known.expire_time, new.expire_time)
    )


def _not_before(end: Instant | None, other: Instant | None) -> bool:
    """Whether one end is not earlier than the other; None is no end."""
    return end is None or (other is not None and end >= other)


def _computed_code(memory: Memory) -> int:
    return _code(_identity(memory))


def _code(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big", signed=True)


def _identity(memory: Memory) -> bytes:
    return _turn(memory) if memory.kind is MemoryKind.EPISODE else _content(memory)


def _turn(memory: Memory) -> bytes:
    """Which message of which conversation."""
    first = _first(memory)
    return _encode(
        (_scope(memory), first.role, first.actor_id, _text(memory.text), first.message_id or memory.create_time)
    )


def _content(memory: Memory) -> bytes:
    """Everything a caller says, but for the two times that the server may fill in."""
    provenance, entities, relations = memory.provenance, memory.entities, memory.relations
    return _encode(
        (
            int(memory.kind),
            _scope(memory),
            _text(memory.text),
            # An empty tuple has the bytes of an empty list, and most memories have no more.
            [(name, _value(value)) for name, value in sorted(memory.metadata.items())] if memory.metadata else (),
            _number(memory.importance),
            memory.valid_until,
            memory.expire_time,
            provenance
            and [(p.session_id, p.message_id, p.role, p.actor_id, p.quote, p.create_time) for p in provenance],
            entities and [(e.name, e.type, e.aliases) for e in entities],
            relations
            and [
                (r.subject, r.predicate, r.object, _number(r.confidence), r.valid_from, r.valid_until)
                for r in relations
            ],
        )
    )


def _scope(memory: Memory) -> tuple[str | None, ...]:
    scope = memory.scope
    return (scope.user_id, scope.agent_id, scope.session_id)


def _text(text: str) -> str:
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()


def _value(value: MetadataValue) -> Any:
    return {"at": value.instant} if isinstance(value, Moment) else value


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _first(memory: Memory) -> Provenance:
    return memory.provenance[0] if memory.provenance else Provenance()
