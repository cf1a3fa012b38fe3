"""One line of a transcript: its JSON, its fields, their types and limits (tables of examples/TRANSCRIPT.md)."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

ROLES: Final = ("user", "assistant", "system", "tool")
_SHOWN_CHARACTERS: Final = 80
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_TIME_EXAMPLE: Final = "2026-01-11T19:45:37+00:00"
_EPOCH_DAY: Final = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 -- a calendar day, not an instant


class TranscriptError(ValueError):
    """A line breaks the format: file, line, field, value as found, fix."""


@dataclass(frozen=True, slots=True)
class Field:
    """A row of the tables: a string of 1 to `longest` characters, unless `is_integer`; longest 0 means no limits."""

    required: bool
    longest: int = 0
    is_id: bool = False
    is_integer: bool = False

    @property
    def wanted(self) -> str:
        """Type and limits in words."""
        if self.is_integer:
            return "write an integer"
        if not self.longest:
            return "write a string"
        tail = " without control characters" if self.is_id else ", more than white space"
        return f"write a string of 1 to {self.longest} characters{tail}"


_REQUIRED_ID: Final = Field(required=True, longest=256, is_id=True)
_OPTIONAL_ID: Final = Field(required=False, longest=256, is_id=True)
HEADER: Final = {
    "format": Field(required=True),
    "version": Field(required=True, is_integer=True),
    "user_id": _REQUIRED_ID,
    "agent_id": _OPTIONAL_ID,
    "title": Field(required=False),
}
MESSAGE: Final = {
    "session_id": _REQUIRED_ID,
    "message_id": _REQUIRED_ID,
    "role": Field(required=True),
    "content": Field(required=True, longest=65_536),
    "create_time": Field(required=True),
    "actor_id": _OPTIONAL_ID,
}


@dataclass(frozen=True, slots=True)
class Line:
    """Where a fault is: file name and line number, counted from 1."""

    file: str
    number: int

    def fault(self, field: str, problem: str, fix: str) -> TranscriptError:
        """The error of a fault that has no value to show."""
        return TranscriptError(f"{self.file}:{self.number}: {field}: {problem}; {fix}")

    def fault_of(self, field: str, value: object, problem: str, fix: str) -> TranscriptError:
        """The error of a value as found in the file."""
        return self.fault(field, f"{_shown(value)} {problem}", fix)


@dataclass(frozen=True, slots=True)
class Fields:
    """The checked string fields of a line; `instant` is its create_time in nanoseconds (0 for a header)."""

    texts: dict[str, str]
    instant: int


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that a field given twice can be seen."""


def read_line(line: Line, raw: bytes, table: dict[str, Field]) -> Fields:
    """Checks one line against one of the tables HEADER and MESSAGE.

    Raises:
        TranscriptError: The line's first fault.
    """
    pairs = _parse(line, raw, is_header=table is HEADER)
    record = dict(pairs)
    if table is HEADER:
        _check_format(line, record)
    times = Counter(name for name, _ in pairs)
    for name, value in pairs:
        if name not in table:
            raise line.fault_of(name, value, "is in an unknown field", f"remove it; allowed are {', '.join(table)}")
        if times[name] > 1:
            raise line.fault_of(
                name, value, f"is one of {times[name]} values", f"give the field once; allowed are {', '.join(table)}"
            )
    for name, field in table.items():
        if name in record:
            _check_value(line, name, record[name], field)
        elif field.required:
            raise line.fault(name, "missing", f"add the field: {field.wanted}")
    texts = {name: value for name, value in record.items() if isinstance(value, str)}
    if table is HEADER:
        return Fields(texts, 0)
    if texts["role"] not in ROLES:
        raise line.fault_of("role", texts["role"], "is unknown", f"use one of {', '.join(ROLES)}")
    return Fields(texts, _instant(line, texts["create_time"]))


