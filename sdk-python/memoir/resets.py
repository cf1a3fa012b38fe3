"""Resets: plans, progress and receipts."""

from dataclasses import dataclass, field, fields
from datetime import datetime

from memoir.enums import RESET_STATE, STORE_KIND, ResetState, StoreKind
from memoir.errors import MemoirError, error_from_status
from memoir.v1 import reset_pb2
from memoir.values import Scope, datetime_from_proto, scope_from_proto


@dataclass(frozen=True, slots=True)
class ResetTarget:
    """What is removed: the memories of a scope, or of the whole namespace named in `entire_namespace`."""

    scope: Scope | None
    entire_namespace: str | None
    include_history: bool
    keep_vector: bool
    keep_graph: bool
    keep_history: bool
    message: reset_pb2.ResetTarget = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class StoreEffect:
    """Entries of one store: to remove, and removed so far."""

    store: StoreKind
    planned: int
    removed: int


@dataclass(frozen=True, slots=True)
class StoreReceipt:
    """What one store had and has."""

    store: StoreKind
    removed: int
    remaining: int


@dataclass(frozen=True, slots=True)
class ResetReceipt:
    """Proof of a finished reset; `digest` is the SHA-256 that chains it into the ledger, lower-case hex."""

    stores: tuple[StoreReceipt, ...]
    memories: int
    events_erased: int
    complete_time: datetime | None
    revision: int
    digest: str


@dataclass(frozen=True, slots=True)
class Reset:
    """A planned, running or finished removal.

    Attributes:
        sample_memory_ids: up to 100 ids that would be removed. warnings: cautions for a human.
        planned_revision: revision the plan was made at. fence_revision: everything of the target up to it is gone.
        expire_time: from then on the plan can no longer be executed.
        error: set when FAILED; while RUNNING, when the clean-up waits for a store. receipt: set when SUCCEEDED.
    """

    id: str
    namespace: str
    target: ResetTarget
    state: ResetState
    effects: tuple[StoreEffect, ...]
    sample_memory_ids: tuple[str, ...]
    warnings: tuple[str, ...]
    planned_revision: int
    fence_revision: int
    create_time: datetime | None
    expire_time: datetime | None
    error: MemoirError | None
    sequence: int
    receipt: ResetReceipt | None
    message: reset_pb2.Reset = field(repr=False, compare=False)

    @property
    def done(self) -> bool:
        """True in a state from which nothing follows by itself."""
        return self.state in (ResetState.SUCCEEDED, ResetState.FAILED, ResetState.CANCELLED)


@dataclass(frozen=True, slots=True)
class ExecutedReset(Reset):
    """A reset as `execute_reset` started it.

    Attributes:
        revision: namespace revision of the fence; pass as `min_revision` to a read to see it done.
        response: the response as received.
    """

    revision: int
    response: reset_pb2.ExecuteResetResponse = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """What a reset would remove, and the secret that executes it: pass the plan to `execute_reset`."""

    reset: Reset
    confirm_token: str = field(repr=False)

    @property
    def counts(self) -> dict[StoreKind, int]:
        """Entries to remove, by store."""
        return {effect.store: effect.planned for effect in self.reset.effects}

    @property
    def sample(self) -> tuple[str, ...]:
        """Up to 100 ids of memories that would be removed."""
        return self.reset.sample_memory_ids

    @property
    def warnings(self) -> tuple[str, ...]:
        """Cautions for a human."""
        return self.reset.warnings


def reset_from_proto(message: reset_pb2.Reset) -> Reset:
    """Convert a reset."""
    target = message.target
    return Reset(
        message.reset_id,
        message.namespace,
        ResetTarget(
            scope_from_proto(target.scope) if target.HasField("scope") else None,
            target.entire_namespace if target.HasField("entire_namespace") else None,
            target.include_history,
            target.keep_vector,
            target.keep_graph,
            target.keep_history,
            target,
        ),
        RESET_STATE.decode(message.state),
        tuple([StoreEffect(STORE_KIND.decode(item.store), item.planned, item.removed) for item in message.effects]),
        tuple(message.sample_memory_ids),
        tuple(message.warnings),
        message.planned_revision,
        message.fence_revision,
        datetime_from_proto(message.create_time) if message.HasField("create_time") else None,
        datetime_from_proto(message.expire_time) if message.HasField("expire_time") else None,
        error_from_status(message.error) if message.HasField("error") else None,
        message.sequence,
        receipt_from_proto(message.receipt) if message.HasField("receipt") else None,
        message,
    )


def executed_from_proto(response: reset_pb2.ExecuteResetResponse) -> ExecutedReset:
    """Convert the response of ExecuteReset."""
    reset = reset_from_proto(response.reset)
    shared = {item.name: getattr(reset, item.name) for item in fields(Reset)}
    return ExecutedReset(**shared, revision=response.revision, response=response)


def receipt_from_proto(message: reset_pb2.ResetReceipt) -> ResetReceipt:
    """Convert a receipt."""
    return ResetReceipt(
        tuple([StoreReceipt(STORE_KIND.decode(item.store), item.removed, item.remaining) for item in message.stores]),
        message.memories,
        message.events_erased,
        datetime_from_proto(message.complete_time) if message.HasField("complete_time") else None,
        message.revision,
        message.digest,
    )
