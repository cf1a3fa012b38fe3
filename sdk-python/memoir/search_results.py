"""Results of searches, the events of a streaming search, and the fold that makes one from the other."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

import grpc

from memoir.enums import PHASE_OUTCOME, SEARCH_PHASE, PhaseOutcome, SearchPhase
from memoir.errors import IncompleteStream, MemoirError, error_from_status
from memoir.graph import Relation, relation_from_proto
from memoir.memory import Memory, memory_from_proto
from memoir.v1 import search_pb2
from memoir.values import datetime_from_proto, timedelta_from_proto


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One ranked memory.

    Attributes:
        score: 0..1, means the same in every query. rank_score: what the order rests on, within one search only.
        parts: what the scores are made of, by name; filled with `explain=True`, like rank_score.
        relations: relations of the memory that touch entities of the query.
    """

    memory: Memory
    score: float
    rank_score: float
    parts: dict[str, float]
    relations: tuple[Relation, ...]
    message: search_pb2.SearchHit = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class HitUpdate:
    """New scores and relations of a hit sent by an earlier phase; they replace the old ones."""

    memory_id: str
    score: float
    rank_score: float
    parts: dict[str, float]
    relations: tuple[Relation, ...]


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """How a phase went; `error` says why when the outcome is FAILED or TIMED_OUT."""

    phase: SearchPhase
    outcome: PhaseOutcome
    elapsed: timedelta
    candidates: int
    error: MemoirError | None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A finished search: hits, best first, a report per phase, and the revision it saw at least."""

    hits: tuple[SearchHit, ...]
    phases: tuple[PhaseReport, ...]
    revision: int
    search_id: str
    message: search_pb2.SearchMemoriesResponse = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ContextPart:
    """One cited passage: `citation` is its mark in the text, counting from 1."""

    citation: int
    text: str
    memory_ids: tuple[str, ...]
    token_count: int
    create_time: datetime | None


@dataclass(frozen=True, slots=True)
class ContextResult:
    """A cited context for a prompt: `text` is ready to paste, `parts` are its passages, `hits` what it rests on."""

    text: str
    parts: tuple[ContextPart, ...]
    token_count: int
    tokenizer: str
    hits: tuple[SearchHit, ...]
    phases: tuple[PhaseReport, ...]
    revision: int
    message: search_pb2.BuildContextResponse = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SearchStarted:
    """First event of a streaming search."""

    sequence: int
    search_id: str
    phases: tuple[SearchPhase, ...]
    revision: int
    message: search_pb2.StreamSearchMemoriesResponse = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class PhaseHits:
    """State after one phase: hits not sent before, changes of hits sent before, and a provisional order of ids."""

    sequence: int
    report: PhaseReport
    new_hits: tuple[SearchHit, ...]
    updated_hits: tuple[HitUpdate, ...]
    order: tuple[str, ...]
    message: search_pb2.StreamSearchMemoriesResponse = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class PhaseFailed:
    """A phase that gave nothing usable; the others stand."""

    sequence: int
    report: PhaseReport
    message: search_pb2.StreamSearchMemoriesResponse = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SearchCompleted:
    """Last event: the final order of ids, the only one to rely on."""

    sequence: int
    order: tuple[str, ...]
    phases: tuple[PhaseReport, ...]
    revision: int
    message: search_pb2.StreamSearchMemoriesResponse = field(repr=False, compare=False)


SearchEvent: TypeAlias = SearchStarted | PhaseHits | PhaseFailed | SearchCompleted


def hit_from_proto(message: search_pb2.SearchHit) -> SearchHit:
    """Convert a hit."""
    return SearchHit(
        memory_from_proto(message.memory),
        message.score,
        message.rank_score,
        dict(message.parts),
        tuple([relation_from_proto(item) for item in message.relations]),
        message,
    )


def report_from_proto(message: search_pb2.PhaseReport) -> PhaseReport:
    """Convert a phase report."""
    return PhaseReport(
        SEARCH_PHASE.decode(message.phase),
        PHASE_OUTCOME.decode(message.outcome),
        timedelta_from_proto(message.elapsed),
        message.candidates,
        error_from_status(message.error) if message.HasField("error") else None,
    )


def search_result_from_proto(message: search_pb2.SearchMemoriesResponse) -> SearchResult:
    """Convert the response of SearchMemories."""
    return SearchResult(
        tuple([hit_from_proto(item) for item in message.hits]),
        tuple([report_from_proto(item) for item in message.phases]),
        message.revision,
        message.search_id,
        message,
    )


def context_from_proto(message: search_pb2.BuildContextResponse) -> ContextResult:
    """Convert the response of BuildContext."""
    return ContextResult(
        message.text,
        tuple(
            [
                ContextPart(
                    part.citation,
                    part.text,
                    tuple(part.memory_ids),
                    part.token_count,
                    datetime_from_proto(part.create_time) if part.HasField("create_time") else None,
                )
                for part in message.parts
            ]
        ),
        message.token_count,
        message.tokenizer,
        tuple([hit_from_proto(item) for item in message.hits]),
        tuple([report_from_proto(item) for item in message.phases]),
        message.revision,
        message,
    )


def event_from_proto(message: search_pb2.StreamSearchMemoriesResponse) -> SearchEvent | None:
    """Convert one event; None for a kind this package does not know."""
    match message.WhichOneof("event"):
        case "started":
            started = message.started
            phases = tuple([SEARCH_PHASE.decode(phase) for phase in started.phases])
            return SearchStarted(message.sequence, started.search_id, phases, started.revision, message)
        case "phase_hits":
            hits = message.phase_hits
            updates = [
                HitUpdate(
                    update.memory_id,
                    update.score,
                    update.rank_score,
                    dict(update.parts),
                    tuple([relation_from_proto(item) for item in update.relations]),
                )
                for update in hits.updated_hits
            ]
            return PhaseHits(
                message.sequence,
                report_from_proto(hits.report),
                tuple([hit_from_proto(item) for item in hits.new_hits]),
                tuple(updates),
                tuple(hits.order),
                message,
            )
        case "phase_failed":
            return PhaseFailed(message.sequence, report_from_proto(message.phase_failed), message)
        case "completed":
            done = message.completed
            reports = tuple([report_from_proto(item) for item in done.phases])
            return SearchCompleted(message.sequence, tuple(done.order), reports, done.revision, message)
        case _:
            return None


class SearchFold:
    """Keeps the state of a streaming search: `apply` each event, read `result()` at any time."""

    __slots__ = ("_hits", "_order", "_phases", "_revision", "_search_id", "_sequence", "completed")

    def __init__(self) -> None:
        self._hits: dict[str, search_pb2.SearchHit] = {}
        self._order: list[str] = []
        self._phases: list[search_pb2.PhaseReport] = []
        self._revision = 0
        self._search_id = ""
        self._sequence = 0
        #: True once the last event was applied: the order is final.
        self.completed = False

    def apply(self, event: SearchEvent) -> None:
        """Take one event in.

        Raises:
            IncompleteStream: an event is missing before this one, or an id has no body.
        """
        message = event.message
        if message.sequence != self._sequence + 1:
            raise _broken(f"event {message.sequence} came after {self._sequence}")
        self._sequence = message.sequence
        match message.WhichOneof("event"):
            case "started":
                self._search_id, self._revision = message.started.search_id, message.started.revision
            case "phase_hits":
                self._phases.append(message.phase_hits.report)
                for hit in message.phase_hits.new_hits:
                    # A copy: later phases change it, and events stay as received.
                    self._hits[hit.memory.memory_id] = copy = search_pb2.SearchHit()
                    copy.CopyFrom(hit)
                for update in message.phase_hits.updated_hits:
                    self._update(update)
                self._order = list(message.phase_hits.order)
            case "phase_failed":
                self._phases.append(message.phase_failed)
            case "completed":
                self._order = list(message.completed.order)
                self._phases = list(message.completed.phases)
                self._revision = message.completed.revision
                self.completed = True

    def _update(self, update: search_pb2.HitUpdate) -> None:
        hit = self._body(update.memory_id)
        hit.score, hit.rank_score = update.score, update.rank_score
        hit.parts.clear()
        hit.parts.update(update.parts)
        del hit.relations[:]
        hit.relations.extend(update.relations)

    def _body(self, memory_id: str) -> search_pb2.SearchHit:
        hit = self._hits.get(memory_id)
        if hit is None:
            raise _broken(f"memory {memory_id!r} was referred to and never sent")
        return hit

    def message(self) -> search_pb2.SearchMemoriesResponse:
        """Return the state as the response the unary call would give."""
        return search_pb2.SearchMemoriesResponse(
            hits=[self._body(memory_id) for memory_id in self._order],
            phases=self._phases,
            revision=self._revision,
            search_id=self._search_id,
        )

    def result(self) -> SearchResult:
        """Return the hits so far in their present order; final once `completed`."""
        return search_result_from_proto(self.message())


def fold(events: Iterable[SearchEvent]) -> SearchResult:
    """Fold all events of a streaming search into the result the unary search returns.

    Raises:
        IncompleteStream: an event is missing, or the last one is not `SearchCompleted`.
    """
    state = SearchFold()
    for event in events:
        state.apply(event)
    if not state.completed:
        raise _broken("the events end before SearchCompleted; use SearchFold for a provisional result")
    return state.result()


def _broken(message: str) -> IncompleteStream:
    return IncompleteStream(f"search stream: {message}", code=grpc.StatusCode.DATA_LOSS)
