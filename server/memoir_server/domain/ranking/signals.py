"""Signals beside keyword and dense evidence: conversation, people, dates, the graph, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.compiled import compiled
from memoir_server.domain.dates import OTHER_YEAR_FACTOR, DateWindow, Precision
from memoir_server.domain.entry import CandidateColumns
from memoir_server.domain.memory import MemoryKind
from memoir_server.domain.ranking.evidence import GraphEvidence
from memoir_server.domain.ranking.recipes import RecipeSettings
from memoir_server.domain.time import from_datetime, to_datetime

_DAY: Final = 86_400_000_000
"""Microseconds."""
_TURN_BITS: Final = 32
_RECENCY_HALF_LIFE: Final = 30 * _DAY
"""Age at which the recency signal is half."""

Column = NDArray[np.float64]


def conversation(
    table: CandidateColumns, rows: NDArray[np.int64], evidence: Column, settings: RecipeSettings
) -> tuple[Column, Column]:
    """What episodes take over from neighbouring turns and from their session, two columns of shape (n,).

    Neighbours are the turns numbered one lower and one higher in the same session; they count as far as they are
    candidates. The session's share is that of its best episode, after neighbours; a memory outside any session, or of
    another kind, stands for itself, so that a session gains nothing by being one.

    Args:
        table, rows: The candidates.
        evidence: Of each candidate, shape (n,).
        settings: Of the recipe.
    """
    neighbour, prior = np.zeros(len(rows)), settings.session * evidence
    episodes, key = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.int64)
    count = _episodes(table.kind, table.session, table.turn, rows, int(MemoryKind.EPISODE), episodes, key)
    if count:
        order = np.argsort(key[:count], kind="stable")
        _conversation(
            *(table.speaker, table.asks, rows, evidence, episodes[order], key[order]),
            *(settings.previous_turn, settings.next_turn, settings.answer, settings.session),
            *(neighbour, prior),
        )
    return neighbour, prior


@compiled("int64(int64[::1], int64[::1], int64[::1], int64[::1], int64, int64[::1], int64[::1])")
def _episodes(
    kind: NDArray[np.int64],
    session: NDArray[np.int64],
    turn: NDArray[np.int64],
    rows: NDArray[np.int64],
    episode: int,
    places: NDArray[np.int64],
    key: NDArray[np.int64],
) -> int:
    """Notes the places of the numbered turns of sessions, and a key of each that says session and turn; returns how
    many."""
    count = 0
    for place in range(len(rows)):
        row = rows[place]
        if kind[row] == episode and session[row] >= 0 and turn[row] > 0:
            places[count] = place
            key[count] = (session[row] << _TURN_BITS) + turn[row]
            count += 1
    return count


@compiled(
    "void(int64[::1], boolean[::1], int64[::1], float64[::1], int64[::1], int64[::1],"
    " float64, float64, float64, float64, float64[::1], float64[::1])"
)
def _conversation(
    speaker: NDArray[np.int64],
    asks: NDArray[np.bool_],
    rows: NDArray[np.int64],
    evidence: Column,
    episodes: NDArray[np.int64],
    key: NDArray[np.int64],
    previous_turn: float,
    next_turn: float,
    answer: float,
    of_session: float,
    neighbour: Column,
    prior: Column,
) -> None:
    """Sets the neighbours' shares and the sessions' best; `episodes` are places in the order of `key`."""
    count = len(episodes)
    for i in range(count - 1):
        if key[i + 1] - key[i] != 1:
            continue
        one, other = episodes[i], episodes[i + 1]
        neighbour[one] += next_turn * evidence[other]
        answers = asks[rows[one]] and speaker[rows[one]] != speaker[rows[other]]
        neighbour[other] += (previous_turn + (answer if answers else 0.0)) * evidence[one]
    start = 0
    for i in range(1, count + 1):
        if i < count and key[i] >> _TURN_BITS == key[start] >> _TURN_BITS:
            continue
        best = evidence[episodes[start]] + neighbour[episodes[start]]
        for j in range(start + 1, i):
            best = max(best, evidence[episodes[j]] + neighbour[episodes[j]])
        for j in range(start, i):
            prior[episodes[j]] = of_session * best
        start = i


def speaker_match(table: CandidateColumns, rows: NDArray[np.int64], named: frozenset[str]) -> NDArray[np.bool_] | None:
    """Which candidates the one person named said; None when the query names nobody or several, or when the candidates
    have fewer than two speakers, so that the name tells nothing."""
    if len(named) != 1:
        return None
    (name,) = named
    if name not in table.speaker_names or not len(rows):
        return None
    speaker = table.speaker[rows]
    spoken = speaker[speaker >= 0]
    if not len(spoken) or spoken.min() == spoken.max():
        return None
    matched: NDArray[np.bool_] = speaker == table.speaker_names.index(name)
    return matched


# As in `dates.date_affinity`, which says the same of one instant: (most days outside the window, factor).
_FADE: Final[dict[Precision, tuple[tuple[int, float], ...]]] = {
    Precision.DAY: ((1, 1.0), (7, 0.5)),
    Precision.WEEK: ((0, 1.0), (3, 0.5)),
    Precision.MONTH: ((0, 1.0),),
    Precision.SEASON: ((0, 1.0),),
    Precision.YEAR: ((0, 1.0),),
}


def date_affinities(create_time: NDArray[np.int64], rows: NDArray[np.int64], windows: Sequence[DateWindow]) -> Column:
    """`dates.date_affinity` of the instants of some rows, shape (n,): the best of the windows, 0..1."""
    yearly = any(window.yearly for window in windows)
    earliest, latest = _spread(create_time, rows) if yearly else (0, -1)
    spans: list[int] = []
    worth: list[float] = []
    for window in windows:
        _note_spans(spans, worth, window, window.weight)
        if window.yearly and earliest <= latest:
            # The same days of every year there is a row from, and of the years beside, which a window may reach into.
            for year in range(max(_year(earliest) - 1, 1), min(_year(latest) + 2, 10_000)):
                moved = _moved_to(window, year)
                if moved is not None:
                    _note_spans(spans, worth, moved, OTHER_YEAR_FACTOR * window.weight)
    best = np.zeros(len(rows))
    _best_span(create_time, rows, np.array(spans, dtype=np.int64).reshape(-1, 2), np.array(worth, np.float64), best)
    return best


def _note_spans(spans: list[int], worth: list[float], window: DateWindow, weight: float) -> None:
    """What the window gives, and where. Windows are whole days, and so is what counts as near: the days before and
    after."""
    start, end = from_datetime(window.start), from_datetime(window.end)
    for days, factor in _FADE[window.precision]:
        spans += (start - days * _DAY, end + days * _DAY)
        worth.append(weight * factor)


@compiled("UniTuple(int64, 2)(int64[::1], int64[::1])")
def _spread(instants: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[int, int]:
    """Least and greatest; (0, -1) of none."""
    if len(rows) == 0:
        return 0, -1
    least = greatest = instants[rows[0]]
    for row in rows:
        least = min(least, instants[row])
        greatest = max(greatest, instants[row])
    return least, greatest


@compiled("void(int64[::1], int64[::1], int64[:, ::1], float64[::1], float64[::1])")
def _best_span(
    instants: NDArray[np.int64], rows: NDArray[np.int64], spans: NDArray[np.int64], worth: Column, best: Column
) -> None:
    for i in range(len(rows)):
        for j in range(len(worth)):
            if spans[j, 0] <= instants[rows[i]] < spans[j, 1]:
                best[i] = max(best[i], worth[j])


def _year(instant: int) -> int:
    return to_datetime(instant).year


def _moved_to(window: DateWindow, year: int) -> DateWindow | None:
    """The same days of another year; None where that year lacks the first."""
    try:
        start = window.start.replace(year=year)
        return DateWindow(start, start + (window.end - window.start), window.precision, window.weight)
    except (ValueError, OverflowError):
        return None


def recency(create_time: NDArray[np.int64], rows: NDArray[np.int64]) -> Column:
    """1 for the newest of some rows, 1/2 at 30 days older, 1/3 at 60: forgetting slows down, as a power law does
    (Wixted and Ebbesen 1991)."""
    moments = create_time[rows]
    if not len(moments):
        return np.zeros(0)
    signal: Column = _RECENCY_HALF_LIFE / (_RECENCY_HALF_LIFE + (moments.max() - moments).astype(np.float64))
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
