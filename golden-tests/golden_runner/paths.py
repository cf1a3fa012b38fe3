"""Paths into messages: field names, list positions and map keys joined by dots; `*` stands for any one of them."""

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from golden_runner.contract import AnyField

Path = tuple[str, ...]


def parse(path: str) -> Path:
    """Split "hits.*.score" into its segments. Raises `ValueError` for an empty path or segment."""
    segments = tuple(path.split("."))
    if not all(segments):
        raise ValueError(f"path {path!r} has an empty segment; write it like hits.*.score")
    return segments


def matches(pattern: Path, path: Path) -> bool:
    """Whether a pattern names exactly this path."""
    return len(pattern) == len(path) and all(want in ("*", have) for want, have in zip(pattern, path, strict=True))


def matches_any(patterns: Iterable[Path], path: Path) -> bool:
    """Whether one of the patterns names exactly this path."""
    return any(matches(pattern, path) for pattern in patterns)


def is_map(field: AnyField) -> bool:
    """Whether a field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def map_value(field: AnyField) -> AnyField:
    """The field that describes the values of a map. Raises `TypeError` for a field that is none."""
    if field.message_type is None:
        raise TypeError(f"{field.full_name} is not a map")
    return field.message_type.fields_by_name["value"]


def is_populated(message: Message, field: AnyField) -> bool:
    """Whether a field is set (where it has presence) or differs from its default (where it has none)."""
    if field.is_repeated:
        return len(getattr(message, field.name)) > 0
    if field.has_presence:
        return message.HasField(field.name)
    return bool(getattr(message, field.name) != field.default_value)


def select(message: Message, pattern: Path) -> Iterator[tuple[Path, Any]]:
    """Yield each place a pattern reaches, with its value; None stands for a place that is unset or empty.

    A segment that the message type does not have is a `KeyError` that names it: a typing error in a suite must not pass
    for an absent field.
    """
    yield from _select(message, pattern, ())


def _select(message: Message, pattern: Path, done: Path) -> Iterator[tuple[Path, Any]]:
    name, rest = pattern[0], pattern[1:]
    fields = message.DESCRIPTOR.fields_by_name
    if name == "*":
        names = [field.name for field in message.DESCRIPTOR.fields]
    elif name in fields:
        names = [name]
    else:
        raise KeyError(f"{message.DESCRIPTOR.full_name} has no field {name!r} (path {'.'.join((*done, *pattern))})")
    for name in names:
        yield from _select_field(message, fields[name], rest, (*done, name))


def _select_field(message: Message, field: AnyField, rest: Path, done: Path) -> Iterator[tuple[Path, Any]]:
    populated = is_populated(message, field)
    value = getattr(message, field.name)
    if not rest:
        yield done, value if populated else None
    elif field.is_repeated:
        items = sorted(value.items()) if is_map(field) else list(enumerate(value))
        for key, item in items:
            if rest[0] in ("*", str(key)):
                place = (*done, str(key))
                if len(rest) == 1:
                    yield place, item
                elif isinstance(item, Message):
                    yield from _select(item, rest[1:], place)
    elif populated and field.message_type is not None:
        yield from _select(value, rest, done)
