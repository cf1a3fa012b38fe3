"""Copying a ledger whole into another store: what it is read from, and what it is written to.

Ids, revisions, the digest chain, counters, idempotency records and secrets are copied as they are, so that every token
and every answer that clients hold stays good. What a projection can be rebuilt from travels; how far projections had
come does not, since they are built anew beside the copy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import Ledger


class MoveRefused(Exception):
    """A move cannot begin or go on as things are. The text says why, and what to do."""


class Part(StrEnum):
    """What a ledger consists of, in the order of copying."""

    NAMESPACES = "namespaces"
    MODELS = "models"
    EVENTS = "events"
    VERSIONS = "versions"
    METADATA_TYPES = "metadata types"
    TURNS = "turns"
    SPEAKERS = "speakers"
    REQUESTS = "requests"
    VECTORS = "vectors"
    KEPT_FACTS = "kept facts"
    RESETS = "resets"
    RESET_MEMORIES = "reset memories"
    INGESTIONS = "ingestions"
    ACCESSES = "accesses"


@dataclass(frozen=True, slots=True)
class NamespaceCopy:
    """A namespace: its number, by which all else names it, and its head. `chain`: the chain of digests up to there."""

    ns: int
    name: str
    revision: int
    commit_time: Instant
    chain: bytes


@dataclass(frozen=True, slots=True)
class ModelCopy:
    """An embedding model: its number, by which vectors name it, and its identity."""

    model: int
    name: str
    version: str
    dimension: int
    asymmetric: bool


@dataclass(frozen=True, slots=True)
class EventCopy:
    """One revision. `before` is the revision of the version that it replaced or removed; an erased event has neither
    that nor detail and salt."""

    ns: int
    revision: int
    commit_time: Instant
    type: int
    memory_id: str
    born: int
    before: int | None
    detail: bytes | None
    salt: bytes | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class VersionCopy:
    """One version. `body` is its canonical encoding, which the event's digest covers; all that a store filters or
    orders by follows from text and body, but for `retired` and `gone` (`adapters/ledger/sqlite/schema.py`)."""

    ns: int
    revision: int
    memory_id: str
    born: int
    retired: int
    gone: int
    text: str
    body: bytes


@dataclass(frozen=True, slots=True)
class MetadataTypeCopy:
    """A family of values that was stored under a key of metadata."""

    ns: int
    name: str
    family: int


@dataclass(frozen=True, slots=True)
class TurnsCopy:
    """The last turn of a scope."""

    ns: int
    user_id: str | None
    agent_id: str | None
    session_id: str | None
    last: int


@dataclass(frozen=True, slots=True)
class SpeakerCopy:
    """Current memories of a scope by one speaker, and the revision that first counted."""

    ns: int
    name: str
    user_id: str | None
    agent_id: str | None
    session_id: str | None
    first: int
    memories: int


@dataclass(frozen=True, slots=True)
class RequestCopy:
    """An idempotency record."""

    namespace: str
    request_id: str
    principal: str
    method: str
    fingerprint: bytes
    first: int
    last: int
    revision: int
    outcome: bytes
    created: Instant
    mentions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VectorCopy:
    """A kept vector, encoded as in `domain.embedding`."""

    ns: int
    content_hash: bytes
    model: int
    data: bytes


@dataclass(frozen=True, slots=True)
class KeptFactsCopy:
    """Facts that a reset left in the graph without their memory; `revision` of their version."""

    ns: int
    revision: int
    memory_id: str
    born: int
    facts: bytes


@dataclass(frozen=True, slots=True)
class ResetCopy:
    """A reset in any state: its number, by which the memories it removed name it."""

    reset: int
    ns: int
    reset_id: str
    state: int
    executed: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class ResetMemoryCopy:
    """A memory that a reset removed, and has yet to clean up after."""

    reset: int
    memory_id: str
    born: int


@dataclass(frozen=True, slots=True)
class IngestionCopy:
    """Accepted inference work in any state (`domain.ingestion`): its number, by whose order it is done."""

    number: int
    ns: int
    ingestion_id: str
    user_id: str | None
    agent_id: str | None
    session_id: str | None
    state: int
    attempts: int
    due: Instant
    create_time: Instant
    update_time: Instant
    first: int
    last: int
    revision: int
    error: str
    work: bytes
    outcome: bytes


@dataclass(frozen=True, slots=True)
class AccessCopy:
    """How often a memory was returned, and when last."""

    ns: int
    memory_id: str
    count: int
    last: Instant


Row: TypeAlias = (
    NamespaceCopy
    | ModelCopy
    | EventCopy
    | VersionCopy
    | MetadataTypeCopy
    | TurnsCopy
    | SpeakerCopy
    | RequestCopy
    | VectorCopy
    | KeptFactsCopy
    | ResetCopy
    | ResetMemoryCopy
    | IngestionCopy
    | AccessCopy
)

ROWS: Final[Mapping[Part, type[Row]]] = {
    Part.NAMESPACES: NamespaceCopy,
    Part.MODELS: ModelCopy,
    Part.EVENTS: EventCopy,
    Part.VERSIONS: VersionCopy,
    Part.METADATA_TYPES: MetadataTypeCopy,
    Part.TURNS: TurnsCopy,
    Part.SPEAKERS: SpeakerCopy,
    Part.REQUESTS: RequestCopy,
    Part.VECTORS: VectorCopy,
    Part.KEPT_FACTS: KeptFactsCopy,
    Part.RESETS: ResetCopy,
    Part.RESET_MEMORIES: ResetMemoryCopy,
    Part.INGESTIONS: IngestionCopy,
    Part.ACCESSES: AccessCopy,
}
"""What each part is read as."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one part, in the store's own order, and where to go on. No rows: the part is read."""

    rows: Sequence[Row]
    position: bytes = b""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a ledger this one: its id, on which tokens of pages and watches rest, and the key of its secrets."""

    ledger_id: str
    secret: bytes = field(repr=False)


class Stage(StrEnum):
    """How far a move has come. COPYING: rows are being written. BUILDING: the copy is complete and was compared; index
    and graph follow. FINISHED: servers may open it."""

    COPYING = "copying"
    BUILDING = "building"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Copied:
    """What has been copied of a part: rows, the sum of their digests, and the source's position after them."""

    rows: int = 0
    digest: int = 0
    position: bytes = b""
    complete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRecord:
    """What the target remembers of a move, in the same transactions as the rows themselves."""

    move_id: str
    source: str
    began: Instant
    stage: Stage = Stage.COPYING
    finished: Instant = 0
    parts: Mapping[Part, Copied] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands in a target: the ledger's id, empty where there is none, and the record of the move that made it,
    None where no move did."""

    ledger_id: str = ""
    record: MoveRecord | None = None


class SourceState(StrEnum):
    """What a source's note says. MOVING and MOVED: no server opens it. KEPT: it was copied, and servers may."""

    MOVING = "moving"
    MOVED = "moved"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class SourceNote:
    """What the source remembers of a move: beside it, not in it."""

    move_id: str
    state: SourceState
    target: str
    time: Instant


