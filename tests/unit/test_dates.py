"""Dates in questions: what is read, what is left alone, and how memories fit."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain import dates
from memoir_server.domain.dates import OTHER_YEAR_FACTOR, Precision, date_affinity, parse_dates

# A Wednesday.
NOW = dt.datetime(2024, 5, 15, 10, 30, tzinfo=dt.UTC)


def _spans(query: str) -> list[tuple[str, str]]:
    windows = parse_dates(query, now=NOW)
    return [
        (window.start.date().isoformat(), (window.end - dt.timedelta(days=1)).date().isoformat()) for window in windows
    ]


def _at(year: int, month: int, day: int, hour: int = 12) -> dt.datetime:
    return dt.datetime(year, month, day, hour, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("What happened on 2023-05-07?", "2023-05-07", "2023-05-07"),
        ("2023-05-07T10:00:00Z", "2023-05-07", "2023-05-07"),
        ("plans for 2023-05", "2023-05-01", "2023-05-31"),
        ("on 7 May 2023", "2023-05-07", "2023-05-07"),
        ("on the 7th of May, 2023?", "2023-05-07", "2023-05-07"),
        ("May 7th, 2023", "2023-05-07", "2023-05-07"),
        ("on 3 Sept. 2022", "2022-09-03", "2022-09-03"),
        ("around December 24", "2023-12-24", "2023-12-24"),
        ("on 29 February", "2024-02-29", "2024-02-29"),
        ("on 25/12/2023", "2023-12-25", "2023-12-25"),
        ("in February 2024", "2024-02-01", "2024-02-29"),
        ("in May of 2023", "2023-05-01", "2023-05-31"),
        ("in March", "2024-03-01", "2024-03-31"),
        ("since june", "2023-06-01", "2023-06-30"),
        ("last May", "2023-05-01", "2023-05-31"),
        ("last March", "2024-03-01", "2024-03-31"),
        ("this May", "2024-05-01", "2024-05-31"),
        ("next May", "2025-05-01", "2025-05-31"),
        ("in March last year", "2023-03-01", "2023-03-31"),
        ("the May meeting", "2024-05-01", "2024-05-31"),
        ("the january trip", "2024-01-01", "2024-01-31"),
        ("in late October", "2023-10-01", "2023-10-31"),
        ("in mid-July 2022", "2022-07-01", "2022-07-31"),
        ("back in 2021", "2021-01-01", "2021-12-31"),
        ("yesterday", "2024-05-14", "2024-05-14"),
        ("the day before yesterday", "2024-05-13", "2024-05-13"),
        ("what did I eat last night", "2024-05-14", "2024-05-14"),
        ("this morning", "2024-05-15", "2024-05-15"),
        ("tomorrow", "2024-05-16", "2024-05-16"),
        ("last week", "2024-05-06", "2024-05-12"),
        ("last weekend", "2024-05-11", "2024-05-12"),
        ("this week", "2024-05-13", "2024-05-19"),
        ("last month", "2024-04-01", "2024-04-30"),
        ("last year", "2023-01-01", "2023-12-31"),
        ("3 days ago", "2024-05-12", "2024-05-12"),
        ("two weeks ago", "2024-04-28", "2024-05-04"),
        ("a couple of weeks ago", "2024-04-28", "2024-05-04"),
        ("a few days ago", "2024-05-12", "2024-05-12"),
        ("six months ago", "2023-11-01", "2023-11-30"),
        ("a year ago", "2023-01-01", "2023-12-31"),
        ("in the last 10 days", "2024-05-05", "2024-05-15"),
        ("over the past week", "2024-05-08", "2024-05-15"),
        ("on Monday", "2024-05-13", "2024-05-13"),
        ("last Wednesday", "2024-05-08", "2024-05-08"),
        ("next Friday", "2024-05-17", "2024-05-17"),
        ("last summer", "2023-06-01", "2023-08-31"),
        ("last winter", "2023-12-01", "2024-02-29"),
        ("in the summer of 2022", "2022-06-01", "2022-08-31"),
        ("in the fall", "2023-09-01", "2023-11-30"),
    ],
)
def test_expressions(query: str, first: str, last: str) -> None:
    assert _spans(query) == [(first, last)]


@pytest.mark.parametrize(
    "query",
    [
        "May I ask you something?",
        "what may happen next",
        "did they march to the station",
        "the march against the war",
        "What did April say to June?",
        "did he fall in love",
        "the spring in the mattress",
        "an august person",
        "30 February 2023",
        "on 32 May",
        "31/31/2023",
        "2023-13-01",
        "it cost $2000",
        "2,000 steps and 1999.5 points",
        "room 20235",
        "a week of rain",
        "9999 years ago",
        "every second counts",
        "",
    ],
)
def test_what_is_no_date(query: str) -> None:
    assert parse_dates(query, now=NOW) == ()


def test_several_dates_keep_their_order_and_do_not_repeat() -> None:
    query = "between 5 May 2023 and 10 June 2023, or in 2021, or on 5 May 2023"
    assert _spans(query) == [("2023-05-05", "2023-05-05"), ("2023-06-10", "2023-06-10"), ("2021-01-01", "2021-12-31")]


def test_ambiguous_numbers_count_half_each() -> None:
    windows = parse_dates("on 7/5/2023", now=NOW)
    assert {(window.start.month, window.start.day, window.weight) for window in windows} == {(5, 7, 0.5), (7, 5, 0.5)}
    assert [window.weight for window in parse_dates("on 5/5/2023", now=NOW)] == [1.0]


def test_windows_lie_in_the_askers_time_zone() -> None:
    zone = dt.timezone(dt.timedelta(hours=-8))
    (window,) = parse_dates("today", now=dt.datetime(2024, 5, 15, 23, 30, tzinfo=zone))
    assert window.start == dt.datetime(2024, 5, 15, tzinfo=zone)
    assert window.precision is Precision.DAY
    # 06:00 on the 16th in UTC is still the 15th there.
    week = parse_dates("this week", now=dt.datetime(2024, 5, 19, 23, 30, tzinfo=zone))
    assert date_affinity(week, _at(2024, 5, 20, 6)) == 1.0


@pytest.mark.parametrize(
    ("query", "when", "expected"),
    [
        ("on 7 May 2023", _at(2023, 5, 7), 1.0),
        ("on 7 May 2023", _at(2023, 5, 8), 1.0),
        ("on 7 May 2023", _at(2023, 5, 13), 0.5),
        ("on 7 May 2023", _at(2023, 5, 20), 0.0),
        ("last week", _at(2024, 5, 9), 1.0),
        ("last week", _at(2024, 5, 14), 0.5),
        ("in February 2024", _at(2024, 2, 29), 1.0),
        ("in February 2024", _at(2024, 3, 1), 0.0),
        ("in 2021", _at(2021, 8, 1), 0.3),
        ("last summer", _at(2023, 7, 1), 0.6),
        ("in March", _at(2024, 3, 3), 1.0),
        ("in March", _at(2022, 3, 3), OTHER_YEAR_FACTOR),
        ("in March", _at(2022, 4, 3), 0.0),
        ("last March", _at(2022, 3, 3), 0.0),
        ("on December 31", _at(2021, 1, 1), OTHER_YEAR_FACTOR),
        ("in the winter", _at(2021, 1, 15), 0.6 * OTHER_YEAR_FACTOR),
        ("nothing about time", _at(2024, 5, 15), 0.0),
    ],
)
def test_affinity(query: str, when: dt.datetime, expected: float) -> None:
    assert date_affinity(parse_dates(query, now=NOW), when) == pytest.approx(expected)


def test_the_best_window_counts() -> None:
    windows = parse_dates("in 2021 or on 7 May 2023", now=NOW)
    assert date_affinity(windows, _at(2023, 5, 7)) == 1.0
    assert date_affinity(windows, _at(2021, 5, 7)) == 0.3


def test_times_need_a_zone() -> None:
    naive = dt.datetime(2024, 5, 15)  # noqa: DTZ001 - the point of the test
    with pytest.raises(ValueError, match="time zone"):
        parse_dates("today", now=naive)
    with pytest.raises(ValueError, match="time zone"):
        date_affinity((), naive)


WORDS = st.lists(
    st.sampled_from(
        "in on last next this the a 2 9999 29 2023 2023-02 7/5/2023 may march february winter fall week weeks"
        " year days ago couple of past yesterday monday weekend and , éİ".split()
    )
)


@given(
    WORDS.map(" ".join) | st.text(), st.datetimes(timezones=st.just(dt.UTC)), st.datetimes(timezones=st.just(dt.UTC))
)
def test_any_text_at_any_time_reads_in_order_and_in_bounds(query: str, now: dt.datetime, when: dt.datetime) -> None:
    windows = parse_dates(query, now=now)
    for window in windows:
        assert window.start < window.end
        assert 0 < window.weight <= 1
    assert 0 <= date_affinity(windows, when) <= 1
    assert len(set(windows)) == len(windows)


class _EveryWord:
    """A question that holds every word a rule may need."""

    @staticmethod
    def findall(text: str) -> list[str]:
        return list(dates._EVERY_NEEDED)


pieces = st.sampled_from(
    [
        *(
            "may",
            "May",
            "march",
            "7",
            "7th",
            "2023",
            "1999-12",
            "2023-05-07",
            "7/5/2023",
            "the",
            "of",
            "in",
            "on",
            "last",
        ),
        *("next", "this", "past", "two", "a couple of", "weeks", "week", "ago", "day", "before", "yesterday", "night"),
        *("tonight", "today", "morning", "evening", "summer", "fall", "late", "monday", "Fridays", "weekend", "since"),
        *("year", "years", "who", "met", "anna's", "mayor", "sunday\u2019s", "\u0130", "19", "decade", "spring."),
    ]
)


@given(st.lists(st.tuples(pieces, st.sampled_from([" ", " ", " ", ", ", "-", "?", "\n"])), max_size=9))
def test_leaving_rules_out_changes_nothing(words: list[tuple[str, str]]) -> None:
    query = "".join(word + space for word, space in words)
    quick = parse_dates(query, now=NOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dates, "_WORD", _EveryWord)
        assert parse_dates(query, now=NOW) == quick
