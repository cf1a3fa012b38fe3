"""Enumerations of the contract as strings, and their translation to numbers.

Member values are the contract's names without the enum's prefix ("FACT" for MEMORY_KIND_FACT). They are open: a number
this package has no name for is carried as its decimal text ("17") and goes back to the server unchanged.
"""

from enum import StrEnum
from typing import Any, Final, Generic, Self, TypeVar

from memoir.errors import invalid
from memoir.v1 import admin_pb2, common_pb2, history_pb2, memory_pb2, reset_pb2, search_pb2, transfer_pb2

__all__ = [
    "ActorKind",
    "AddMode",
    "BreakerState",
    "ChangeAction",
    "DropReason",
    "Durability",
    "EventType",
    "FindingKind",
    "Fusion",
    "IngestionState",
    "MemoryKind",
    "MemoryView",
    "OnConflict",
    "PhaseOutcome",
    "Recipe",
    "ResetState",
    "Role",
    "ScopeDimension",
    "SearchPhase",
    "StoreKind",
]


class OpenEnum(StrEnum):
    """A string enumeration that also holds numbers a newer server may send."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str) or not value.removeprefix("-").isdecimal():
            return None
        member = str.__new__(cls, value)
        member._name_ = value
        member._value_ = value
        return member


class MemoryKind(OpenEnum):
    """Kind of a memory."""

    UNSPECIFIED = "UNSPECIFIED"
    FACT = "FACT"
    PREFERENCE = "PREFERENCE"
    EVENT = "EVENT"
    PROCEDURE = "PROCEDURE"
    SUMMARY = "SUMMARY"
    EPISODE = "EPISODE"


class MemoryView(OpenEnum):
    """How much of a memory to return: BASIC leaves out entities and relations."""

    UNSPECIFIED = "UNSPECIFIED"
    BASIC = "BASIC"
    FULL = "FULL"


class Role(OpenEnum):
    """Role of a speaker."""

    UNSPECIFIED = "UNSPECIFIED"
    USER = "USER"
    ASSISTANT = "ASSISTANT"
    SYSTEM = "SYSTEM"
    TOOL = "TOOL"


class AddMode(OpenEnum):
    """How a conversation is remembered; UNSPECIFIED lets the server choose."""

    UNSPECIFIED = "UNSPECIFIED"
    INFER = "INFER"
    VERBATIM = "VERBATIM"


class Durability(OpenEnum):
    """How far a write has got: ACCEPTED is committed, INDEXED is searchable too."""

    UNSPECIFIED = "UNSPECIFIED"
    ACCEPTED = "ACCEPTED"
    INDEXED = "INDEXED"


class ChangeAction(OpenEnum):
    """What a write did to one memory."""

    UNSPECIFIED = "UNSPECIFIED"
    ADDED = "ADDED"
    UPDATED = "UPDATED"
    SUPERSEDED = "SUPERSEDED"
    DELETED = "DELETED"
    UNCHANGED = "UNCHANGED"


class EventType(OpenEnum):
    """Type of a history event."""

    UNSPECIFIED = "UNSPECIFIED"
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    SUPERSEDED = "SUPERSEDED"
    DELETED = "DELETED"
    EXPIRED = "EXPIRED"
    RESET = "RESET"
    ERASED = "ERASED"
    FAILED = "FAILED"


class ActorKind(OpenEnum):
    """Who caused a history event."""

    UNSPECIFIED = "UNSPECIFIED"
    CLIENT = "CLIENT"
    EXTRACTOR = "EXTRACTOR"
    SYSTEM = "SYSTEM"


class Recipe(OpenEnum):
    """Named way of ranking."""

    UNSPECIFIED = "UNSPECIFIED"
    BALANCED = "BALANCED"
    SEMANTIC = "SEMANTIC"
    KEYWORD = "KEYWORD"
    GRAPH = "GRAPH"
    RECENT = "RECENT"


class Fusion(OpenEnum):
    """How dense and keyword evidence are merged."""

    UNSPECIFIED = "UNSPECIFIED"
    WEIGHTED = "WEIGHTED"
    RECIPROCAL_RANK = "RECIPROCAL_RANK"
    MAX = "MAX"
    BORDA = "BORDA"


class SearchPhase(OpenEnum):
    """Phase of a search."""

    UNSPECIFIED = "UNSPECIFIED"
    KEYWORD = "KEYWORD"
    DENSE = "DENSE"
    GRAPH = "GRAPH"
    RERANK = "RERANK"


class PhaseOutcome(OpenEnum):
    """How a phase ended."""

    UNSPECIFIED = "UNSPECIFIED"
    DONE = "DONE"
    SKIPPED = "SKIPPED"
    TIMED_OUT = "TIMED_OUT"
    FAILED = "FAILED"


class ResetState(OpenEnum):
    """State of a reset."""

    UNSPECIFIED = "UNSPECIFIED"
    PLANNED = "PLANNED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class IngestionState(OpenEnum):
    """State of accepted inference work."""

    UNSPECIFIED = "UNSPECIFIED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class DropReason(OpenEnum):
    """Why something a model handed over was left out."""

    UNSPECIFIED = "UNSPECIFIED"
    QUOTE_NOT_FOUND = "QUOTE_NOT_FOUND"
    QUOTE_TOO_SHORT = "QUOTE_TOO_SHORT"
    KIND_NOT_WANTED = "KIND_NOT_WANTED"
    PERSONAL_DATA = "PERSONAL_DATA"
    SAID_TWICE = "SAID_TWICE"
    NOT_THE_USERS_REQUEST = "NOT_THE_USERS_REQUEST"


class ScopeDimension(OpenEnum):
    """Part of a scope to list by."""

    UNSPECIFIED = "UNSPECIFIED"
    USER = "USER"
    AGENT = "AGENT"
    SESSION = "SESSION"


class StoreKind(OpenEnum):
    """Part of the server that holds or computes data."""

    UNSPECIFIED = "UNSPECIFIED"
    LEDGER = "LEDGER"
    INDEX = "INDEX"
    GRAPH = "GRAPH"
    CACHE = "CACHE"
    EMBEDDER = "EMBEDDER"


class BreakerState(OpenEnum):
    """State of a store's circuit breaker."""

    UNSPECIFIED = "UNSPECIFIED"
    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class FindingKind(OpenEnum):
    """What is wrong between a store and the ledger."""

    UNSPECIFIED = "UNSPECIFIED"
    MISSING = "MISSING"
    ORPHANED = "ORPHANED"
    STALE = "STALE"
    EMBEDDING_MISMATCH = "EMBEDDING_MISMATCH"


