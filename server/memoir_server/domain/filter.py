"""Typed predicate trees over memories: their types, their checks and their meaning.

`matches` is the definition. Stores may translate a filter into their own query language; the conformance suite holds
each translation to this function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from memoir_server.domain.errors import FieldInvalid
from memoir_server.domain.memory import Memory, MetadataValue, Moment
from memoir_server.domain.time import Instant


class Operator(IntEnum):
    """Operator of a comparison; the numbers are those of the contract."""

    EQUAL = 1
    NOT_EQUAL = 2
    LESS = 3
    LESS_OR_EQUAL = 4
    GREATER = 5
    GREATER_OR_EQUAL = 6
    CONTAINS = 7
    IN = 8
    EXISTS = 9


class Family(IntEnum):
    """Types that compare with each other."""

    STRING = 1
    NUMBER = 2
    BOOL = 3
    TIMESTAMP = 4
    STRINGS = 5


@dataclass(frozen=True, slots=True)
class And:
    """All hold."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one holds."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Does not hold."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class Compare:
    """A field against a constant. `field` is built in or `metadata.<key>`."""

    field: str
    operator: Operator
    value: MetadataValue


Filter: TypeAlias = And | Or | Not | Compare

BUILT_IN: Mapping[str, Family] = {
    "memory_id": Family.STRING,
    "text": Family.STRING,
    "kind": Family.STRING,
    "user_id": Family.STRING,
    "agent_id": Family.STRING,
    "session_id": Family.STRING,
    "actor_id": Family.STRING,
    "message_id": Family.STRING,
    "importance": Family.NUMBER,
    "create_time": Family.TIMESTAMP,
    "update_time": Family.TIMESTAMP,
    "valid_from": Family.TIMESTAMP,
    "valid_until": Family.TIMESTAMP,
    "expire_time": Family.TIMESTAMP,
}
"""Built-in fields and their types. `actor_id` and `message_id` are those of the first provenance."""

NOT_SAID: Filter = Not(Compare("kind", Operator.EQUAL, "MEMORY_KIND_EPISODE"))
"""What is known, and not merely what was said."""

MAX_DEPTH = 8
_METADATA = "metadata."
_ORDERED = (Operator.LESS, Operator.LESS_OR_EQUAL, Operator.GREATER, Operator.GREATER_OR_EQUAL)


def family_of(value: MetadataValue) -> Family:
    """The family of a constant or stored value."""
    if isinstance(value, bool):
        return Family.BOOL
    if isinstance(value, str):
        return Family.STRING
    if isinstance(value, int | float):
        return Family.NUMBER
    if isinstance(value, Moment):
        return Family.TIMESTAMP
    return Family.STRINGS


def metadata_key(field: str) -> str | None:
    """`key` of `metadata.<key>`, None for a built-in field."""
    return field[len(_METADATA) :] if field.startswith(_METADATA) else None


def check(filter_: Filter, *, path: str, stored: Mapping[str, frozenset[Family]]) -> None:
    """Refuses a filter that could only be ignored.

    `stored` maps metadata keys to the families ever stored under them; a key that is not in it was never stored and
    matches nothing. Raises FieldInvalid naming the offending part below `path`.
    """
    _check(filter_, path, stored, 1)


