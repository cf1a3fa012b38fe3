"""The ledger: the source of truth."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.access import Kept, Noted
from memoir_server.domain.change import Change, EventType, Head, Origin
from memoir_server.domain.consistency import Portion, Version
from memoir_server.domain.duplicate import Twin
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.filter import Family
from memoir_server.domain.graph import MemoryFacts
from memoir_server.domain.making import maker
from memoir_server.domain.memory import NEVER, Memory, Scope
from memoir_server.domain.mutation import Committed, IdempotencyKey, Mutation
from memoir_server.domain.reset import Reset, ResetReceipt, ResetTarget, StoreEffect
from memoir_server.domain.scopes import ScopeCount, ScopeDimension
from memoir_server.domain.selection import Selection, TimeRange
from memoir_server.domain.store import StoreKind
from memoir_server.domain.time import Instant
from memoir_server.ports.ingestions import Ingestions


@dataclass(frozen=True, slots=True)
class ListPosition:
    """Place in a listing ordered by create_time descending, then memory_id ascending: after this memory."""

    create_time: Instant
    memory_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """Events with after < revision <= until, narrowed. None does not bind.

    ERASED events carry neither scope nor memory. With `watch` they pass every filter, so that a watcher has no gap;
    otherwise a filter on scope or memory leaves them out. RESET and FAILED events pass a filter on scope or memory
    only when they carry it. `of` keeps only events of memories of which the selection covers a version, each from its
    creation on, not those of an earlier memory of the same id.
    """

    after: int = 0
    until: int | None = None
    scope: Scope = field(default_factory=Scope)
    memory_id: str | None = None
    types: frozenset[EventType] = frozenset()
    committed: TimeRange = field(default_factory=TimeRange)
    watch: bool = False
    of: Selection | None = None


@dataclass(frozen=True, slots=True)
class Born:
    """A version, and the revision that created its memory. Unlike the version's own, that never changes."""

    birth: int
    memory: Memory


@dataclass(frozen=True, slots=True)
class Work:
    """One change that one projection has yet to apply.

    `live` is false when the version in `change.after` no longer exists (removed since); `retired` is the revision at
    which that version was replaced, NEVER while it is current.
    """

    change: Change
    attempts: int
    live: bool
    retired: int


@dataclass(frozen=True, slots=True)
class Lease:
    """This server's sole right to change one namespace of a projection, or all of it where `namespace` is None.

    `token` is another one whenever the right has changed hands.
    """

    store: StoreKind
    namespace: str | None
    token: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease, the watermark of its namespace, and due work in revision order; none when all of it is postponed."""

    lease: Lease
    applied: int
    work: Sequence[Work]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a server was given to do. `seen` is for `Ledger.wait_for_work`."""

    claims: Sequence[Claim]
    seen: int = 0


class LeaseLost(Exception):
    """Another server may do, or has done, what this one had a lease for; what this one knows of it is out of date."""


make_work = maker(Work)
"""`Work`, where much is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCount:
    """What a reset would remove now. `changed_revision` is the newest revision of any event of the target's scope."""

    memories: int
    versions: int
    events: int
    with_facts: int
    sample: tuple[str, ...]
    changed_revision: int


Recount = Callable[[ResetTarget, TargetCount], tuple[StoreEffect, ...]]
"""What the reset of a target does to each store, given what the target holds. Called inside a transaction: no I/O."""


