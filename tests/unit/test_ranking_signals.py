"""Signals beside keyword and dense evidence."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from memoir_server.domain.dates import date_affinity, parse_dates
from memoir_server.domain.memory import MemoryKind
from memoir_server.domain.ranking.evidence import GraphEvidence
from memoir_server.domain.ranking.recipes import RecipeSettings, settings_for
from memoir_server.domain.ranking.signals import (
    conversation,
    date_affinities,
    graph_match,
    recency,
    speaker_match,
)
from memoir_server.domain.search import Recipe
from memoir_server.domain.time import from_datetime, to_datetime
from tests.unit.ranking_candidates import DAY, START, Row, columns, rows

SETTINGS = replace(settings_for(Recipe.BALANCED), previous_turn=0.1, next_turn=0.2, answer=0.4, session=0.5)


def turn(number: int, *, session: int = 0, speaker: str = "Bo", asks: bool = False) -> Row:
    return Row(
        revision=100 * session + number,
        session=session,
        turn=number,
        speaker=speaker,
        asks=asks,
        kind=MemoryKind.EPISODE,
    )


def everyone(given_rows: list[Row]) -> NDArray[np.int64]:
    return np.arange(len(given_rows))


def neighbours(given_rows: list[Row], evidence: list[float], settings: RecipeSettings = SETTINGS) -> list[float]:
    return [
        round(value, 9)
        for value in conversation(columns(given_rows), everyone(given_rows), np.array(evidence), settings)[0].tolist()
    ]


def test_neighbouring_turns_share_evidence() -> None:
    assert neighbours([turn(1), turn(2), turn(3)], [0.0, 1.0, 0.0]) == [0.2, 0.0, 0.1]


def test_turns_that_are_not_adjacent_or_of_another_session_share_nothing() -> None:
    apart = [turn(1), turn(3), turn(2, session=1), turn(4, session=1)]
    assert neighbours(apart, [1.0, 1.0, 1.0, 1.0]) == [0.0, 0.0, 0.0, 0.0]


def test_the_last_turn_of_one_session_is_no_neighbour_of_the_first_of_the_next() -> None:
    assert neighbours([turn(1), turn(2, session=1)], [1.0, 1.0]) == [0.0, 0.0]


def test_memories_without_a_session_have_no_neighbours() -> None:
    loose = [replace(turn(n), session=-1) for n in (1, 2)]
    facts = [replace(turn(n), kind=MemoryKind.FACT) for n in (1, 2)]
    assert neighbours(loose, [1.0, 1.0]) == neighbours(facts, [1.0, 1.0]) == [0.0, 0.0]


def test_an_answer_takes_more_from_a_question_by_somebody_else() -> None:
    question = turn(1, speaker="Anna", asks=True)
    assert neighbours([question, turn(2)], [1.0, 0.0])[1] == 0.5
    assert neighbours([question, turn(2, speaker="Anna")], [1.0, 0.0])[1] == 0.1
    assert neighbours([replace(question, asks=False), turn(2)], [1.0, 0.0])[1] == 0.1


def test_a_session_shares_its_best_evidence_and_others_stand_for_themselves() -> None:
    talk = [turn(1), turn(5), turn(1, session=1), Row(revision=900), replace(turn(9), session=-1)]
    prior = conversation(columns(talk), everyone(talk), np.array([0.8, 0.1, 0.2, 0.6, 0.4]), SETTINGS)[1]
    assert prior.tolist() == pytest.approx([0.4, 0.4, 0.1, 0.3, 0.2])


@given(rows(min_size=1), st.data())
def test_evidence_never_leaves_its_session(given_rows: list[Row], data: st.DataObject) -> None:
    evidence = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(given_rows), max_size=len(given_rows))))
    session = data.draw(st.integers(0, 2))
    outside = np.array([row.session != session for row in given_rows])
    quiet = np.where(outside, evidence, 0.0)
    table, places = columns(given_rows), everyone(given_rows)
    loud_result = conversation(table, places, evidence, SETTINGS)
    quiet_result = conversation(table, places, quiet, SETTINGS)
    for loud, silenced in zip(loud_result, quiet_result, strict=True):
        assert loud[outside].tolist() == silenced[outside].tolist()


def test_speaker_match_needs_one_name_and_several_speakers() -> None:
    def matched(talk: list[Row], *named: str) -> list[bool] | None:
        found = speaker_match(columns(talk), everyone(talk), frozenset(named))
        return None if found is None else found.tolist()

    talk = [turn(1, speaker="Anna"), turn(2), turn(3, speaker="")]
    assert matched(talk, "Bo") == [False, True, False]
    assert matched(talk) is None
    assert matched(talk, "Anna", "Bo") is None
    assert matched(talk, "Chidi") is None
    assert matched([turn(1), turn(2, speaker="")], "Bo") is None
    assert matched([], "Bo") is None


@given(
    st.sampled_from(
        (
            "on 7 May 2023",
            "on 7 May",
            "in May",
            "on 29 February",
            "in December",
            "last winter",
            "in winter",
            "in 2022",
            "last week",
            "yesterday",
            "two months ago",
            "on 7/5/2023",
            "on New Year's Eve, 31 December",
            "in March or in 2021",
            "how are you",
        )
    ),
    st.lists(st.integers(-5 * 365 * DAY, 3 * 365 * DAY).map(lambda shift: to_datetime(START + shift)), max_size=20),
    st.sampled_from((dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30)), dt.timezone(-dt.timedelta(hours=8)))),
)
def test_date_affinities_are_those_of_the_single_instants(
    question: str, moments: list[dt.datetime], zone: dt.timezone
) -> None:
    windows = parse_dates(question, now=dt.datetime(2024, 2, 29, 12, tzinfo=zone))
    # The edges of days, where a rounding error would show.
    moments = moments + [
        edge + dt.timedelta(days=d, microseconds=u)
        for w in windows
        for edge in (w.start, w.end)
        for d in (-8, -7, -3, -1, 0, 1, 3, 7, 366)
        for u in (-1, 0, 1)
    ]
    instants = np.array([from_datetime(moment) for moment in moments], dtype=np.int64)
    found = date_affinities(instants, np.arange(len(instants)), windows)
    assert found.tolist() == pytest.approx([date_affinity(windows, moment) for moment in moments])


def test_date_affinities_of_the_ends_of_time() -> None:
    windows = parse_dates("on 7 May", now=dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    ends = np.array(
        [from_datetime(dt.datetime(1, 1, 1, tzinfo=dt.UTC)), from_datetime(dt.datetime.max.replace(tzinfo=dt.UTC))]
    )
    assert date_affinities(ends, np.arange(2), windows).tolist() == [0.0, 0.0]


def test_graph_match_falls_with_hops_and_rises_with_entities() -> None:
    graph = {1: GraphEvidence(0, 1), 2: GraphEvidence(0, 3), 3: GraphEvidence(1, 1), 99: GraphEvidence(0, 9)}
    assert graph_match(np.array([1, 2, 3, 4], dtype=np.int64), graph).tolist() == [0.5, 0.75, 0.25, 0.0]
    assert graph_match(np.array([4], dtype=np.int64), {}).tolist() == [0.0]


def test_recency_halves_in_a_month() -> None:
    assert recency(
        np.array([START, START - 30 * DAY, START - 60 * DAY, START + DAY]), np.arange(3)
    ).tolist() == pytest.approx([1, 1 / 2, 1 / 3])
