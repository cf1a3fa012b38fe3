"""Resets: what they remove, how far they are, and the receipt they end with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from memoir_server.domain.filter import Filter
from memoir_server.domain.memory import Scope
from memoir_server.domain.store import StoreKind
from memoir_server.domain.time import Instant


class ResetState(IntEnum):
    """State of a reset; the numbers are those of the contract."""

    PLANNED = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5

    @property
    def terminal(self) -> bool:
        """True when nothing more will happen by itself."""
        return self in (ResetState.SUCCEEDED, ResetState.FAILED, ResetState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetTarget:
    """What is removed. `scope` None means the entire namespace."""

    scope: Scope | None = None
    preserve: Filter | None = None
    include_history: bool = False
    keep_vector: bool = False
    keep_graph: bool = False
    keep_history: bool = False


@dataclass(frozen=True, slots=True)
class StoreEffect:
    """Entries of one store: to remove, and removed so far."""

    store: StoreKind
    planned: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class StoreReceipt:
    """Entries of one store that were removed, and that the probe after it still found."""

    store: StoreKind
    removed: int
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetReceipt:
    """Proof of a finished reset. `digest` = SHA-256(chain before it || canonical receipt), lower-case hex."""

    stores: tuple[StoreReceipt, ...]
    memories: int
    events_erased: int
    complete_time: Instant
    revision: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A planned, running or finished reset.

    `error`: why it FAILED; while it is RUNNING, why it has to wait for the store `waiting_for`.
    """

    namespace: str
    reset_id: str
    target: ResetTarget
    state: ResetState = ResetState.PLANNED
    effects: tuple[StoreEffect, ...] = ()
    sample: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    planned_revision: int = 0
    fence_revision: int = 0
    create_time: Instant = 0
    expire_time: Instant = 0
    error: str = ""
    sequence: int = 0
    receipt: ResetReceipt | None = None
    waiting_for: StoreKind | None = None

    def effect(self, store: StoreKind) -> StoreEffect:
        """The effect on one store; zeros when the reset does not touch it."""
        return next((e for e in self.effects if e.store is store), StoreEffect(store))


@dataclass(frozen=True, slots=True)
class Removal:
    """Versions of one memory that a reset removed: what the projections must no longer hold."""

    memory_id: str
    revisions: Sequence[int] = field(default_factory=tuple)
