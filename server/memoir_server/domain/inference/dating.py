"""When a fact is true: the model's dates, checked against the words of the conversation and the time they were said.

The model is asked for ISO dates and for the words it took them from. Models are good at reading "a fortnight before
Easter" and bad at arithmetic, so where the words are an expression that rules can read for certain ("three weeks ago",
"last summer", "tomorrow"), a date far outside of it gives way to what the rules say. Words in other languages, and
those that leave a choice ("on Friday", "in May"), are left to the model. Dates are those of UTC, as instants are.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final

from memoir_server.domain.dates import DateWindow, parse_dates
from memoir_server.domain.time import Instant, from_datetime, to_datetime

_DAY: Final = 86_400_000_000
_WEEK: Final = 7 * _DAY
EARLIEST: Final = from_datetime(dt.datetime(1800, 1, 1, tzinfo=dt.UTC))
"""Before this no date of a conversation is believed."""
YEARS_AHEAD: Final = 100
"""More years after the message no date is believed either."""


@dataclass(frozen=True, slots=True)
class Validity:
    """`valid_from` None: from the beginning of time, where only the end is known. Never empty: valid_from lies before
    valid_until. `corrected`: the model's date gave way to the words or to none. `dated`: the conversation tells when it
    began; else it is taken to be true from when it was said."""

    valid_from: Instant | None
    valid_until: Instant | None
    corrected: bool = False
    dated: bool = False


@dataclass(frozen=True, slots=True)
class _Period:
    """A date as precise as it was given: a year, a month, a day or a moment, [start, end)."""

    start: Instant
    end: Instant


def validity_of(*, when: str, valid_from: str, valid_until: str, said: Instant) -> Validity:
    """When a statement is true.

    Args:
        when: The words of the conversation about its time; may be empty.
        valid_from: The model's date of its beginning, ISO 8601, with as much of it as is known; may be empty.
        valid_until: The same of its end, the first moment at which it is no longer true.
        said: When the message was sent. A statement without a known beginning is true from then on.
    """
    begin, end = _believed(valid_from, said), _believed(valid_until, said)
    corrected = (begin is None and bool(valid_from)) or (end is None and bool(valid_until))
    window = _certain(when, said)
    if window is not None:
        if _UNTIL.search(when):
            checked = _against(end, window, when)
            corrected, end = corrected or checked != end, checked
        elif begin is not None or window.start <= said:
            # What lies ahead and was given no beginning is a plan, and a plan is true from when it was made.
            checked = _against(begin, window, when)
            corrected, begin = corrected or checked != begin, checked
    return _interval(begin, end, said, corrected=corrected)


def _interval(begin: _Period | None, end: _Period | None, said: Instant, *, corrected: bool) -> Validity:
    if end is None:
        return Validity(said if begin is None else begin.start, None, corrected, dated=begin is not None)
    if begin is None:
        return Validity(said if said < end.start else None, end.start, corrected)
    if begin.start < end.start:
        return Validity(begin.start, end.start, corrected, dated=True)
    # "Only in 2019" is given as from 2019 until 2019.
    if begin.start < end.end and begin.start == end.start:
        return Validity(begin.start, end.end, corrected, dated=True)
    return Validity(begin.start, None, corrected=True, dated=True)


_ISO: Final = re.compile(
    r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2})"
    r"(?:[T ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.[0-9]{1,9})?)?"
    r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)


def _believed(text: str, said: Instant) -> _Period | None:
    """The period of an ISO date; None where there is none, or one that cannot be meant."""
    match = _ISO.fullmatch(text.strip())
    if match is None:
        return None
    try:
        period = _period(match)
        latest = to_datetime(said).replace(day=1)
        bound = from_datetime(latest.replace(year=min(9999, latest.year + YEARS_AHEAD)))
    except (ValueError, OverflowError):
        return None
    return period if EARLIEST <= period.start < bound else None


def _period(match: re.Match[str]) -> _Period:
    year, month, day = int(match["year"]), int(match["month"] or 1), int(match["day"] or 1)
    if match["hour"]:
        zone = dt.timezone(_offset(match["zone"] or "Z"))
        moment = dt.datetime(
            year, month, day, int(match["hour"]), int(match["minute"]), int(match["second"] or 0), tzinfo=zone
        )
        start = from_datetime(moment)
        return _Period(start, start + 1_000_000)
    start = from_datetime(dt.datetime(year, month, day, tzinfo=dt.UTC))
    if match["day"]:
        return _Period(start, start + _DAY)
    years, next_month = divmod(year * 12 + month if match["month"] else year * 12 + 12, 12)
    return _Period(start, from_datetime(dt.datetime(years, next_month + 1, 1, tzinfo=dt.UTC)))


def _offset(zone: str) -> dt.timedelta:
    if zone == "Z":
        return dt.timedelta()
    digits = zone[1:].replace(":", "")
    offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset


# Words that leave no choice of the side on which a time lies.
_CERTAIN: Final = re.compile(
    r"\b(?:ago|earlier|last|past|previous|yesterday|today|tonight|tomorrow|this|next)\b|\b(?:19|20)[0-9]{2}\b", re.I
)
_UNTIL: Final = re.compile(r"\b(?:until|till|through|ended|ends|stopped)\b", re.I)
_SINCE: Final = re.compile(r"\b(?:since|from|started|began)\b", re.I)
_WEEKDAY: Final = re.compile(r"day\b", re.I)


def _certain(when: str, said: Instant) -> _Period | None:
    """The time the words name, where they leave no choice; None else."""
    if not _CERTAIN.search(when) or (_UNTIL.search(when) and _SINCE.search(when)):
        return None
    try:
        windows = parse_dates(when, now=to_datetime(said))
        return _window_period(windows[0]) if len(windows) == 1 and not windows[0].yearly else None
    except OverflowError:
        return None


def _window_period(window: DateWindow) -> _Period:
    return _Period(from_datetime(window.start), from_datetime(window.end))


def _against(given: _Period | None, window: _Period, when: str) -> _Period:
    """The given time where it agrees with the words, else that of the words. People speak loosely: a time as long as
    the one named may lie between, and a week where a weekday is named."""
    if given is None or given.end - given.start > window.end - window.start:
        # A year given for a week is right, and says less than the words do.
        return window
    slack = max(window.end - window.start, _DAY)
    if _WEEKDAY.search(re.sub(r"\b(?:to|yester|birth)day\b", "", when, flags=re.I)):
        slack = max(slack, _WEEK)
    agrees = given.start < window.end + slack and window.start - slack < given.end
    return given if agrees else window
