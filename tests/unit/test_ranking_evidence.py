"""Joining what the arms found."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given

from memoir_server.domain.ranking.bm25 import K1, B, bm25
from memoir_server.domain.ranking.evidence import Evidence
from tests.unit.ranking_candidates import Row, dense, evidence, keyword, rows


def test_speakers_keep_their_names_when_the_arms_number_them_differently() -> None:
    words = keyword(
        [Row(revision=3, speaker="Bo", frequency=(1, 0)), Row(revision=1, speaker="Anna", frequency=(1, 0))]
    )
    near = dense([Row(revision=2, speaker="Anna", cosine=0.5), Row(revision=5, speaker="Chidi"), Row(revision=4)])
    found = Evidence.empty().with_keyword(words).with_dense(near).columns
    named = [found.speaker_names[code] if code >= 0 else "" for code in found.speaker.tolist()]
    assert dict(zip(found.revision.tolist(), named, strict=True)) == {1: "Anna", 2: "Anna", 3: "Bo", 4: "", 5: "Chidi"}


def test_cosines_looked_up_later_fill_in() -> None:
    words = [Row(revision=i, frequency=(1, 0)) for i in (1, 2, 3)]
    found = Evidence.empty().with_keyword(keyword(words)).with_dense(dense([Row(revision=2, cosine=0.5)]))
    assert found.without_cosine().tolist() == [1, 3]
    found = found.with_dense(dense([Row(revision=3, cosine=0.25), Row(revision=1), Row(revision=9)]))
    assert found.without_cosine().tolist() == [1, 9]
    assert found.cosine[1:3].tolist() == [0.5, 0.25]
    assert found.frequency[:, 0].tolist() == [1, 1, 1, 0]


def test_an_unknown_cosine_takes_nothing_away() -> None:
    found = Evidence.empty().with_dense(dense([Row(revision=1, cosine=0.5)])).with_dense(dense([Row(revision=1)]))
    assert found.cosine.tolist() == [0.5]


def test_unknown_revisions() -> None:
    found = evidence([Row(revision=2), Row(revision=4)])
    assert found.unknown(np.array([5, 4, 1, 5], dtype=np.int64)).tolist() == [1, 5]
    assert Evidence.empty().unknown(np.array([7], dtype=np.int64)).tolist() == [7]


@given(rows())
def test_each_candidate_stands_once_with_its_own_values(given_rows: list[Row]) -> None:
    found = evidence(given_rows)
    by_revision = {row.revision: row for row in given_rows}
    assert found.columns.revision.tolist() == sorted(by_revision)
    for place, revision in enumerate(found.columns.revision.tolist()):
        row = by_revision[revision]
        assert found.columns.memory_id[place] == row.memory_id
        assert tuple(found.frequency[place].tolist() or (0, 0)) == row.frequency
        assert (found.columns.turn[place], found.columns.create_time[place]) == (row.turn, row.create_time)
        assert math.isnan(found.cosine[place]) if row.cosine is None else found.cosine[place] == row.cosine


def test_bm25_is_the_published_formula() -> None:
    found = evidence([Row(revision=1, frequency=(2, 1), length=12), Row(revision=2, frequency=(0, 1), length=4)])
    matches = bm25(found)

    def idf(held: int) -> float:
        return math.log(1 + (100 - held + 0.5) / (held + 0.5))

    def saturated(frequency: int, length: int) -> float:
        return frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * length / 8.0))

    expected = [idf(5) * saturated(2, 12) + idf(20) * saturated(1, 12), idf(20) * saturated(1, 4)]
    np.testing.assert_allclose(matches.score, expected, rtol=1e-12)
    assert math.isclose(matches.bound, (idf(5) + idf(20)) * (K1 + 1))
    assert matches.coverage.tolist() == [1.0, 0.5]


@given(rows())
def test_bm25_stays_below_its_bound(given_rows: list[Row]) -> None:
    matches = bm25(evidence(given_rows))
    assert (matches.score < matches.bound).all()


def test_a_past_moment_with_fewer_current_entries_than_matches() -> None:
    words = keyword([Row(revision=1, frequency=(1, 1))], document_frequency=(300, 100))
    scores = bm25(Evidence.empty().with_keyword(words)).score
    assert np.isfinite(scores).all()
    assert scores[0] > 0
