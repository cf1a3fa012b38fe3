"""Dates in a question, read by rules: "on 7 May 2023", "in March", "two weeks ago", "last summer".

Reading them lets search prefer memories from that time. English expressions and ISO dates; no guess is made about other
languages. All windows are whole days in the time zone of ``now``, which is when the question is asked.
"""

from __future__ import annotations

import calendar
import datetime as dt
import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_DAY: Final = dt.timedelta(days=1)

OTHER_YEAR_FACTOR: Final = 0.9
"""Weight of another year when the question names none: "in May" means the latest May first, but any May fits."""


class Precision(enum.Enum):
    """How sharply a question points at a time."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    SEASON = "season"
    YEAR = "year"


# What a memory inside the window is worth. A year holds so much that it says little about one memory.
_WEIGHT: Final = {
    Precision.DAY: 1.0,
    Precision.WEEK: 1.0,
    Precision.MONTH: 1.0,
    Precision.SEASON: 0.6,
    Precision.YEAR: 0.3,
}

# (most days outside the window, factor): people speak of a day a little before or after it.
_FADE: Final[dict[Precision, tuple[tuple[int, float], ...]]] = {
    Precision.DAY: ((1, 1.0), (7, 0.5)),
    Precision.WEEK: ((0, 1.0), (3, 0.5)),
    Precision.MONTH: ((0, 1.0),),
    Precision.SEASON: ((0, 1.0),),
    Precision.YEAR: ((0, 1.0),),
}


@dataclass(frozen=True, slots=True)
class DateWindow:
    """A span of time a question points at.

    Attributes:
        start: First instant, midnight in the asker's time zone.
        end: First instant after it, a later midnight.
        precision: Unit the question spoke in.
        weight: Value of a memory from inside the window, in (0, 1].
        yearly: The question named no year: the window is the latest one, the same days of other years fit too.
    """

    start: dt.datetime
    end: dt.datetime
    precision: Precision
    weight: float
    yearly: bool = False


def parse_dates(query: str, *, now: dt.datetime) -> tuple[DateWindow, ...]:
    """Every time a question points at, in the order of the question, without repeats.

    Words that are dates only sometimes ("may", "march", "april" the name, "fall") count only with something that makes
    them one: a year, a day, or a word such as "in", "last", "since". Impossible dates (30 February) are no dates.

    Args:
        query: The question.
        now: When it is asked; relative expressions count from here.

    Raises:
        ValueError: If ``now`` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError(f"now={now.isoformat()}: give a time with a time zone")
    lowered = query.lower()
    words = _EVERY_NEEDED.intersection(_WORD.findall(lowered))
    if not words:
        # Most questions point at no time.
        return ()
    reading = _Reading(now)
    # Each rule takes its words out of the question, so that "7 May 2023" is not also "May" and "2023".
    rest = lowered.replace("\u2019", "'")
    if len(rest) != len(query):
        # Lower-casing a few letters changes their number; the original is only consulted for capitals.
        query = rest
    found: list[tuple[int, DateWindow]] = []
    for needed, pattern, rule in _RULES:
        if needed.isdisjoint(words):
            # Most questions have words for one or two rules at most; a search through them all costs ten times as much.
            continue
        for match in pattern.finditer(rest):
            try:
                windows = rule(reading, match, query[match.start() : match.end()])
            except (ValueError, OverflowError):
                # 30 February, or a time before the calendar begins: no date, and "February" alone was not meant either.
                windows = ()
            else:
                if not windows:
                    continue
            found.extend((match.start(), window) for window in windows)
            rest = rest[: match.start()] + " " * len(match[0]) + rest[match.end() :]
    if len(found) == 1:
        return (found[0][1],)
    found.sort(key=lambda item: item[0])
    return tuple(dict.fromkeys(window for _, window in found))


def date_affinity(windows: tuple[DateWindow, ...], when: dt.datetime) -> float:
    """How well a memory's time fits the times a question points at: 0 (not at all, or no windows) to 1.

    The best window counts: its weight inside, for days and weeks fading over the days around it.

    Raises:
        ValueError: If ``when`` has no time zone.
    """
    if when.tzinfo is None:
        raise ValueError(f"when={when.isoformat()}: give a time with a time zone")
    return max((_affinity(window, when) for window in windows), default=0.0)


def _affinity(window: DateWindow, when: dt.datetime) -> float:
    try:
        day = when.astimezone(window.start.tzinfo).date()
    except OverflowError:
        # The first or last day of the calendar, shifted out of it.
        day = when.date()
    first, last = window.start.date(), (window.end - _DAY).date()
    best = _faded(window, _gap_days(first, last, day))
    if window.yearly:
        for year in (day.year - 1, day.year, day.year + 1):
            try:
                start = first.replace(year=year)
                gap = _gap_days(start, start + (last - first), day)
            except (ValueError, OverflowError):
                continue
            best = max(best, OTHER_YEAR_FACTOR * _faded(window, gap))
    return best


