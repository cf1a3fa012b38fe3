"""Changes of memories: what a mutation wants, and what the log keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from memoir_server.domain.making import maker
from memoir_server.domain.memory import Memory, MemoryKind, Scope
from memoir_server.domain.time import Instant


class EventType(IntEnum):
    """Type of a history event; the numbers are those of the contract."""

    CREATED = 1
    UPDATED = 2
    SUPERSEDED = 3
    DELETED = 4
    EXPIRED = 5
    RESET = 6
    ERASED = 7
    FAILED = 8

    @property
    def removes(self) -> bool:
        """True when the memory is gone after it."""
        return self in (EventType.DELETED, EventType.EXPIRED)


class ActorKind(IntEnum):
    """Kind of an actor; the numbers are those of the contract."""

    CLIENT = 1
    EXTRACTOR = 2
    SYSTEM = 3


@dataclass(frozen=True, slots=True)
class Actor:
    """Who made a change."""

    principal: str = "anonymous"
    kind: ActorKind = ActorKind.CLIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a mutation came from; recorded with each of its changes."""

    actor: Actor = field(default_factory=Actor)
    request_id: str = ""
    traceparent: str = ""
    reset_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A change that has no place in the log yet.

    `after.revision`, `after.update_time` and an EPISODE's `after.turn` are filled in when it is committed. One
    mutation holds at most one draft per memory.
    """

    type: EventType
    memory_id: str
    before: Memory | None = None
    after: Memory | None = None
    reason: str = ""
    keep_facts: bool = False
    """DELETED only: the relations stay in the graph, marked source_removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A committed change: one event of the namespace's log, under a revision of its own."""

    namespace: str
    revision: int
    commit_time: Instant
    type: EventType
    memory_id: str = ""
    before: Memory | None = None
    after: Memory | None = None
    reason: str = ""
    origin: Origin = field(default_factory=Origin)
    keep_facts: bool = False

    @property
    def scope(self) -> Scope | None:
        """Scope of the memory concerned; None when it is not known (RESET, ERASED)."""
        memory = self.after or self.before
        return memory.scope if memory else None


@dataclass(frozen=True, slots=True)
class Head:
    """Newest revision of a namespace and its commit time; revision 0 before the first change."""

    revision: int = 0
    commit_time: Instant = 0


make_draft = maker(Draft)
"""`Draft`, where many are made."""
make_change = maker(Change)
"""`Change`, where many are made."""


def stamp(
    namespace: str, drafts: Sequence[Draft], *, head: Head, now: Instant, origin: Origin, first_turns: Sequence[int]
) -> tuple[Change, ...]:
    """Gives each draft its place in the log (semantics 1): consecutive revisions, and
    commit_time = max(now, previous + 1 us).

    `first_turns[i]` is the turn ordinal for draft i, used where it creates an EPISODE.
    """
    changes = []
    revision, commit_time = head.revision, head.commit_time
    for draft, turn in zip(drafts, first_turns, strict=True):
        revision, commit_time = revision + 1, max(now, commit_time + 1)
        after = draft.after
        if after is not None:
            fresh_episode = draft.type is EventType.CREATED and after.kind is MemoryKind.EPISODE
            after = after.placed(
                namespace=namespace,
                revision=revision,
                update_time=commit_time,
                turn=turn if fresh_episode else after.turn,
            )
        changes.append(
            make_change(
                namespace=namespace,
                revision=revision,
                commit_time=commit_time,
                type=draft.type,
                memory_id=draft.memory_id,
                before=draft.before,
                after=after,
                reason=draft.reason,
                origin=origin,
                keep_facts=draft.keep_facts,
            )
        )
    return tuple(changes)
