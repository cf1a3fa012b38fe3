"""Selections and filters as SQL over the table `versions`, under the alias v.

Every expression yields 0 or 1, never NULL, so that negation means what it means in `domain.filter.matches`, to which
the conformance suite holds this translation.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from memoir_server.adapters.ledger.forms.encoding import encode_strings
from memoir_server.adapters.ledger.forms.layout import LIST_ITEM, key_of
from memoir_server.domain.filter import (
    BUILT_IN,
    And,
    Compare,
    Family,
    Filter,
    Not,
    Operator,
    Or,
    family_of,
    metadata_key,
)
from memoir_server.domain.memory import NEVER, MemoryKind, MetadataValue, Moment, Scope
from memoir_server.domain.selection import Selection, TimeRange

Binding: TypeAlias = str | int | float | bytes | None

_SYMBOLS: Final[Mapping[Operator, str]] = {
    Operator.EQUAL: "=",
    Operator.LESS: "<",
    Operator.LESS_OR_EQUAL: "<=",
    Operator.GREATER: ">",
    Operator.GREATER_OR_EQUAL: ">=",
}
_ORDERS: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.EQUAL: operator.eq,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}
_ORDERED_FAMILIES: Final = (Family.STRING, Family.NUMBER, Family.TIMESTAMP)


@dataclass(slots=True)
class Condition:
    """A conjunction that is being put together: SQL terms and their bindings, in order."""

    terms: list[str] = field(default_factory=list)
    bindings: list[Binding] = field(default_factory=list)

    def add(self, term: str, *bindings: Binding) -> None:
        """One more term that must hold."""
        self.terms.append(term)
        self.bindings.extend(bindings)

    @property
    def sql(self) -> str:
        """The conjunction."""
        return " AND ".join(self.terms) if self.terms else "1"


def add_scope(condition: Condition, scope: Scope) -> None:
    """Only versions of the scope."""
    for column, value in (("user_id", scope.user_id), ("agent_id", scope.agent_id), ("session_id", scope.session_id)):
        if value is not None:
            condition.add(f"v.{column} = ?", value)


def add_visible(condition: Condition, ns: int, *, revision: int, now: int) -> None:
    """Only versions current at the revision, of memories that still exist and have not expired."""
    condition.add("v.ns = ?", ns)
    if revision >= NEVER - 1:
        condition.add(f"v.retired = {NEVER}")
    else:
        condition.add("v.key <= ? AND v.retired > ?", key_of(ns, revision), revision)
    condition.add("v.gone > ?", now)


def _add_range(condition: Condition, column: str, range_: TimeRange) -> None:
    if range_.start is not None:
        condition.add(f"{column} >= ?", range_.start)
    if range_.end is not None:
        condition.add(f"{column} < ?", range_.end)


def selection_condition(ns: int, selection: Selection) -> Condition:
    """Versions that the selection covers."""
    condition = Condition()
    add_visible(condition, ns, revision=selection.revision, now=selection.now)
    add_scope(condition, selection.scope)
    _add_range(condition, "v.create_time", selection.created)
    if selection.valid_at is not None:
        condition.add("(v.valid_from IS NULL OR v.valid_from <= ?)", selection.valid_at)
        condition.add("(v.valid_until IS NULL OR v.valid_until > ?)", selection.valid_at)
    elif not selection.include_superseded:
        condition.add("(v.valid_until IS NULL OR v.valid_until > ?)", selection.reference)
    if selection.filter is not None:
        add_filter(condition, selection.filter)
    return condition


def add_filter(condition: Condition, filter_: Filter, *, negated: bool = False) -> None:
    """Only versions that satisfy the filter, or with `negated` only those that do not."""
    bindings: list[Binding] = []
    sql = _translate(filter_, bindings)
    condition.add(f"NOT {sql}" if negated else sql, *bindings)


def _translate(filter_: Filter, bindings: list[Binding]) -> str:
    if isinstance(filter_, And):
        return "(" + (" AND ".join(_translate(f, bindings) for f in filter_.filters) or "1") + ")"
    if isinstance(filter_, Or):
        return "(" + (" OR ".join(_translate(f, bindings) for f in filter_.filters) or "0") + ")"
    if isinstance(filter_, Not):
        return f"(NOT {_translate(filter_.filter, bindings)})"
    if filter_.operator is Operator.NOT_EQUAL:
        return f"(NOT {_compare(Compare(filter_.field, Operator.EQUAL, filter_.value), bindings)})"
    return _compare(filter_, bindings)


def _compare(compare: Compare, bindings: list[Binding]) -> str:
    name = metadata_key(compare.field)
    if name is not None:
        return _metadata(name, compare.operator, compare.value, bindings)
    if compare.field == "kind":
        return _kind(compare.operator, compare.value)
    return _column(compare, bindings)


def _column(compare: Compare, bindings: list[Binding]) -> str:
    column, op, value = f"v.{compare.field}", compare.operator, compare.value
    family = BUILT_IN[compare.field]
    if op is Operator.EXISTS:
        return _exists(f"{column} IS NOT NULL", value)
    if op is Operator.IN:
        if family is not Family.STRING or not isinstance(value, tuple):
            return "0"
        bindings.extend(value)
        return f"ifnull({column} IN ({_marks(len(value))}), 0)"
    if op is Operator.CONTAINS or family_of(value) is not family:
        return "0"
    bindings.append(_plain(value))
    return f"ifnull({column} {_SYMBOLS[op]} ?, 0)"


def _kind(op: Operator, value: MetadataValue) -> str:
    """Kinds compare as the names of the contract; there are so few that each is decided here."""

    def holds(name: str) -> bool:
        if op is Operator.EXISTS:
            return value is True
        if op is Operator.IN:
            return isinstance(value, tuple) and name in value
        return isinstance(value, str) and op is not Operator.CONTAINS and _ORDERS[op](name, value)

    kinds = [str(int(kind)) for kind in MemoryKind if holds(f"MEMORY_KIND_{kind.name}")]
    return f"(v.kind IN ({', '.join(kinds)}))"


def _metadata(name: str, op: Operator, value: MetadataValue, bindings: list[Binding]) -> str:
    row = "EXISTS (SELECT 1 FROM metadata m WHERE m.key = v.key AND m.name = ? AND"
    family = family_of(value)
    if op is Operator.EXISTS:
        if not isinstance(value, bool):
            return "0"
        bindings.append(name)
        return _exists(f"{row} m.family < {LIST_ITEM})", value)
    if op is Operator.CONTAINS:
        if not isinstance(value, str):
            return "0"
        bindings.extend((name, value))
        return f"{row} m.family = {LIST_ITEM} AND m.value = ?)"
    if op is Operator.IN:
        if not isinstance(value, tuple):
            return "0"
        bindings.append(name)
        bindings.extend(value)
        return f"{row} m.family = {int(Family.STRING)} AND m.value IN ({_marks(len(value))}))"
    if op is not Operator.EQUAL and family not in _ORDERED_FAMILIES:
        return "0"
    bindings.extend((name, _plain(value)))
    return f"{row} m.family = {int(family)} AND m.value {_SYMBOLS[op]} ?)"


def _exists(present: str, value: MetadataValue) -> str:
    if not isinstance(value, bool):
        return "0"
    return f"({present})" if value else f"(NOT ({present}))"


def _plain(value: MetadataValue) -> Binding:
    if isinstance(value, Moment):
        return value.instant
    return encode_strings(value) if isinstance(value, tuple) else value


def metadata_rows(key: int, metadata: Mapping[str, MetadataValue]) -> list[tuple[Binding, ...]]:
    """Rows of the table `metadata` for one version: the value by its family, and each string of a list."""
    rows: list[tuple[Binding, ...]] = []
    for name, value in metadata.items():
        rows.append((key, name, int(family_of(value)), _plain(value)))
        if isinstance(value, tuple):
            rows.extend((key, name, LIST_ITEM, item) for item in dict.fromkeys(value))
    return rows


def _marks(count: int) -> str:
    return ", ".join("?" * count)
