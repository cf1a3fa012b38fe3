"""What a search asks for, and the events it answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from memoir_server.domain.filter import Filter
from memoir_server.domain.graph import Relation
from memoir_server.domain.making import maker
from memoir_server.domain.memory import Memory, Scope
from memoir_server.domain.selection import TimeRange
from memoir_server.domain.time import Instant

DEFAULT_LIMIT = 10
MAX_LIMIT = 100


class Recipe(IntEnum):
    """A named way of ranking; the numbers are those of the contract."""

    BALANCED = 1
    SEMANTIC = 2
    KEYWORD = 3
    GRAPH = 4
    RECENT = 5


class Fusion(IntEnum):
    """How dense and keyword evidence are merged; the numbers are those of the contract."""

    WEIGHTED = 1
    RECIPROCAL_RANK = 2
    MAX = 3
    BORDA = 4


class Phase(IntEnum):
    """A phase of a search, in the order of reporting; the numbers are those of the contract."""

    KEYWORD = 1
    DENSE = 2
    GRAPH = 3
    RERANK = 4


class Outcome(IntEnum):
    """How a phase ended; the numbers are those of the contract."""

    DONE = 1
    SKIPPED = 2
    TIMED_OUT = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class AsOf:
    """A past moment of the ledger: exactly one is set."""

    time: Instant | None = None
    revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpec:
    """What to search for. Limits are applied by the service."""

    query: str
    scope: Scope = field(default_factory=Scope)
    filter: Filter | None = None
    created: TimeRange = field(default_factory=TimeRange)
    limit: int = 0
    min_score: float | None = None
    recipe: Recipe = Recipe.BALANCED
    fusion: Fusion | None = None
    rerank: bool = False
    graph_depth: int = 1
    as_of: AsOf | None = None
    valid_at: Instant | None = None
    include_superseded: bool = False
    explain: bool = False
    min_revision: int = 0


make_search_spec = maker(SearchSpec)
"""`SearchSpec`, where many are made."""


_NO_PARTS: Mapping[str, float] = MappingProxyType({})


class Hit(NamedTuple):
    """One ranked memory. `parts` is empty unless the search explains.

    A named tuple, as every search makes many: a frozen dataclass takes four times as long to make.
    """

    memory: Memory
    score: float
    rank_score: float = 0.0
    parts: Mapping[str, float] = _NO_PARTS
    relations: tuple[Relation, ...] = ()


class HitUpdate(NamedTuple):
    """New scores of a hit already sent."""

    memory_id: str
    score: float
    rank_score: float = 0.0
    parts: Mapping[str, float] = _NO_PARTS
    relations: tuple[Relation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseReport:
    """How a phase went. `error` says why when it FAILED or TIMED_OUT; `store` names the store to blame."""

    phase: Phase
    outcome: Outcome
    elapsed_us: int = 0
    candidates: int = 0
    error: str = ""
    store: str = ""


make_phase_report = maker(PhaseReport)
"""`PhaseReport`, where many are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """First event."""

    search_id: str
    phases: tuple[Phase, ...]
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseHits:
    """State after a phase."""

    report: PhaseReport
    new_hits: tuple[Hit, ...]
    updated_hits: tuple[HitUpdate, ...]
    order: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFailed:
    """A phase that gave nothing usable."""

    report: PhaseReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """Last event."""

    order: tuple[str, ...]
    phases: tuple[PhaseReport, ...]
    revision: int


SearchEvent = Started | PhaseHits | PhaseFailed | Completed


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The answer of a unary search."""

    hits: tuple[Hit, ...]
    phases: tuple[PhaseReport, ...]
    revision: int
    search_id: str


make_search_result = maker(SearchResult)
"""`SearchResult`, where many are made."""
