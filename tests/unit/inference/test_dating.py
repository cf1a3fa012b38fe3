"""Dates of facts: the model's where they agree with the words, those of the words else; never an empty interval."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoir_server.domain.inference.dating import validity_of
from memoir_server.domain.time import from_datetime

SAID = from_datetime(datetime(2026, 3, 10, 12, tzinfo=UTC))  # a Tuesday


def day(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("when", "valid_from", "valid_until", "begin", "end", "corrected"),
    [
        # Without a date it is true from when it was said.
        ("", "", "", None, None, False),
        ("soon", "", "", None, None, False),
        # The model's dates, as precise as they are.
        ("", "2019", "", "2019-01-01", None, False),
        ("", "2019-07", "", "2019-07-01", None, False),
        ("", "2019-12-31", "2020-12", "2019-12-31", "2020-12-01", False),
        ("", "2026-03-01T10:30:00+02:00", "", "2026-03-01T08:30", None, False),
        ("", "2026-03-01 10:30", "", "2026-03-01T10:30", None, False),
        ("", "2026-03-01T10:30:15.5Z", "", "2026-03-01T10:30:15", None, False),
        ("", "2026-03-01T00:30-0330", "", "2026-03-01T04:00", None, False),
        # Words that leave no choice, against arithmetic that went wrong.
        ("last week", "2026-03-03", "", "2026-03-03", None, False),
        ("last week", "2025-03-03", "", "2026-03-02", None, True),
        ("last week", "2026", "", "2026-03-02", None, True),
        ("two years ago", "2024-06", "", "2024-06-01", None, False),
        ("two years ago", "2019", "", "2024-01-01", None, True),
        ("yesterday", "", "", "2026-03-09", None, True),
        ("yesterday", "2026-03-08", "", "2026-03-08", None, False),
        ("last Friday", "2026-02-27", "", "2026-02-27", None, False),
        ("last Friday", "2026-02-13", "", "2026-03-06", None, True),
        ("since 2019", "2109", "", "2019-01-01", None, True),
        ("tomorrow", "2026-03-11", "", "2026-03-11", None, False),
        # A plan is true from when it is made.
        ("tomorrow", "", "", None, None, False),
        ("next month", "", "", None, None, False),
        # Words that leave a choice, and other languages, are the model's to read.
        ("on Friday", "2026-03-13", "", "2026-03-13", None, False),
        ("in May", "2027-05", "", "2027-05-01", None, False),
        ("há três semanas", "2026-02-17", "", "2026-02-17", None, False),
        ("先月", "2026-02", "", "2026-02-01", None, False),
        # Ends.
        ("until last year", "", "", "open", "2025-01-01", True),
        ("until 2020", "", "2020", "open", "2020-01-01", False),
        ("until tomorrow", "", "", None, "2026-03-11", True),
        ("from 2018 until 2022", "2018", "2022", "2018-01-01", "2022-01-01", False),
        ("only in 2019", "2019", "2019", "2019-01-01", "2020-01-01", False),
        ("", "2022", "2019", "2022-01-01", None, True),
        # What is no date, or none that can be meant.
        ("", "2026-02-30", "", None, None, True),
        ("", "last week", "", None, None, True),
        ("", "0044-03-15", "", None, None, True),
        ("", "2300", "", None, None, True),
        ("", "2026-03-01T25:00", "", None, None, True),
        ("", "9999-12-31", "", None, None, True),
        ("", "2026-03-10T10:00+99:99", "", None, None, True),
    ],
)
def test_when_a_fact_is_true(
    when: str, valid_from: str, valid_until: str, begin: str | None, end: str | None, corrected: bool
) -> None:
    found = validity_of(when=when, valid_from=valid_from, valid_until=valid_until, said=SAID)
    assert found.valid_from == (SAID if begin is None else None if begin == "open" else day(begin))
    assert found.valid_until == (None if end is None else day(end))
    assert found.corrected is corrected


DATES = st.text(max_size=12) | st.from_regex(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}:[0-9]{2}Z?)?)?)?", fullmatch=True)
WORDS = st.text(max_size=20) | st.lists(
    st.sampled_from(
        "last next this week month year yesterday until since 2019 9999 May Friday three days ago 29 February".split()
    ),
    max_size=6,
).map(" ".join)
MOMENTS = st.integers(-62_135_596_800_000_000, 253_402_300_799_000_000) | st.integers(-(2**62), 2**62)


@settings(deadline=None)
@given(WORDS, DATES, DATES, MOMENTS)
def test_an_interval_is_never_empty_whatever_the_model_says(when: str, begin: str, end: str, said: int) -> None:
    found = validity_of(when=when, valid_from=begin, valid_until=end, said=said)
    if found.valid_from is not None and found.valid_until is not None:
        assert found.valid_from < found.valid_until
    assert found.valid_from is not None or found.valid_until is not None