class Ledger(Ingestions):
    """Change log, current state, versions, idempotency records, projection work, resets, and ingestions (see there).

    Every mutation is one transaction: events, current rows, versions, idempotency record and projection work become
    durable together (synced to disk before the call returns), or not at all. Revisions are consecutive per namespace
    and commit order is revision order. All methods are safe to call concurrently on one event loop, and raise
    StoreUnavailable("ledger", why) when the store cannot be used. A namespace exists from its first mutation on;
    reads of one that does not exist find nothing.
    """

    @property
    @abstractmethod
    def ledger_id(self) -> str:
        """Identity of this ledger, made when it was created. Projections remember it: another id means they belong
        to another ledger and must be rebuilt."""

    @abstractmethod
    async def open(self) -> None:
        """Opens or creates the store, and migrates it. Called once."""

    @abstractmethod
    async def close(self) -> None:
        """Finishes what was begun and lets go of everything."""

    # -- mutations

    @abstractmethod
    async def commit(self, mutation: Mutation) -> Committed:
        """Runs one mutation.

        Under the namespace's lock: looks up the idempotency record (same fingerprint: returns the first result, with
        `replayed`; another one: raises RequestIdReused); loads the memories and the twins; where one of the former has
        expired by `mutation.now`, first records its EXPIRED change; calls `decide`; stamps the drafts; writes. When
        `decide` raises a MemoirError nothing is kept and it propagates. Failures are not recorded as idempotent.
        A mutation without drafts changes nothing but still records its idempotency key. `mutation.vectors` are kept
        before any projection can see the changes. For `mutation.undisturbed` and `mutation.ingestion` see there; a
        duplicate request is answered before either is looked at.
        """

    @abstractmethod
    async def append_failure(
        self, namespace: str, memory_id: str, reason: str, *, now: Instant, origin: Origin
    ) -> Change:
        """Records a FAILED event: accepted work that was given up."""

    # -- reads

    @abstractmethod
    async def namespaces(self) -> Sequence[str]:
        """All namespaces, sorted."""

    @abstractmethod
    async def head(self, namespace: str) -> Head:
        """Newest revision and its commit time; Head(0, 0) for an empty namespace."""

    @abstractmethod
    async def revision_at(self, namespace: str, time: Instant) -> int:
        """Last revision with commit_time <= time; 0 before the first."""

    @abstractmethod
    async def commit_time(self, namespace: str, revision: int) -> Instant:
        """Commit time of a revision in 1..head; 0 for revision 0."""

    @abstractmethod
    async def get(
        self, namespace: str, memory_ids: Sequence[str], *, revision: int, now: Instant
    ) -> Mapping[str, Memory]:
        """The versions current at `revision` (NEVER - 1: now) of memories that still exist and have not expired."""

    @abstractmethod
    async def twins(self, namespace: str, twins: Sequence[Twin], *, now: Instant) -> Sequence[Memory]:
        """The current memories that match one of the twins, as a commit would find them: of each twin a few at most,
        oldest versions first."""

    @abstractmethod
    async def list_memories(
        self, namespace: str, selection: Selection, *, after: ListPosition | None, limit: int
    ) -> Sequence[Memory]:
        """One page in ListPosition order, at most `limit`, of the versions the selection covers."""

    @abstractmethod
    async def list_born(self, namespace: str, selection: Selection, *, after: int, limit: int) -> Sequence[Born]:
        """The versions the selection covers of memories born after a revision, in the order of birth, at most `limit`.
        With a selection of a fixed revision, pages read at different times are pages of one listing: writes in between
        change nothing but that memories removed since are missing."""

    @abstractmethod
    async def scopes(
        self, namespace: str, dimension: ScopeDimension, within: Scope, *, after: str, limit: int, now: Instant
    ) -> Sequence[ScopeCount]:
        """The ids of one dimension that have memories now within a scope, in code point order after an id, at most
        `limit`. Memories that were superseded count; those that have expired do not."""

    @abstractmethod
    async def versions_matching(self, namespace: str, selection: Selection) -> NDArray[np.int64]:
        """Revisions of all versions the selection covers, ascending. For narrowing index queries by what the index
        cannot filter on."""

    @abstractmethod
    async def hydrate(self, namespace: str, revisions: Sequence[int], selection: Selection) -> Mapping[int, Memory]:
        """Those of the versions, named by revision, that the selection covers now: existing, unexpired, in scope,
        matching. This check, not the index, decides what a search may show."""

    @abstractmethod
    async def standing(
        self, namespace: str, versions: Collection[int], kept: Collection[int], *, now: Instant
    ) -> frozenset[int]:
        """Those of the sources of facts, named by revision, that a read may still rest on: `versions` (replaced ones
        too) of memories that exist and have not expired, and those `kept` whose relations a reset kept and none has
        removed since. This check, not the graph, decides what a read of the graph may show."""

    @abstractmethod
    async def neighbours(
        self, namespace: str, memory: Memory, *, before: int, after: int, now: Instant
    ) -> Sequence[Memory]:
        """Current EPISODEs of the same scope whose turn lies within turn - before .. turn + after, by turn, without
        the memory itself."""

    @abstractmethod
    async def speakers(self, namespace: str, scope: Scope, *, limit: int, revision: int = NEVER - 1) -> Sequence[str]:
        """Distinct speakers of current memories of the scope who had spoken by `revision`, most frequent now first,
        then by name. Cheap: answered from counters, not from the memories."""

    @abstractmethod
    async def metadata_families(self, namespace: str, keys: frozenset[str]) -> Mapping[str, frozenset[Family]]:
        """Families of values ever stored under each of the keys; keys never stored are absent."""

    # -- history

    @abstractmethod
    async def history(self, namespace: str, query: HistoryQuery, *, limit: int) -> Sequence[Change]:
        """Events by revision, at most `limit`."""

    @abstractmethod
    async def wait_beyond(self, namespace: str, revision: int, timeout: float) -> int:
        """Waits until the head lies beyond `revision`, at most `timeout` seconds; returns the head's revision."""

    @abstractmethod
    async def verify_chain(self, namespace: str) -> bool:
        """Recomputes the chain of event digests (semantics 13). True when every link holds."""

    # -- servers that share the ledger

    @abstractmethod
    async def renew(self, model: EmbeddingModel) -> float:
        """Says that this server lives, and embeds with the model: nobody takes what it has leased for as many seconds
        from the moment of the call as this returns. After that another server may take it over; what nobody took is
        still this one's when it renews. math.inf: the ledger has one server only, whose leases cost nothing and never
        end, and the other methods of leases always succeed."""

    @abstractmethod
    async def resign(self) -> None:
        """Gives everything back at once; a later `renew` begins anew."""

    @abstractmethod
    async def others_with_another_model(self, model: EmbeddingModel) -> int:
        """Other live servers of this ledger that embed with another model."""

    @abstractmethod
    async def claim(self, store: StoreKind, *, limit: int, now: Instant) -> Claims:
        """Leases namespaces with work to this server, those it has among them, and returns their due work, as
        `pending` would, `limit` in all. Leases of earlier claims for the store that are not among these are given back.
        Passed over: what another live server has, or waits for with `hold`; and for a second or so the work of another
        server's commits, which does it itself if it can. A lease may be given back as soon as all of its work is
        completed."""

    @abstractmethod
    async def hold(self, store: StoreKind, namespace: str | None) -> Lease | None:
        """Leases one namespace whether it has work or not, or the whole projection (None), which no other server
        then claims anything of. None while another server has it, or a part of it: ask again within a second, and
        nobody who comes later is served first."""

    @abstractmethod
    async def release(self, leases: Sequence[Lease], *, linger: float = 0.0) -> None:
        """Gives leases back; those that are lost are passed over. For `linger` seconds nobody else gets them: a store
        that did not answer may still be carrying out what it was asked."""

    # -- projection work

    @abstractmethod
    async def pending(self, store: StoreKind, *, limit: int, now: Instant) -> Mapping[str, Sequence[Work]]:
        """Due work of one projection by namespace, each in revision order, `limit` in all, whoever has the lease. A
        change whose memory has an earlier change that is not due yet is not due either: order per memory is kept."""

    @abstractmethod
    async def complete(
        self, store: StoreKind, namespace: str, revisions: Sequence[int], *, lease: Lease | None = None
    ) -> None:
        """Marks work applied. May become durable late: work applied twice is harmless, so no sync is spent on it.
        The watermark moves at once. Raises LeaseLost, and marks nothing, when the lease is somebody else's by now."""

    @abstractmethod
    async def postpone(
        self,
        store: StoreKind,
        namespace: str,
        revisions: Sequence[int],
        *,
        until: Instant,
        error: str,
        lease: Lease | None = None,
    ) -> None:
        """Counts an attempt and makes the work due again at `until`. Raises LeaseLost like `complete`."""

    @abstractmethod
    async def give_up(
        self, store: StoreKind, namespace: str, revision: int, *, error: str, lease: Lease | None = None
    ) -> None:
        """Passes the watermark over work that fails for good, and lists it as degraded. Raises LeaseLost like
        `complete`."""

    @abstractmethod
    async def watermark(self, store: StoreKind, namespace: str) -> int:
        """Everything up to this revision is applied (or given up). The head when nothing is pending."""

    @abstractmethod
    async def degraded(self, store: StoreKind, namespace: str) -> int:
        """Work given up and not repaired."""

    @abstractmethod
    async def requeue(self, store: StoreKind, namespace: str, *, after: int) -> int:
        """Makes the changes after a revision (0: all) of the versions that still exist, and of every later removal,
        pending again; returns how many. With after=0 this is a rebuild from the ledger. For the graph, versions that
        began a memory and state nothing are left out: they leave no trace there."""

    @abstractmethod
    async def requeue_changes(self, store: StoreKind, namespace: str, revisions: Sequence[int]) -> None:
        """Makes single changes pending again, given up or not; ERASED ones and those beyond the head are left out. The
        watermark stays where it is. Durable: after a restart they are still pending."""

    @abstractmethod
    async def requeued(self, store: StoreKind, namespace: str) -> frozenset[int]:
        """Changes of `requeue_changes` that are not applied, or given up, since."""

    @abstractmethod
    async def replay_size(self, store: StoreKind, namespace: str) -> int:
        """How many changes `requeue` of everything would make pending now."""

    @abstractmethod
    async def backlog(self, store: StoreKind, namespace: str, *, until: int) -> int:
        """Changes up to a revision that the projection has yet to apply; none when its watermark has reached it."""

    @abstractmethod
    async def behind(self, store: StoreKind) -> int:
        """By how many revisions the projection's watermarks lie behind the heads of all namespaces together."""

    @abstractmethod
    async def wait_for_work(self, timeout: float, *, seen: int = -1) -> None:
        """Returns when there may be work to claim that was not there before, at most after `timeout` seconds. With
        `seen` of Claims: at once when there was news after that claim."""

    @abstractmethod
    async def vectors(
        self, namespace: str, content_hashes: Sequence[bytes], model: EmbeddingModel
    ) -> Mapping[bytes, NDArray[np.float32]]:
        """Kept vectors of that model by content hash: a rebuild re-embeds nothing (semantics 12)."""

    @abstractmethod
    async def keep_vectors(
        self, namespace: str, model: EmbeddingModel, vectors: Mapping[bytes, NDArray[np.float32]]
    ) -> None:
        """Keeps vectors of contents that still exist in the namespace. May become durable late, like `complete`."""

    @abstractmethod
    async def kept_facts(self, namespace: str) -> Sequence[MemoryFacts]:
        """Facts whose memories a reset removed with keep_graph; part of a rebuild of the graph."""

    # -- what projections should hold

    @abstractmethod
    async def versions(self, namespace: str, portion: Portion, *, after: int, limit: int) -> Sequence[Version]:
        """What projections should hold of the portion once they have caught up, by revision after one, at most `limit`:
        every version of memories that exist, and the kept facts of memories that do not."""

    @abstractmethod
    async def count_memories(self, namespace: str, scope: Scope) -> int:
        """Memories of the scope that exist."""

    @abstractmethod
    async def sample_memories(self, namespace: str, scope: Scope, *, limit: int) -> Sequence[str]:
        """Ids of memories of the scope that existed once and are not erased, at most `limit`, each as likely as any
        other; those that were removed are among them, since their absence is worth examining."""

    # -- expiry

    @abstractmethod
    async def expired(self, now: Instant, *, limit: int) -> Sequence[tuple[str, str]]:
        """(namespace, memory_id) of memories past their expire_time that have no EXPIRED event yet."""

    # -- accesses

    @abstractmethod
    async def note_accesses(self, namespace: str, noted: Sequence[Noted]) -> None:
        """Adds to the counts of memories that still exist; the others are passed over. No event, no revision. The count
        of a memory goes with it, in the transaction that removes it."""

    @abstractmethod
    async def accesses(self, namespace: str, memory_ids: Sequence[str]) -> Mapping[str, Kept]:
        """What is noted of memories that exist; count 0 where nothing is. Those that do not exist are absent."""

    # -- resets

    @abstractmethod
    async def count_target(self, namespace: str, target: ResetTarget, *, sample: int, now: Instant) -> TargetCount:
        """What the target covers now; the sample is the lowest ids."""

    @abstractmethod
    async def save_plan(self, reset: Reset, *, key: IdempotencyKey | None, now: Instant) -> Reset:
        """Stores a new PLANNED reset. A duplicate request gets the reset stored first; raises RequestIdReused."""

    @abstractmethod
    async def confirm_token(self, namespace: str, reset_id: str) -> str:
        """The plan's secret: HMAC-SHA-256 of its identity under a key of this ledger, hex."""

    @abstractmethod
    async def get_reset(self, namespace: str, reset_id: str) -> Reset:
        """Raises ResetNotFound."""

    @abstractmethod
    async def unfinished_resets(self) -> Sequence[Reset]:
        """RUNNING resets, whoever works on them."""

    @abstractmethod
    async def claim_reset(self, namespace: str, reset_id: str) -> bool:
        """Makes this server the one that cleans up after a RUNNING reset. False when another live server does, or it
        is not running. The right ends with the server's leases, and when the reset is no longer RUNNING."""

    async def say_forgotten(self, namespace: str, reset_id: str) -> None:
        """Notes that this server's memory holds nothing any more of what a reset removes; until that has ended."""

    async def not_forgotten(self, namespace: str, reset_id: str) -> int:
        """Other live servers of this ledger that have not said so."""
        return 0

    async def release_reset(self, namespace: str, reset_id: str) -> None:
        """Gives up the right of `claim_reset`, so that any server may claim it."""

    @abstractmethod
    async def execute_reset(
        self,
        namespace: str,
        reset_id: str,
        *,
        allow_drift: bool,
        now: Instant,
        origin: Origin,
        recount: Recount,
        key: IdempotencyKey | None = None,
    ) -> Reset:
        """In one transaction under the namespace's lock: checks state, expiry and drift (raises ResetPlanStale); with
        `allow_drift`, counts the target again and sets the effects that `recount` makes of it;
        appends one DELETED event per memory of the target that exists now (keep_vector: one UPDATED event without
        entities and relations instead), which takes them out of every read at once; fixes the fence at the last of
        them; moves the reset to RUNNING. Already RUNNING or SUCCEEDED: returns it unchanged. FAILED: RUNNING again
        with the same fence. CANCELLED before execution: ResetPlanStale. A duplicate request gets the first one's
        answer; raises RequestIdReused."""

    @abstractmethod
    async def cancel_reset(
        self, namespace: str, reset_id: str, *, now: Instant, key: IdempotencyKey | None = None
    ) -> Reset:
        """Moves a PLANNED or RUNNING reset to CANCELLED; a terminal one stays as it is. A duplicate request gets the
        first one's answer; raises RequestIdReused."""

    @abstractmethod
    async def save_progress(self, reset: Reset) -> Reset:
        """Stores state, effects, what it waits for and error with the next sequence number; returns it with that
        number. A reset that is terminal in the store stays as it is and is returned."""

    @abstractmethod
    async def removed_memories(self, namespace: str, reset_id: str, *, after: str, limit: int) -> Sequence[str]:
        """Ids of the memories the reset removed, ascending, after an id; kept until the reset is finished."""

    @abstractmethod
    async def versions_of_others(self, namespace: str, reset_id: str, revisions: Collection[int]) -> frozenset[int]:
        """Those of the revisions that made versions of memories which the reset did not remove, by life: an id may have
        been used before or again. What has been erased is nobody's."""

    @abstractmethod
    async def removed_versions(self, namespace: str, reset_id: str, *, after: int, limit: int) -> Sequence[Memory]:
        """Versions of the removed memories up to the fence, by revision after one, as far as not yet erased: from
        them an erasure knows which cached vectors to purge."""

    @abstractmethod
    async def erase(self, namespace: str, reset_id: str, *, limit: int) -> int:
        """Erases up to `limit` events of removed memories with revision <= fence: salt, payload, memory id and scope
        go, an ERASED stub stays at the revision; their versions, vectors no other version needs, kept facts and
        idempotency records go too. They are counted as removed in the reset's effect on the ledger, in the same
        transaction: after a crash nobody could count them again. Returns how many events were erased; 0 when none is
        left."""

    @abstractmethod
    async def finish_reset(self, namespace: str, reset_id: str, receipt: ResetReceipt, *, origin: Origin) -> Reset:
        """Appends the RESET event, which chains the receipt's digest into the log, stores the receipt with its revision
        and digest, and moves the reset to SUCCEEDED. A finished one is returned as it is."""

    @abstractmethod
    async def wait_reset(self, namespace: str, reset_id: str, after_sequence: int, timeout: float) -> Reset:
        """Waits until the reset's sequence lies beyond `after_sequence` or it is terminal, at most `timeout` seconds;
        returns it."""
