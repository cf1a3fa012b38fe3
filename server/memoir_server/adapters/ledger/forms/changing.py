"""What follows from a mutation, whatever the store: which versions drafts replace, what an event's row holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from memoir_server.adapters.ledger.forms.chain import SALT_BYTES, digest_of, link, payload_of
from memoir_server.adapters.ledger.forms.encoding import encode_detail
from memoir_server.adapters.ledger.forms.layout import NOT_EXPIRING, key_of
from memoir_server.domain.change import Change, Draft, EventType
from memoir_server.domain.memory import Memory, MemoryKind, Scope

IDEMPOTENCY_US: Final = 24 * 3600 * 1_000_000
"""How long a request is remembered (semantics 7)."""

Entropy: TypeAlias = Callable[[int], bytes]
"""Makes that many unpredictable bytes."""

EventRow: TypeAlias = tuple[int, int, int, str, int, int | None, bytes, bytes, bytes]
"""(key, commit_time, type, memory_id, born, key of the version before, detail, salt, digest)."""


@dataclass(frozen=True, slots=True)
class Current:
    """The current version of a memory, and what its row knows beside it."""

    memory: Memory
    born: int
    gone: int


@dataclass(frozen=True, slots=True)
class Replay:
    """What the idempotency record of an earlier request says."""

    first: int
    last: int
    revision: int
    outcome: bytes


def with_before(draft: Draft, current: Mapping[str, Current]) -> Draft:
    """The draft with the version that it replaces, as the ledger has it. Raises ValueError when that does not fit."""
    found = current.get(draft.memory_id)
    if draft.type is EventType.CREATED:
        if found is not None:
            raise ValueError(f"draft creates memory {draft.memory_id!r}, which exists")
        return draft
    if draft.type in (EventType.FAILED, EventType.RESET):
        return draft
    if found is None:
        if draft.type is EventType.DELETED and draft.before is None:
            return draft
        raise ValueError(f"draft changes memory {draft.memory_id!r}, which does not exist")
    if draft.before is None or draft.before.revision != found.memory.revision:
        return replace(draft, before=found.memory)
    return draft


def births_of(changes: Sequence[Change], current: Mapping[str, Current], born: int) -> list[int]:
    """For each change the revision that created its memory; `born` for memories that do not exist."""
    return [
        c.revision if c.type is EventType.CREATED else current[c.memory_id].born if c.memory_id in current else born
        for c in changes
    ]


def episode_scopes(drafts: Sequence[Draft]) -> list[Scope | None]:
    """The scope of each draft that creates an EPISODE, which is to get a turn; None for the others."""
    return [
        d.after.scope
        if d.after is not None and d.type is EventType.CREATED and d.after.kind is MemoryKind.EPISODE
        else None
        for d in drafts
    ]


def dealt_turns(scopes: Sequence[Scope | None], following: dict[Scope, int]) -> list[int]:
    """The turn of each, counted on from the next one of its scope; 0 where there is none. `following` is used up."""
    turns = []
    for scope in scopes:
        if scope is None:
            turns.append(0)
        else:
            turns.append(following[scope])
            following[scope] += 1
    return turns


def event_rows(
    ns: int,
    chain: bytes,
    changes: Sequence[Change],
    births: Sequence[int],
    bodies: Sequence[bytes | None],
    entropy: Entropy,
) -> tuple[list[EventRow], bytes]:
    """The rows of the log, and the chain up to the last of them."""
    salts = entropy(SALT_BYTES * len(changes))
    rows: list[EventRow] = []
    details: dict[tuple[str, bool], bytes] = {}
    for position, change in enumerate(changes):
        salt = salts[position * SALT_BYTES : (position + 1) * SALT_BYTES]
        # All changes of a mutation have one origin, and most the same reason.
        detail = details.get((change.reason, change.keep_facts))
        if detail is None:
            detail = encode_detail(change.reason, change.origin, change.keep_facts)
            details[change.reason, change.keep_facts] = detail
        before = 0 if change.before is None else change.before.revision
        text = None if change.after is None else change.after.text
        payload = payload_of(
            change.revision, change.commit_time, change.type, change.memory_id, before, detail, text, bodies[position]
        )
        digest = digest_of(salt, payload)
        chain = link(chain, change.revision, digest)
        rows.append(
            (
                key_of(ns, change.revision),
                change.commit_time,
                int(change.type),
                change.memory_id,
                births[position],
                key_of(ns, before) if before else None,
                detail,
                salt,
                digest,
            )
        )
    return rows, chain


def gone_time(memory: Memory) -> int:
    """Instant from which the memory is hidden, as long as this is its current version."""
    return NOT_EXPIRING if memory.expire_time is None else memory.expire_time


def content_of(content_hash: bytes) -> int:
    """The part of a content hash that versions are found by."""
    return int.from_bytes(content_hash[:8], "big", signed=True)
