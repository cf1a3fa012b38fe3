"""Results of writes and of listings other than memories."""

from dataclasses import dataclass, field
from datetime import datetime

from memoir.enums import (
    ADD_MODE,
    DROP_REASON,
    DURABILITY,
    INGESTION_STATE,
    AddMode,
    DropReason,
    Durability,
    IngestionState,
)
from memoir.errors import MemoirError, error_from_status
from memoir.memory import (
    Duplicate,
    Memory,
    MemoryChange,
    change_from_proto,
    duplicate_from_proto,
    memory_from_proto,
)
from memoir.v1 import memory_pb2
from memoir.values import Scope, datetime_from_proto, scope_from_proto


@dataclass(frozen=True, slots=True)
class InferenceUsage:
    """What inference cost, tokens as the provider counts them."""

    llm_calls: int
    prompt_tokens: int
    completion_tokens: int
    model: str


@dataclass(frozen=True, slots=True)
class DroppedFact:
    """A statement, or a request to forget, that a model took from the conversation and that was left out."""

    text: str
    quote: str
    reason: DropReason


@dataclass(frozen=True, slots=True)
class AddResult:
    """What `add` did.

    Attributes:
        changes: decisions in order. mode: the mode that ran.
        revision: pass as `min_revision` to a read to see this write. durability: how far the write has got.
        usage: None where no model was asked. ingestion_id: set when the work goes on (see `get_ingestion`).
        dropped: what a model handed over and the server did not take.
    """

    changes: tuple[MemoryChange, ...]
    mode: AddMode
    revision: int
    durability: Durability
    usage: InferenceUsage | None
    ingestion_id: str
    dropped: tuple[DroppedFact, ...]
    message: memory_pb2.AddMemoriesResponse = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class BatchItem:
    """Outcome of one item of a batch: exactly one of `memory` and `error` is set. `duplicate` is set when a memory said
    this already; unless `duplicate.stored`, `memory` is that memory."""

    memory: Memory | None
    error: MemoirError | None
    duplicate: Duplicate | None


@dataclass(frozen=True, slots=True)
class CreateManyResult:
    """What `create_many` did, one entry of `results` per item in order."""

    results: tuple[BatchItem, ...]
    revision: int
    durability: Durability
    message: memory_pb2.BatchCreateMemoriesResponse = field(repr=False, compare=False)

    @property
    def memories(self) -> tuple[Memory, ...]:
        """The memories as they are stored, those that were known already included."""
        return tuple(item.memory for item in self.results if item.memory is not None)

    @property
    def duplicate_guard_skipped(self) -> bool:
        """True when near duplicates are to be passed over here, and the server could not look for them."""
        return self.message.duplicate_guard_skipped


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What `delete` and `delete_many` did; revision is 0 when nothing was there and that was allowed. `derived`, of
    `delete` only: memories that were taken from the message of the EPISODE that was deleted; they stay."""

    deleted_count: int
    revision: int
    durability: Durability
    derived: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScopeSummary:
    """How many memories a user, agent or session has now."""

    scope: Scope
    memory_count: int
    last_create_time: datetime | None
    message: memory_pb2.ScopeSummary = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Ingestion:
    """Inference work that goes on after its call returned; `error` is set once FAILED."""

    id: str
    scope: Scope
    state: IngestionState
    create_time: datetime | None
    update_time: datetime | None
    changes: tuple[MemoryChange, ...]
    error: MemoirError | None
    usage: InferenceUsage | None
    revision: int
    attempts: int
    message: memory_pb2.Ingestion = field(repr=False, compare=False)


def usage_from_proto(message: memory_pb2.InferenceUsage) -> InferenceUsage:
    """Convert a usage."""
    return InferenceUsage(message.llm_calls, message.prompt_tokens, message.completion_tokens, message.model)


def add_result_from_proto(message: memory_pb2.AddMemoriesResponse) -> AddResult:
    """Convert the response of AddMemories."""
    return AddResult(
        tuple([change_from_proto(change) for change in message.changes]),
        ADD_MODE.decode(message.mode),
        message.revision,
        DURABILITY.decode(message.durability),
        usage_from_proto(message.usage) if message.HasField("usage") else None,
        message.ingestion_id,
        tuple([DroppedFact(each.text, each.quote, DROP_REASON.decode(each.reason)) for each in message.dropped]),
        message,
    )


def create_many_result_from_proto(message: memory_pb2.BatchCreateMemoriesResponse) -> CreateManyResult:
    """Convert the response of BatchCreateMemories."""
    return CreateManyResult(
        tuple(
            [
                BatchItem(
                    memory_from_proto(item.memory) if item.HasField("memory") else None,
                    None if item.HasField("memory") else error_from_status(item.error),
                    duplicate_from_proto(item.duplicate) if item.HasField("duplicate") else None,
                )
                for item in message.results
            ]
        ),
        message.revision,
        DURABILITY.decode(message.durability),
        message,
    )


def scope_summary_from_proto(message: memory_pb2.ScopeSummary) -> ScopeSummary:
    """Convert a scope summary."""
    return ScopeSummary(
        scope_from_proto(message.scope),
        message.memory_count,
        datetime_from_proto(message.last_create_time) if message.HasField("last_create_time") else None,
        message,
    )


def ingestion_from_proto(message: memory_pb2.Ingestion) -> Ingestion:
    """Convert an ingestion."""
    return Ingestion(
        message.ingestion_id,
        scope_from_proto(message.scope),
        INGESTION_STATE.decode(message.state),
        datetime_from_proto(message.create_time) if message.HasField("create_time") else None,
        datetime_from_proto(message.update_time) if message.HasField("update_time") else None,
        tuple([change_from_proto(change) for change in message.changes]),
        error_from_status(message.error) if message.HasField("error") else None,
        usage_from_proto(message.usage) if message.HasField("usage") else None,
        message.revision,
        message.attempts,
        message,
    )
