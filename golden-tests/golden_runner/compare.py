"""The comparator: the only place that decides whether what an SDK gave is what the corpus wants."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from golden_runner.contract import AnyField, new_message
from golden_runner.paths import Path, is_map, is_populated, map_value, matches, matches_any, parse, select

_FLOATS: Final = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


@dataclass(frozen=True, slots=True)
class Rules:
    """How two messages are compared.

    `populated_only`: fields the expectation does not set are not compared. `ignore`: paths to drop. `unordered`: paths
    of repeated fields to compare without order. `tolerances`: absolute tolerance of numbers, by path; others are exact.
    """

    populated_only: bool = False
    ignore: tuple[Path, ...] = ()
    unordered: tuple[Path, ...] = ()
    tolerances: tuple[tuple[Path, float], ...] = ()

    @classmethod
    def from_strings(
        cls,
        *,
        populated_only: bool = False,
        ignore: Sequence[str] = (),
        unordered: Sequence[str] = (),
        tolerances: dict[str, float] | None = None,
    ) -> "Rules":
        """Build rules from the dotted paths of a suite. Raises `ValueError` for a malformed path."""
        return cls(
            populated_only=populated_only,
            ignore=tuple(map(parse, ignore)),
            unordered=tuple(map(parse, unordered)),
            tolerances=tuple((parse(path), value) for path, value in (tolerances or {}).items()),
        )

    def tolerance(self, path: Path) -> float:
        """Absolute tolerance of the number at a path."""
        return next((value for pattern, value in self.tolerances if matches(pattern, path)), 0.0)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the actual message is not the expected one."""

    path: Path
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path) or '(message)'}: want {self.expected}, got {self.actual}"


EXACT: Final = Rules()


def compare(expected: Message, actual: Message, rules: Rules = EXACT) -> list[Difference]:
    """Compare two messages as protos; an empty list means that they agree under the rules."""
    return list(_messages(expected, actual, rules, ()))


def compare_errors(
    expected: Status, actual: Status, other_codes: Sequence[int] = (), *, populated_only: bool = False
) -> list[Difference]:
    """Compare two errors: the code, the message only when expected, the details by type and without order.

    With `populated_only` the actual error may carry further details, and of each expected detail only the fields
    it sets are compared.
    """
    found: list[Difference] = []
    if actual.code != expected.code and actual.code not in other_codes:
        found.append(Difference(("code",), str(expected.code), f"{actual.code} ({actual.message})"))
        return found
    if expected.message and expected.message != actual.message:
        found.append(Difference(("message",), repr(expected.message), repr(actual.message)))
    have = {_type_name(detail): detail for detail in actual.details}
    want = {_type_name(detail): detail for detail in expected.details}
    if len(have) != len(actual.details):
        found.append(Difference(("details",), "each type at most once", str(sorted(map(_type_name, actual.details)))))
    if not populated_only:
        found += [Difference(("details", name), "absent", "present") for name in sorted(have.keys() - want.keys())]
    for name, detail in sorted(want.items()):
        if name in have:
            found += _any(detail, have[name], Rules(populated_only=populated_only), ("details", name))
        else:
            found.append(Difference(("details", name), "present", "absent"))
    return found


def missing_presence(message: Message, present: Sequence[str], empty: Sequence[str]) -> list[Difference]:
    """Check which places of a message are set and which are not, whatever their values."""
    found: list[Difference] = []
    for path in present:
        places = list(select(message, parse(path)))
        found += [Difference(place, "set", "unset") for place, value in places if value is None]
        if not places:
            found.append(Difference(parse(path), "set", "not reached"))
    for path in empty:
        found += [
            Difference(place, "unset", _show(value))
            for place, value in select(message, parse(path))
            if value is not None
        ]
    return found


def _messages(expected: Message, actual: Message, rules: Rules, path: Path) -> Iterator[Difference]:
    if expected.DESCRIPTOR.full_name != actual.DESCRIPTOR.full_name:
        yield Difference(path, expected.DESCRIPTOR.full_name, actual.DESCRIPTOR.full_name)
        return
    if isinstance(expected, AnyMessage) and isinstance(actual, AnyMessage):
        yield from _any(expected, actual, rules, path)
        return
    for descriptor in expected.DESCRIPTOR.fields:
        yield from _field(expected, actual, descriptor, rules, (*path, descriptor.name))
    if not rules.populated_only:
        want, have = unknown_fields(expected), unknown_fields(actual)
        if want != have:
            yield Difference((*path, "(unknown fields)"), str(want), str(have))


