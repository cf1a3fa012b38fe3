"""Signals beside keyword and dense evidence: conversation, people, dates, the graph, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.dates import OTHER_YEAR_FACTOR, DateWindow, Precision
from memoir_server.domain.entry import CandidateColumns
from memoir_server.domain.memory import MemoryKind
from memoir_server.domain.ranking.evidence import GraphEvidence
from memoir_server.domain.ranking.recipes import RecipeSettings
from memoir_server.domain.time import from_datetime

_DAY: Final = 86_400_000_000
"""Microseconds."""
_TURN_BITS: Final = 32
_HALF_LENGTH: Final = 8
"""Terms at which the length prior is half of its most; about the mean of a chat message."""
_RECENCY_HALF_LIFE: Final = 30 * _DAY
"""Age at which the recency signal is half."""

Column = NDArray[np.float64]


def conversation(columns: CandidateColumns, evidence: Column, settings: RecipeSettings) -> tuple[Column, Column]:
    """What episodes take over from neighbouring turns and from their session, two columns of shape (n,).

    Neighbours are the turns numbered one lower and one higher in the same session; they count as far as they are
    candidates. The session's share is that of its best episode, after neighbours; a memory outside any session, or of
    another kind, stands for itself, so that a session gains nothing by being one.
    """
    neighbour = np.zeros(len(columns))
    if not (settings.previous_turn or settings.next_turn or settings.answer or settings.session):
        return neighbour, np.zeros(len(columns))
    episodic = columns.kind == MemoryKind.EPISODE
    if not episodic.any():
        # Facts only: each stands for itself.
        return neighbour, settings.session * evidence
    episodes = np.flatnonzero(episodic & (columns.session >= 0) & (columns.turn > 0))
    best = None
    if len(episodes):
        key = (columns.session[episodes] << _TURN_BITS) + columns.turn[episodes]
        order = np.argsort(key, kind="stable")
        key, episodes = key[order], episodes[order]
        own = evidence[episodes]
        linked = key[1:] - key[:-1] == 1
        taken = np.zeros(len(episodes))
        taken[:-1] = settings.next_turn * own[1:] * linked
        speaker = columns.speaker[episodes]
        answers = columns.asks[episodes[:-1]] & (speaker[1:] != speaker[:-1])
        taken[1:] += (settings.previous_turn + settings.answer * answers) * own[:-1] * linked
        neighbour[episodes] = taken
        session = key >> _TURN_BITS
        starts = np.flatnonzero(np.concatenate(([True], session[1:] != session[:-1])))
        sizes = np.diff(np.append(starts, len(session)))
        best = np.repeat(np.maximum.reduceat(own + taken, starts), sizes)
    prior = evidence.copy()
    if best is not None:
        prior[episodes] = best
    return neighbour, settings.session * prior


def speaker_match(columns: CandidateColumns, named: frozenset[str]) -> NDArray[np.bool_] | None:
    """Which candidates the one person named said; None when the query names nobody or several, or when the candidates
    have fewer than two speakers, so that the name tells nothing."""
    if len(named) != 1:
        return None
    (name,) = named
    if name not in columns.speaker_names or not len(columns):
        return None
    spoken = columns.speaker[columns.speaker >= 0]
    if not len(spoken) or spoken.min() == spoken.max():
        return None
    matched: NDArray[np.bool_] = columns.speaker == columns.speaker_names.index(name)
    return matched


# As in `dates.date_affinity`, which says the same of one instant: (most days outside the window, factor).
_FADE: Final[dict[Precision, tuple[tuple[int, float], ...]]] = {
    Precision.DAY: ((1, 1.0), (7, 0.5)),
    Precision.WEEK: ((0, 1.0), (3, 0.5)),
    Precision.MONTH: ((0, 1.0),),
    Precision.SEASON: ((0, 1.0),),
    Precision.YEAR: ((0, 1.0),),
}


def date_affinities(create_time: NDArray[np.int64], windows: Sequence[DateWindow]) -> Column:
    """`dates.date_affinity` of every instant, shape (n,): the best of the windows, 0..1."""
    best = np.zeros(len(create_time))
    if not len(create_time) or not windows:
        return best
    spread = int(create_time.min()), int(create_time.max())
    years: Sequence[int] | None = None
    for window in windows:
        _raise_within(best, create_time, spread, window, window.weight)
        if window.yearly:
            if years is None:
                years = _years_around(create_time)
            for year in years:
                moved = _moved_to(window, year)
                if moved is not None:
                    _raise_within(best, create_time, spread, moved, OTHER_YEAR_FACTOR * window.weight)
    return best


def _raise_within(
    best: Column, create_time: NDArray[np.int64], spread: tuple[int, int], window: DateWindow, weight: float
) -> None:
    """Raises `best` to what the window gives, the outer days first. Windows are whole days, and so is what counts as
    near: the days before and after."""
    start, end = from_datetime(window.start), from_datetime(window.end)
    for days, factor in reversed(_FADE[window.precision]):
        first, after = start - days * _DAY, end + days * _DAY
        if spread[1] < first or spread[0] >= after:
            return
        inside = (create_time >= first) & (create_time < after)
        np.maximum(best, inside * (weight * factor), out=best)


def _years_around(create_time: NDArray[np.int64]) -> list[int]:
    """Years of the instants and the years beside them, which a window may reach into."""
    years = np.unique(create_time.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970)
    return sorted({year + shift for year in years.tolist() for shift in (-1, 0, 1)})


def _moved_to(window: DateWindow, year: int) -> DateWindow | None:
    """The same days of another year; None where that year lacks the first."""
    try:
        start = window.start.replace(year=year)
        return DateWindow(start, start + (window.end - window.start), window.precision, window.weight)
    except (ValueError, OverflowError):
        return None


def length_prior(length: NDArray[np.int64]) -> Column:
    """length / (length + 8): 0 for an empty text towards 1 for a long one."""
    prior: Column = length / (length + _HALF_LENGTH)
    return prior


def recency(create_time: NDArray[np.int64]) -> Column:
    """1 for the newest candidate, 1/2 at 30 days older, 1/3 at 60: forgetting slows down, as a power law does (Wixted
    and Ebbesen 1991)."""
    if not len(create_time):
        return np.zeros(0)
    age = (create_time.max() - create_time).astype(np.float64)
    signal: Column = _RECENCY_HALF_LIFE / (_RECENCY_HALF_LIFE + age)
    return signal


def graph_match(revision: NDArray[np.int64], graph: Mapping[int, GraphEvidence]) -> Column:
    """e / (e + 1) for e matched entities, halved with every hop; 0 for candidates the graph does not know, shape (n,).

    Revisions of the graph that are no candidates are passed over.

    Args:
        revision: Ascending.
        graph: Evidence by revision.
    """
    strength = np.zeros(len(revision))
    if graph and len(revision):
        found = np.fromiter(graph, dtype=np.int64, count=len(graph))
        values = np.fromiter(
            (e.entities / (e.entities + 1) * 0.5**e.hops for e in graph.values()), dtype=np.float64, count=len(graph)
        )
        place = np.minimum(np.searchsorted(revision, found), len(revision) - 1)
        known = revision[place] == found
        strength[place[known]] = values[known]
    return strength
