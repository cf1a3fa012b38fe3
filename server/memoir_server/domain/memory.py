"""The memory and what it is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from memoir_server.domain.making import maker
from memoir_server.domain.time import Instant

NEVER = 2**53 - 1
"""`retired` of a version that is still current: the largest integer that every store and JSON keep exactly."""


class MemoryKind(IntEnum):
    """Kind of a memory; the numbers are those of the contract."""

    FACT = 1
    PREFERENCE = 2
    EVENT = 3
    PROCEDURE = 4
    SUMMARY = 5
    EPISODE = 6


class Role(IntEnum):
    """Role of a speaker; the numbers are those of the contract."""

    UNSPECIFIED = 0
    USER = 1
    ASSISTANT = 2
    SYSTEM = 3
    TOOL = 4


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory something is. None matches anything."""

    user_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None

    def covers(self, other: Scope) -> bool:
        """True when every id set here is the same there."""
        return (
            (self.user_id is None or self.user_id == other.user_id)
            and (self.agent_id is None or self.agent_id == other.agent_id)
            and (self.session_id is None or self.session_id == other.session_id)
        )

    @property
    def empty(self) -> bool:
        """True when nothing is set, so that everything is covered."""
        return self.user_id is None and self.agent_id is None and self.session_id is None

    @property
    def owner(self) -> Scope:
        """The scope without its session: whom entities belong to."""
        return Scope(self.user_id, self.agent_id)


@dataclass(frozen=True, slots=True)
class Moment:
    """A timestamp as a metadata value, kept apart from integers."""

    instant: Instant


MetadataValue: TypeAlias = str | int | float | bool | Moment | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The message a memory was taken from."""

    session_id: str = ""
    message_id: str = ""
    role: Role = Role.UNSPECIFIED
    actor_id: str = ""
    quote: str = ""
    create_time: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityMention:
    """An entity as one memory names it."""

    name: str
    type: str = "thing"
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationStatement:
    """A directed, dated statement between two entities of one memory, by their names."""

    subject: str
    predicate: str
    object: str
    confidence: float = 1.0
    valid_from: Instant | None = None
    valid_until: Instant | None = None


class _Lasting:
    """Lets caches refer to an object without keeping it, and keeps what was computed from it: a memory says the same
    for as long as it is that object."""

    __slots__ = ("__weakref__", "_content_hash", "_said_code")

    _content_hash: bytes
    _said_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(_Lasting):
    """One version of a memory. A version never changes; a change makes a new one under a new revision."""

    namespace: str
    memory_id: str
    text: str
    kind: MemoryKind = MemoryKind.FACT
    scope: Scope = field(default_factory=Scope)
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    importance: float | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    expire_time: Instant | None = None
    create_time: Instant = 0
    update_time: Instant = 0
    provenance: tuple[Provenance, ...] = ()
    entities: tuple[EntityMention, ...] = ()
    relations: tuple[RelationStatement, ...] = ()
    revision: int = 0
    supersedes: tuple[str, ...] = ()
    superseded_by: str = ""
    turn: int = 0
    """Ordinal of an EPISODE among those of its scope (user, agent, session), from 1; 0 for other kinds. Neighbouring
    turns are those with ordinals one apart. Not part of the contract."""

    def placed(self, *, namespace: str, revision: int, update_time: Instant, turn: int) -> Memory:
        """The version as it stands in the log."""
        placed = make_memory(
            namespace=namespace,
            memory_id=self.memory_id,
            text=self.text,
            kind=self.kind,
            scope=self.scope,
            metadata=self.metadata,
            importance=self.importance,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            expire_time=self.expire_time,
            create_time=self.create_time,
            update_time=update_time,
            provenance=self.provenance,
            entities=self.entities,
            relations=self.relations,
            revision=revision,
            supersedes=self.supersedes,
            superseded_by=self.superseded_by,
            turn=turn,
        )
        # Its place is no part of what it says.
        try:
            object.__setattr__(placed, "_content_hash", self._content_hash)
            object.__setattr__(placed, "_said_code", self._said_code)
        except AttributeError:
            # Nobody has asked for it yet.
            return placed
        return placed

    @property
    def etag(self) -> str:
        """Strong entity tag: the quoted revision."""
        return f'"{self.revision}"'

    @property
    def speaker(self) -> str:
        """Who said it, as far as one message tells; empty when unknown or several."""
        if not self.provenance:
            return ""
        speaker = self.provenance[0].actor_id
        return speaker if all(p.actor_id == speaker for p in self.provenance[1:]) else ""

    @property
    def indexed_text(self) -> str:
        """What is embedded and analysed: the text, after the speaker's name where there is one."""
        return f"{self.speaker}: {self.text}" if self.speaker else self.text

    @property
    def content_hash(self) -> bytes:
        """SHA-256 of `indexed_text`: equal hash, equal vector."""
        try:
            return self._content_hash
        except AttributeError:
            computed = hashlib.sha256(self.indexed_text.encode()).digest()
            object.__setattr__(self, "_content_hash", computed)
            return computed

    def said_code(self, compute: Callable[[Memory], int]) -> int:
        """What `compute` makes of the memory, computed once: see `domain.duplicate.said_code`."""
        try:
            return self._said_code
        except AttributeError:
            computed = compute(self)
            object.__setattr__(self, "_said_code", computed)
            return computed

    def expired(self, now: Instant) -> bool:
        """True from expire_time on."""
        return self.expire_time is not None and self.expire_time <= now

    def valid(self, at: Instant) -> bool:
        """True when valid_from <= at < valid_until; a missing bound does not bind."""
        return (self.valid_from is None or self.valid_from <= at) and (
            self.valid_until is None or at < self.valid_until
        )


make_memory = maker(Memory)
"""`Memory`, where many are made."""
make_scope = maker(Scope)
"""`Scope`, where many are made."""