class LedgerSource(ABC):
    """A ledger that is read while nobody can write to it: from `open` to `close` it belongs to this process alone.

    Its rows are never changed. All methods raise StoreUnavailable when it cannot be used.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Where it is, for people. No secrets."""

    @property
    @abstractmethod
    def note_name(self) -> str:
        """Where its note is, for people, who may remove it to serve the source again."""

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """Whose ledger it is."""

    @abstractmethod
    async def open(self) -> None:
        """Shuts servers out, and checks that it is a ledger of this version. Raises MoveRefused."""

    @abstractmethod
    async def close(self) -> None:
        """Lets servers in again, as far as the note allows."""

    @abstractmethod
    async def namespaces(self) -> Sequence[NamespaceCopy]:
        """All namespaces, by number."""

    @abstractmethod
    async def verify_chain(self, namespace: NamespaceCopy) -> bool:
        """Recomputes the chain of event digests (semantics 13). True when every link holds."""

    @abstractmethod
    async def count(self, part: Part) -> int:
        """Rows of a part."""

    @abstractmethod
    async def read(self, part: Part, after: bytes) -> Page:
        """The rows after a position, b"" for the first: some thousands or some megabytes at most, at least one unless
        the part is read. An unchanged source gives the same rows again."""

    @abstractmethod
    async def note(self) -> SourceNote | None:
        """The note that is there."""

    @abstractmethod
    async def keep_note(self, note: SourceNote | None) -> None:
        """Replaces it, durably; None removes it."""


class LedgerTarget(ABC):
    """An empty store in which a ledger appears, piece by piece. No server opens it before the move is finished.

    Every write carries the record it leaves behind and the one it expects to find: another process that writes too is
    noticed. All methods raise StoreUnavailable when the store cannot be used.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Where it is, for people. No secrets."""

    @abstractmethod
    async def open(self) -> None:
        """Connects. Changes nothing."""

    @abstractmethod
    async def close(self) -> None:
        """Lets go of it."""

    @abstractmethod
    async def standing(self) -> Standing:
        """What is there. Raises MoveRefused for something that is no ledger, or one of a newer version."""

    @abstractmethod
    async def begin(self, identity: Identity, record: MoveRecord) -> None:
        """Makes an empty ledger of that identity, closed to servers, in one transaction with the record. Raises
        MoveRefused when there is one by now."""

    @abstractmethod
    async def write(self, part: Part, rows: Sequence[Row], record: MoveRecord, before: MoveRecord) -> None:
        """Adds rows of a part and replaces the record, in one durable transaction. Raises MoveRefused when the record
        is not `before`."""

    @abstractmethod
    async def keep_record(self, record: MoveRecord, before: MoveRecord) -> None:
        """Replaces the record alone, durably. From FINISHED on servers may open the ledger. Raises MoveRefused like
        `write`."""

    @abstractmethod
    async def read(self, part: Part, after: bytes) -> Page:
        """What was written of a part, as `LedgerSource.read` gives it."""

    @abstractmethod
    def ledger(self) -> Ledger:
        """The ledger in it, not yet open. This one opens although the move is not finished."""


class MoveTarget(ABC):
    """A ledger that another one can be moved into implements this beside the port Ledger."""

    @abstractmethod
    def move_target(self) -> LedgerTarget:
        """The same store, as a target. Neither need be open."""