def _gap_days(first: dt.date, last: dt.date, day: dt.date) -> int:
    return max((first - day).days, (day - last).days, 0)


def _faded(window: DateWindow, gap_days: int) -> float:
    for most, factor in _FADE[window.precision]:
        if gap_days <= most:
            return window.weight * factor
    return 0.0


_MONTH_NUMBER: Final = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
_MONTH_NUMBER.update({name[:3]: number for name, number in list(_MONTH_NUMBER.items())})
_MONTH_NUMBER["sept"] = 9
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SEASON_MONTH: Final = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_NUMBERS: Final = {
    **{
        word: value
        for value, word in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), 1)
    },
    "a": 1,
    "an": 1,
    "couple": 2,
    "few": 3,
    "several": 4,
}
# Month names that are also verbs, people's names or other words; abbreviations among them.
_AMBIGUOUS_MONTHS: Final = frozenset("march may april june august jan mar apr jun aug sep dec".split())


class _Reading:
    """Makes windows; knows when the question is asked."""

    def __init__(self, now: dt.datetime) -> None:
        self.zone = now.tzinfo
        self.today = now.date()

    def window(
        self, first: dt.date, after: dt.date, precision: Precision, *, yearly: bool = False, weight: float = 1.0
    ) -> DateWindow:
        start, end = (dt.datetime(day.year, day.month, day.day, tzinfo=self.zone) for day in (first, after))
        return DateWindow(start, end, precision, _WEIGHT[precision] * weight, yearly)

    def day(self, day: dt.date, *, yearly: bool = False, weight: float = 1.0) -> DateWindow:
        return self.window(day, day + _DAY, Precision.DAY, yearly=yearly, weight=weight)

    def week(self, monday: dt.date) -> DateWindow:
        return self.window(monday, monday + 7 * _DAY, Precision.WEEK)

    def month(self, year: int, month: int, *, yearly: bool = False) -> DateWindow:
        first = dt.date(year, month, 1)
        return self.window(first, _add_months(first, 1), Precision.MONTH, yearly=yearly)

    def year(self, year: int) -> DateWindow:
        return self.window(dt.date(year, 1, 1), dt.date(year + 1, 1, 1), Precision.YEAR)

    def season(self, year: int, month: int, *, yearly: bool = False) -> DateWindow:
        first = dt.date(year, month, 1)
        return self.window(first, _add_months(first, 3), Precision.SEASON, yearly=yearly)

    def latest_year(self, month: int, day: int = 1) -> int:
        """Year of the latest such day that is not after today (29 February: the latest leap year)."""
        year = self.today.year
        while (month, day) == (2, 29) and not calendar.isleap(year):
            year -= 1
        if dt.date(year, month, day) <= self.today:
            return year
        return year - 4 if (month, day) == (2, 29) else year - 1


def _add_months(day: dt.date, months: int) -> dt.date:
    """First day of the month that lies ``months`` after the month of ``day``."""
    years, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return dt.date(years, month + 1, 1)


_Windows = tuple[DateWindow, ...]
_Rule = Callable[[_Reading, re.Match[str], str], _Windows]


def _iso(reading: _Reading, match: re.Match[str], original: str) -> _Windows:
    if match["day"]:
        return (reading.day(dt.date(int(match["year"]), int(match["month"]), int(match["day"]))),)
    return (reading.month(int(match["year"]), int(match["month"])),)


def _numeric(reading: _Reading, match: re.Match[str], original: str) -> _Windows:
    """7/5/2023: day first or month first; when both are possible, both at half weight."""
    one, two, year = int(match["one"]), int(match["two"]), int(match["year"])
    readings = [dt.date(year, month, day) for day, month in dict.fromkeys(((one, two), (two, one))) if month <= 12]
    return tuple(reading.day(day, weight=1.0 / len(readings)) for day in readings)


def _day_of_month(reading: _Reading, match: re.Match[str], original: str) -> _Windows:
    month, day = _MONTH_NUMBER[match["name"]], int(match["day"])
    if match["year"]:
        return (reading.day(dt.date(int(match["year"]), month, day)),)
    return (reading.day(dt.date(reading.latest_year(month, day), month, day), yearly=True),)