def _field(expected: Message, actual: Message, descriptor: AnyField, rules: Rules, path: Path) -> Iterator[Difference]:
    if matches_any(rules.ignore, path):
        return
    is_expected = is_populated(expected, descriptor)
    if not is_expected and rules.populated_only:
        return
    want, have = getattr(expected, descriptor.name), getattr(actual, descriptor.name)
    if is_map(descriptor):
        yield from _maps(want, have, descriptor, rules, path)
    elif descriptor.is_repeated:
        yield from _lists(want, have, descriptor, rules, path)
    elif descriptor.has_presence and is_expected != actual.HasField(descriptor.name):
        yield Difference(
            path, _show(want) if is_expected else "unset", _show(have) if actual.HasField(descriptor.name) else "unset"
        )
    elif not descriptor.has_presence or is_expected:
        yield from _values(want, have, descriptor, rules, path)


def _values(want: Any, have: Any, descriptor: AnyField, rules: Rules, path: Path) -> Iterator[Difference]:
    if isinstance(want, Message):
        yield from _messages(want, have, rules, path)
    elif descriptor.cpp_type in _FLOATS:
        if not _close(want, have, rules.tolerance(path)):
            yield Difference(path, repr(want), repr(have))
    elif want != have and not (rules.tolerance(path) and abs(want - have) <= rules.tolerance(path)):
        yield Difference(path, _show(want), _show(have))


def _maps(want: Any, have: Any, descriptor: AnyField, rules: Rules, path: Path) -> Iterator[Difference]:
    value = map_value(descriptor)
    for key in sorted(set(want) | set(have)):
        place = (*path, str(key))
        if matches_any(rules.ignore, place):
            continue
        if key not in have:
            yield Difference(place, "present", "absent")
        elif key not in want:
            yield Difference(place, "absent", _show(have[key]))
        else:
            yield from _values(want[key], have[key], value, rules, place)


def _lists(want: Any, have: Any, descriptor: AnyField, rules: Rules, path: Path) -> Iterator[Difference]:
    if len(want) != len(have):
        yield Difference(path, f"{len(want)} items", f"{len(have)} items: {_show(list(have))}")
    elif matches_any(rules.unordered, path):
        left = list(have)
        for index, item in enumerate(want):
            place = (*path, str(index))
            match = next((other for other in left if not list(_values(item, other, descriptor, rules, place))), None)
            if match is None:
                yield Difference(place, _show(item), "no such item")
            else:
                left.remove(match)
    else:
        for index, (item, other) in enumerate(zip(want, have, strict=True)):
            yield from _values(item, other, descriptor, rules, (*path, str(index)))


def _any(want: AnyMessage, have: AnyMessage, rules: Rules, path: Path) -> Iterator[Difference]:
    if want.type_url != have.type_url:
        yield Difference((*path, "type_url"), want.type_url, have.type_url)
        return
    try:
        left, right = _unpacked(want), _unpacked(have)
    except (KeyError, DecodeError):
        if want.value != have.value:
            yield Difference((*path, "value"), want.value.hex(), have.value.hex())
        return
    yield from _messages(left, right, rules, path)


def _unpacked(value: AnyMessage) -> Message:
    message = new_message(_type_name(value))
    message.ParseFromString(value.value)
    return message


def unknown_fields(message: Message) -> list[tuple[int, int, str]]:
    """The unknown fields directly in a message as sorted (number, wire type, value) triples."""
    found: Any = UnknownFieldSet(message)
    return sorted((item.field_number, item.wire_type, repr(item.data)) for item in found)


def _close(want: float, have: float, tolerance: float) -> bool:
    if math.isnan(want) or math.isnan(have):
        return math.isnan(want) and math.isnan(have)
    return want == have or abs(want - have) <= tolerance


def _type_name(value: AnyMessage) -> str:
    return value.type_url.rpartition("/")[2]


def _show(value: Any) -> str:
    text = str(value).replace("\n", " ").strip() if isinstance(value, Message | list) else repr(value)
    return text if len(text) <= 300 else f"{text[:300]}..."