def _parse(line: Line, raw: bytes, *, is_header: bool) -> _Object:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise line.fault(
            "(line)",
            f"byte {fault.start + 1} is {raw[fault.start]:#04x}, not UTF-8",
            "save the file as UTF-8 without a byte order mark",
        ) from fault
    if is_header and not text.strip():
        raise line.fault("format", "the line is blank", 'write "format": "memoir-transcript" on line 1')
    try:
        # NaN and Infinity are not JSON, though Python's parser takes them.
        found = json.loads(text, object_pairs_hook=_Object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as fault:
        raise line.fault(
            "(line)", f"{_shown(text.strip())} is not JSON at column {fault.colno}: {fault.msg}", _ONE_OBJECT
        ) from fault
    except (ValueError, RecursionError) as fault:
        raise line.fault("(line)", f"{_shown(text.strip())} is not JSON at column 1: {fault}", _ONE_OBJECT) from fault
    if not isinstance(found, _Object):
        raise line.fault_of("(line)", found, "is not an object, at column 1", _ONE_OBJECT)
    return found


_ONE_OBJECT: Final = "write one JSON object per line"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _check_format(line: Line, header: dict[str, Any]) -> None:
    """Format and version come first: of another format or version, this reader knows no further rules."""
    fix = 'write "format": "memoir-transcript" on line 1'
    if "format" not in header:
        raise line.fault("format", "missing", fix)
    if header["format"] != "memoir-transcript":
        raise line.fault_of("format", header["format"], "is another format", fix)
    version = header.get("version", 1)
    if isinstance(version, int) and not isinstance(version, bool) and version != 1:
        raise line.fault_of("version", version, "is unknown", 'write "version": 1, or use a newer Memoir')


def _check_value(line: Line, name: str, value: object, field: Field) -> None:
    fix = field.wanted + ("" if field.required else ", or leave the field out")
    if name == "role":
        fix = f"write one of {', '.join(ROLES)}"
    if field.is_integer:
        if not isinstance(value, int) or isinstance(value, bool):
            raise line.fault_of(name, value, "is not an integer", fix)
        return
    if not isinstance(value, str):
        raise line.fault_of(name, value, "is not a string", fix)
    if _SURROGATE.search(value):
        raise line.fault_of(name, value, "holds half of a surrogate pair, which is not text", fix)
    if not value and (field.required or field.longest):
        raise line.fault_of(name, value, "is empty", fix)
    if field.longest and len(value) > field.longest:
        raise line.fault_of(name, value, f"has {len(value)} characters", fix)
    if field.is_id and _CONTROL.search(value):
        raise line.fault_of(name, value, "holds a control character", fix)
    if name == "content" and not value.strip():
        raise line.fault_of(name, value, "is only white space", fix)


def _instant(line: Line, text: str) -> int:
    """Nanoseconds since 1970, UTC. `datetime` alone would drop the last three digits."""
    fix = f"write an RFC 3339 time such as {_TIME_EXAMPLE}"
    parts = _TIME.fullmatch(text)
    if parts is None:
        raise line.fault_of("create_time", text, "is not a time", fix)
    day, clock, fraction, offset = parts.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}")
        if offset is None:
            raise line.fault_of(
                "create_time", text, "has no offset", f"write an RFC 3339 time such as {text.upper()}+00:00"
            )
        seconds = (moment.toordinal() - _EPOCH_DAY) * 86_400
        seconds += moment.hour * 3600 + moment.minute * 60 + moment.second - _offset_seconds(offset)
        # What a protobuf Timestamp can hold: years 1 to 9999 in UTC.
        if not -62_135_596_800 <= seconds <= 253_402_300_799:
            raise ValueError("outside the years 1 to 9999 in UTC")
    except TranscriptError:
        raise
    except ValueError as fault:
        raise line.fault_of("create_time", text, f"is not a time ({fault})", fix) from fault
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def _offset_seconds(offset: str) -> int:
    if offset in "Zz":
        return 0
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if hours > 23 or minutes > 59:
        raise ValueError("the offset is at most 23:59")
    return (hours * 3600 + minutes * 60) * (-1 if offset[0] == "-" else 1)


def _shown(value: object) -> str:
    """The value as JSON, cut, and safe to print whatever it holds."""
    text = json.dumps(_plain(value), ensure_ascii=False)
    if _SURROGATE.search(text) or _CONTROL.search(text):
        text = json.dumps(_plain(value))
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def _plain(value: object) -> object:
    if isinstance(value, _Object):
        return {name: _plain(item) for name, item in value}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
