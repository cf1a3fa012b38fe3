"""Ingestions: inference work that was accepted, and goes on after the call that brought it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from memoir_server.domain.memory import Scope
from memoir_server.domain.time import Instant


class IngestionState(IntEnum):
    """What has become of the work. The numbers are the contract's."""

    PENDING = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4

    @property
    def terminal(self) -> bool:
        """Whether it stays like that."""
        return self in (IngestionState.SUCCEEDED, IngestionState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingestion:
    """Accepted work on one conversation.

    Attributes:
        work: What is to be done, as the service wrote it down; empty once it is done or given up, so that nobody's
            words are kept for nothing.
        attempts: How often a server has begun it. While it is RUNNING, also the token of the server that is at it.
        due: Not before this moment is it begun (again).
        first, last: Revisions of its changes; first > last where it made none.
        outcome: What the service needs to tell of those changes.
        revision: Of its commit; 0 before.
        error: Why the last attempt failed, or why it was given up.
    """

    namespace: str
    ingestion_id: str
    scope: Scope
    state: IngestionState = IngestionState.PENDING
    create_time: Instant
    update_time: Instant
    due: Instant
    attempts: int = 0
    work: bytes = b""
    first: int = 1
    last: int = 0
    revision: int = 0
    outcome: bytes = b""
    error: str = ""


@dataclass(frozen=True, slots=True)
class IngestionEnd:
    """That a commit ends an ingestion which this server is at, in the same transaction: SUCCEEDED, or FAILED with the
    reason where the commit keeps the messages as they are because inference was given up."""

    ingestion_id: str
    attempt: int
    error: str = ""

    @property
    def state(self) -> IngestionState:
        """How it ends."""
        return IngestionState.FAILED if self.error else IngestionState.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """The condition that no memory of an owner, but for EPISODEs, was written after a revision: what a mutation decides
    rests on all that was known of the owner by then."""

    scope: Scope
    revision: int