class OnConflict(OpenEnum):
    """What an import does with an id that exists with other content."""

    UNSPECIFIED = "UNSPECIFIED"
    SKIP = "SKIP"
    REPLACE = "REPLACE"
    FAIL = "FAIL"


E_ = TypeVar("E_", bound=OpenEnum)


class EnumCodec(Generic[E_]):
    """Translates one enumeration between names and the contract's numbers."""

    __slots__ = ("_by_number", "_enum", "_numbers", "prefix")

    def __init__(self, enum: type[E_], wire: Any, prefix: str) -> None:
        self.prefix = prefix
        self._enum = enum
        self._numbers: dict[str, int] = {name.removeprefix(prefix): number for name, number in wire.items()}
        self._by_number = {number: enum(name) for name, number in self._numbers.items()}

    def decode(self, number: int) -> E_:
        """Return the member of a number; an unknown number becomes a member with its decimal text."""
        member = self._by_number.get(number)
        return self._enum(str(number)) if member is None else member

    def encode(self, value: E_ | str | None, field: str) -> Any:
        """Return the number of a member, of its name in any case, or of a decimal text; 0 for None.

        Raises:
            InvalidArgument: the name is unknown; the message lists the names there are.
        """
        if value is None:
            return 0
        if isinstance(value, str):
            name = value.upper().removeprefix(self.prefix)
            number = self._numbers.get(name)
            if number is not None:
                return number
            if value.removeprefix("-").isdecimal():
                return int(value)
        names = ", ".join(name for name, number in self._numbers.items() if number)
        raise invalid(field, f"{value!r} is unknown; use one of {names}")


MEMORY_KIND: Final = EnumCodec(MemoryKind, memory_pb2.MemoryKind, "MEMORY_KIND_")
MEMORY_VIEW: Final = EnumCodec(MemoryView, memory_pb2.MemoryView, "MEMORY_VIEW_")
ROLE: Final = EnumCodec(Role, memory_pb2.Role, "ROLE_")
ADD_MODE: Final = EnumCodec(AddMode, memory_pb2.AddMode, "ADD_MODE_")
DURABILITY: Final = EnumCodec(Durability, common_pb2.Durability, "DURABILITY_")
CHANGE_ACTION: Final = EnumCodec(ChangeAction, memory_pb2.MemoryChange.Action, "ACTION_")
EVENT_TYPE: Final = EnumCodec(EventType, history_pb2.HistoryEvent.EventType, "EVENT_TYPE_")
ACTOR_KIND: Final = EnumCodec(ActorKind, history_pb2.Actor.ActorKind, "ACTOR_KIND_")
RECIPE: Final = EnumCodec(Recipe, search_pb2.Recipe, "RECIPE_")
FUSION: Final = EnumCodec(Fusion, search_pb2.Fusion, "FUSION_")
SEARCH_PHASE: Final = EnumCodec(SearchPhase, search_pb2.SearchPhase, "SEARCH_PHASE_")
PHASE_OUTCOME: Final = EnumCodec(PhaseOutcome, search_pb2.PhaseReport.Outcome, "OUTCOME_")
RESET_STATE: Final = EnumCodec(ResetState, reset_pb2.Reset.State, "STATE_")
INGESTION_STATE: Final = EnumCodec(IngestionState, memory_pb2.Ingestion.State, "STATE_")
DROP_REASON: Final = EnumCodec(DropReason, memory_pb2.DroppedFact.Reason, "REASON_")
SCOPE_DIMENSION: Final = EnumCodec(ScopeDimension, memory_pb2.ScopeDimension, "SCOPE_DIMENSION_")
STORE_KIND: Final = EnumCodec(StoreKind, common_pb2.StoreKind, "STORE_KIND_")
BREAKER_STATE: Final = EnumCodec(BreakerState, admin_pb2.StoreStatus.BreakerState, "BREAKER_STATE_")
FINDING_KIND: Final = EnumCodec(FindingKind, admin_pb2.Finding.FindingKind, "FINDING_KIND_")
ON_CONFLICT: Final = EnumCodec(OnConflict, transfer_pb2.ImportMemoriesRequest.OnConflict, "ON_CONFLICT_")
