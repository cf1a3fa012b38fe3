"""Records of exports and results of imports."""

from dataclasses import dataclass, field
from typing import TypeAlias

from memoir.enums import CHANGE_ACTION, ChangeAction
from memoir.errors import MemoirError, error_from_status
from memoir.history_events import HistoryEvent, history_event_from_proto
from memoir.memory import Memory, memory_from_proto
from memoir.v1 import transfer_pb2


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """First record of an export."""

    revision: int
    estimated_memories: int
    resume_token: str


@dataclass(frozen=True, slots=True)
class Embedding:
    """A vector of unit norm and the model it came from."""

    model: str
    version: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ExportedMemory:
    """A memory of an export, with its vector when that was asked for."""

    memory: Memory
    embedding: Embedding | None
    resume_token: str
    message: transfer_pb2.ExportedMemory = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Last record of an export, with its totals, resumed parts included."""

    memories: int
    events: int
    resume_token: str


ExportRecord: TypeAlias = ExportHeader | ExportedMemory | HistoryEvent | ExportSummary


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Outcome of one imported item: exactly one of `action` and `error` is set."""

    sequence: int
    memory_id: str
    action: ChangeAction | None
    error: MemoirError | None
    revision: int


def export_record_from_proto(message: transfer_pb2.ExportMemoriesResponse) -> ExportRecord | None:
    """Convert a record; None for a kind this package does not know."""
    token = message.resume_token
    match message.WhichOneof("record"):
        case "header":
            return ExportHeader(message.header.revision, message.header.estimated_memories, token)
        case "memory":
            exported = message.memory
            vector = exported.embedding
            embedding = (
                Embedding(vector.model, vector.version, tuple(vector.values))
                if exported.HasField("embedding")
                else None
            )
            return ExportedMemory(memory_from_proto(exported.memory), embedding, token, exported)
        case "event":
            return history_event_from_proto(message.event, token)
        case "summary":
            return ExportSummary(message.summary.memories, message.summary.events, token)
        case _:
            return None


def import_result_from_proto(message: transfer_pb2.ImportMemoriesResponse) -> ImportResult:
    """Convert the result of one item."""
    failed = message.HasField("error")
    return ImportResult(
        message.sequence,
        message.memory_id,
        None if failed else CHANGE_ACTION.decode(message.action),
        error_from_status(message.error) if failed else None,
        message.revision,
    )