def _named_month(reading: _Reading, match: re.Match[str], original: str) -> _Windows:
    name, cue, month = match["name"], match["cue"], _MONTH_NUMBER[match["name"]]
    if match["year"]:
        return (reading.month(int(match["year"]), month),)
    this_year = reading.today.year
    if match["relative"]:
        return (reading.month(this_year - (match["relative"] == "last"), month),)
    if cue == "last":
        return (reading.month(this_year - (month >= reading.today.month), month),)
    if cue == "next":
        return (reading.month(this_year + (month <= reading.today.month), month),)
    if cue == "this":
        return (reading.month(this_year, month),)
    if name in _AMBIGUOUS_MONTHS:
        # "the May meeting" but not "the march against"; "in may" in whatever case.
        capital = original[match.start("name") - match.start()].isupper()
        if cue is None or (cue == "the" and not capital):
            return ()
    return (reading.month(reading.latest_year(month), month, yearly=True),)


def _season(reading: _Reading, match: re.Match[str], original: str) -> _Windows:
    """Seasons of the northern hemisphere; a winter is named after the year it begins in."""
    month, this_year = _SEASON_MONTH[match["name"]], reading.today.year
    if match["year"]:
        return (reading.season(int(match["year"]), month),)
    if match["relative"]:
        return (reading.season(this_year - (match["relative"] == "last"), month),)
    cue = match["cue"]
    if cue == "last":
        # The latest that is over.
        over = _add_months(dt.date(this_year, month, 1), 3) <= reading.today
        latest = this_year if over else this_year - 1
        if _add_months(dt.date(latest, month, 1), 3) > reading.today:
            latest -= 1
        return (reading.season(latest, month),)
    if cue == "this":
        return (reading.season(this_year, month),)
    if cue == "next":
        return (reading.season(this_year + (dt.date(this_year, month, 1) <= reading.today), month),)
    return (reading.season(reading.latest_year(month), month, yearly=True),) if cue else ()


def _ago(reading: _Reading, match: re.Match[str], original: str) -> _Windows:
    count = _count(match["count"])
    unit, today = match["unit"], reading.today
    if unit == "day":
        return (reading.day(today - count * _DAY),)
    if unit == "week":
        middle = today - 7 * count * _DAY
        return (reading.window(middle - 3 * _DAY, middle + 4 * _DAY, Precision.WEEK),)
    if unit == "month":
        then = _add_months(today, -count)
        return (reading.month(then.year, then.month),)
    return (reading.year(today.year - count),)


def _span(reading: _Reading, match: re.Match[str], original: str) -> _Windows:
    """The last N units, today included."""
    count, today = _count(match["count"] or "one"), reading.today
    days = {"day": 1, "week": 7, "month": 30, "year": 365}[match["unit"]] * count
    precision = next((unit for most, unit in _SPANS if days <= most), Precision.YEAR)
    return (reading.window(today - days * _DAY, today + _DAY, precision),)


_SPANS: Final = ((2, Precision.DAY), (10, Precision.WEEK), (62, Precision.MONTH), (186, Precision.SEASON))


def _calendar_unit(reading: _Reading, match: re.Match[str], original: str) -> _Windows:
    step = {"last": -1, "previous": -1, "this": 0, "next": 1}[match["cue"]]
    today, unit = reading.today, match["unit"]
    monday = today - today.weekday() * _DAY
    if unit == "week":
        return (reading.week(monday + 7 * step * _DAY),)
    if unit == "weekend":
        saturday = monday + (5 + 7 * step) * _DAY
        return (reading.window(saturday, saturday + 2 * _DAY, Precision.DAY),)
    if unit == "month":
        then = _add_months(today, step)
        return (reading.month(then.year, then.month),)
    return (reading.year(today.year + step),)


def _weekday(reading: _Reading, match: re.Match[str], original: str) -> _Windows:
    """The latest such day before today; "this" and "next" look ahead."""
    today = reading.today
    ahead = (_WEEKDAYS.index(match["name"]) - today.weekday()) % 7
    if match["cue"] == "next":
        return (reading.day(today + (ahead or 7) * _DAY),)
    if match["cue"] == "this":
        return (reading.day(today + ahead * _DAY),)
    return (reading.day(today + (ahead - 7) * _DAY),)


def _named_day(reading: _Reading, match: re.Match[str], original: str) -> _Windows:
    shift = {"day before yesterday": -2, "yesterday": -1, "last night": -1, "tomorrow": 1}.get(
        re.sub(r"\s+", " ", match[0]), 0
    )
    return (reading.day(reading.today + shift * _DAY),)


def _bare_year(reading: _Reading, match: re.Match[str], original: str) -> _Windows:
    return (reading.year(int(match["year"])),)


def _count(word: str) -> int:
    word = word.removesuffix(" of").removeprefix("a ").strip()
    return int(word) if word.isdigit() else _NUMBERS[word]


