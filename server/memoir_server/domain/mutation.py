"""Mutations: what is to be decided inside one ledger transaction, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from memoir_server.domain.change import Change, Draft, Origin
from memoir_server.domain.duplicate import Twin
from memoir_server.domain.embedding import EmbeddingModel, Vector
from memoir_server.domain.ingestion import IngestionEnd, Undisturbed
from memoir_server.domain.memory import Memory
from memoir_server.domain.time import Instant


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """Identity of a request (semantics 7), kept for 24 h, with the SHA-256 of its payload."""

    principal: str
    namespace: str
    method: str
    request_id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Decision:
    """The drafts to commit, in order, and what the caller needs to answer a duplicate of the request alike. `mentions`:
    memories that the outcome names beside those of the drafts; when one of them is erased, the outcome goes too."""

    drafts: Sequence[Draft]
    outcome: bytes = b""
    mentions: Sequence[str] = ()


class Decide(Protocol):
    """Decides a mutation from the current memories. Pure and quick: it runs while the namespace is locked, and once
    more when a job beside it has spoiled their common transaction.

    `found` holds those of the mutation's memory_ids that exist and have not expired, and the memories that match one of
    its twins. A MemoirError it raises undoes the mutation and reaches the caller.
    """

    def __call__(self, found: Mapping[str, Memory]) -> Decision: ...


@dataclass(frozen=True, slots=True)
class ReadyVectors:
    """Vectors that came with memories, by content hash. They are kept in the same transaction, where a version has that
    content and no vector of the model is kept yet: the projector then has nothing to embed."""

    model: EmbeddingModel
    by_content: Mapping[bytes, Vector]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One ledger transaction. Drafts may concern the memories named by `memory_ids` only, not those found as twins.

    `undisturbed`: raises ScopeMoved, before anything is decided, where the condition does not hold.
    `ingestion`: the work that this commit ends; the decision's outcome is kept with it. Raises IngestionLost where
    it is not this attempt's any more: another server has taken it over, or a reset has cancelled it.
    """

    namespace: str
    memory_ids: Sequence[str]
    decide: Decide
    now: Instant
    origin: Origin
    idempotency: IdempotencyKey | None = None
    vectors: ReadyVectors | None = None
    twins: Sequence[Twin] = ()
    undisturbed: Undisturbed | None = None
    ingestion: IngestionEnd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a mutation did. `revision` is that of its last change, or the head where it changed nothing.

    `replayed` is true when a duplicate request got the first one's result; changes erased since are missing then.
    """

    changes: tuple[Change, ...]
    outcome: bytes
    revision: int
    replayed: bool = False