def _check(filter_: Filter, path: str, stored: Mapping[str, frozenset[Family]], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FieldInvalid(path, f"is nested more than {MAX_DEPTH} deep; flatten it")
    if isinstance(filter_, And | Or):
        name = "and" if isinstance(filter_, And) else "or"
        for i, child in enumerate(filter_.filters):
            _check(child, f"{path}.{name}.filters[{i}]", stored, depth + 1)
    elif isinstance(filter_, Not):
        _check(filter_.filter, f"{path}.not", stored, depth + 1)
    else:
        _check_comparison(filter_, f"{path}.compare", stored)


def _check_comparison(compare: Compare, path: str, stored: Mapping[str, frozenset[Family]]) -> None:
    key = metadata_key(compare.field)
    if key is None and compare.field not in BUILT_IN:
        raise FieldInvalid(
            f"{path}.field", f"{compare.field!r} is not a field; use one of {', '.join(BUILT_IN)} or metadata.<key>"
        )
    constant = family_of(compare.value)
    operator = compare.operator
    if operator is Operator.EXISTS:
        if constant is not Family.BOOL:
            raise FieldInvalid(f"{path}.value", "OPERATOR_EXISTS takes a bool_value")
        return
    if operator in _ORDERED and constant not in (Family.NUMBER, Family.STRING, Family.TIMESTAMP):
        raise FieldInvalid(f"{path}.value", f"{operator.name} compares numbers, strings or timestamps")
    if operator is Operator.CONTAINS and constant is not Family.STRING:
        raise FieldInvalid(f"{path}.value", "OPERATOR_CONTAINS takes a string_value")
    if operator is Operator.IN and constant is not Family.STRINGS:
        raise FieldInvalid(f"{path}.value", "OPERATOR_IN takes a string_list")
    wanted = {Operator.CONTAINS: Family.STRINGS, Operator.IN: Family.STRING}.get(operator, constant)
    known = frozenset({BUILT_IN[compare.field]}) if key is None else stored.get(key)
    if known and wanted not in known:
        names = " or ".join(sorted(f.name.lower() for f in known))
        raise FieldInvalid(
            f"{path}.value",
            f"{compare.field} holds {names}, which {operator.name} cannot compare with {constant.name.lower()}",
        )


def metadata_keys(filter_: Filter) -> frozenset[str]:
    """Metadata keys the filter names."""
    if isinstance(filter_, And | Or):
        return frozenset().union(*(metadata_keys(f) for f in filter_.filters))
    if isinstance(filter_, Not):
        return metadata_keys(filter_.filter)
    key = metadata_key(filter_.field)
    return frozenset() if key is None else frozenset({key})


def matches(filter_: Filter, memory: Memory) -> bool:
    """Whether the memory satisfies the filter."""
    if isinstance(filter_, And):
        return all(matches(f, memory) for f in filter_.filters)
    if isinstance(filter_, Or):
        return any(matches(f, memory) for f in filter_.filters)
    if isinstance(filter_, Not):
        return not matches(filter_.filter, memory)
    return _compare(filter_, _value(memory, filter_.field))


def _compare(compare: Compare, stored: MetadataValue | None) -> bool:
    operator, constant = compare.operator, compare.value
    if operator is Operator.EXISTS:
        return (stored is not None) is constant
    if operator is Operator.NOT_EQUAL:
        return not _equal(stored, constant)
    if operator is Operator.EQUAL:
        return _equal(stored, constant)
    if operator is Operator.CONTAINS:
        return isinstance(stored, tuple) and constant in stored
    if operator is Operator.IN:
        return isinstance(stored, str) and isinstance(constant, tuple) and stored in constant
    return _ordered(operator, stored, constant)


def _equal(stored: MetadataValue | None, constant: MetadataValue) -> bool:
    return stored is not None and family_of(stored) is family_of(constant) and stored == constant


def _ordered(operator: Operator, stored: MetadataValue | None, constant: MetadataValue) -> bool:
    if stored is None or family_of(stored) is not family_of(constant):
        return False
    a, b = _rank(stored), _rank(constant)
    if operator is Operator.LESS:
        return a < b  # type: ignore[operator]  # one family, so both are numbers or both are strings
    if operator is Operator.LESS_OR_EQUAL:
        return a <= b  # type: ignore[operator]
    if operator is Operator.GREATER:
        return a > b  # type: ignore[operator]
    return a >= b  # type: ignore[operator]


def _rank(value: MetadataValue) -> float | int | str:
    if isinstance(value, Moment):
        return value.instant
    if isinstance(value, tuple):
        raise TypeError("string lists have no order")
    return value


def _value(memory: Memory, field: str) -> MetadataValue | None:
    key = metadata_key(field)
    if key is not None:
        return memory.metadata.get(key)
    first = memory.provenance[0] if memory.provenance else None
    if field == "kind":
        return f"MEMORY_KIND_{memory.kind.name}"
    if field in ("user_id", "agent_id", "session_id"):
        value: str | None = getattr(memory.scope, field)
        return value
    if field == "actor_id":
        return (first.actor_id or None) if first else None
    if field == "message_id":
        return (first.message_id or None) if first else None
    if BUILT_IN[field] is Family.TIMESTAMP:
        instant: Instant | None = getattr(memory, field)
        return None if instant is None else Moment(instant)
    plain: MetadataValue | None = getattr(memory, field)
    return plain