_MONTHS: Final = "(?P<name>" + "|".join(sorted(_MONTH_NUMBER, key=len, reverse=True)) + r")\b\.?"
_DAY_NUMBER: Final = r"(?P<day>[0-3]?[0-9])(?:st|nd|rd|th)?\b"
_YEAR: Final = r"(?P<year>(?:19|20)[0-9]{2})\b"
_OPTIONAL_YEAR: Final = rf"(?:,?\s+(?:of\s+|in\s+)?{_YEAR}(?!:))?"
_OF_YEAR: Final = rf"(?:,?\s+(?:of\s+)?(?:{_YEAR}|(?P<relative>this|last)\s+year\b))?"
_COUNT: Final = (
    r"(?P<count>[0-9]{1,4}|a\s+couple\s+of|a\s+couple|a\s+few|couple\s+of|several|few|an?|"
    + "|".join(word for word in _NUMBERS if len(word) > 2 and word not in ("few", "several", "couple"))
    + ")"
)
_UNIT: Final = r"(?P<unit>day|week|month|year)"
_CUES: Final = (
    r"(?:\b(?P<cue>in|of|on|during|since|until|till|by|before|after|around|from|through|last|this|next|early|late|mid|every|and|or|the)"
    r"(?:\s+|-)(?:(?:early|late|mid|the)(?:\s+|-))?)?"
)
_SEASON_CUES: Final = (
    r"(?:\b(?P<cue>in|of|during|since|until|by|before|after|from|last|this|next|early|late|every)\s+(?:the\s+)?)?"
)

_WORD: Final = re.compile("[a-z]+|19|20")
"""Runs of letters, and the beginnings of years: cut finer than any rule cuts words, so that none is missed."""
_YEARS_NEEDED: Final = frozenset({"19", "20"})
_MONTHS_NEEDED: Final = frozenset(_MONTH_NUMBER)
_UNITS_NEEDED: Final = frozenset("day days week weeks month months year years".split())
_CALENDAR_NEEDED: Final = frozenset("weekend week month year".split())
_DAYS_NEEDED: Final = frozenset("yesterday today tonight tomorrow night".split())
_DAYTIMES_NEEDED: Final = frozenset("morning afternoon evening".split())

_RULES: Final[tuple[tuple[frozenset[str], re.Pattern[str], _Rule], ...]] = tuple(
    (needed, re.compile(pattern, re.ASCII), rule)
    for needed, pattern, rule in (
        (
            _YEARS_NEEDED,
            r"(?<![\w-])(?P<year>(?:19|20)[0-9]{2})[-/](?P<month>[0-9]{1,2})(?:[-/](?P<day>[0-9]{1,2}))?(?![0-9/-])",
            _iso,
        ),
        (
            _YEARS_NEEDED,
            r"(?<![\w/.-])(?P<one>[0-9]{1,2})[/.](?P<two>[0-9]{1,2})[/.](?P<year>(?:19|20)[0-9]{2})\b",
            _numeric,
        ),
        (_MONTHS_NEEDED, rf"\b{_DAY_NUMBER}\s+(?:of\s+)?{_MONTHS}{_OPTIONAL_YEAR}", _day_of_month),
        (_MONTHS_NEEDED, rf"\b{_MONTHS}\s+(?:the\s+)?{_DAY_NUMBER}{_OPTIONAL_YEAR}", _day_of_month),
        (_UNITS_NEEDED, rf"\b{_COUNT}\s+{_UNIT}s?\s+(?:ago|earlier|back)\b", _ago),
        (_UNITS_NEEDED, rf"\b(?:(?:last|past|previous)\s+(?:{_COUNT}\s+)|past\s+){_UNIT}s?\b", _span),
        (_MONTHS_NEEDED, rf"{_CUES}\b{_MONTHS}{_OF_YEAR}", _named_month),
        (
            frozenset(_SEASON_MONTH),
            rf"{_SEASON_CUES}\b(?P<name>{'|'.join(_SEASON_MONTH)})\b{_OF_YEAR}",
            _season,
        ),
        (
            _CALENDAR_NEEDED,
            r"\b(?P<cue>last|previous|this|next)\s+(?P<unit>weekend|week|month|year)\b",
            _calendar_unit,
        ),
        (
            _DAYS_NEEDED,
            r"\bday\s+before\s+yesterday\b|\byesterday\b|\blast\s+night\b|\btoday\b|\btonight\b|\btomorrow\b",
            _named_day,
        ),
        (_DAYTIMES_NEEDED, r"\bthis\s+(?:morning|afternoon|evening)\b", _named_day),
        (
            frozenset(_WEEKDAYS),
            rf"\b(?:(?P<cue>on|last|this|next|since)\s+)?(?P<name>{'|'.join(_WEEKDAYS)})\b(?!s)",
            _weekday,
        ),
        (_YEARS_NEEDED, rf"(?<![\w$€£#.,/-]){_YEAR}(?![%/-]|[.,:][0-9])", _bare_year),
    )
)

_EVERY_NEEDED: Final = frozenset[str]().union(*(needed for needed, _, _ in _RULES))
