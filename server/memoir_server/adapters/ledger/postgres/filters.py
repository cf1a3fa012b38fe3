"""Selections and filters as SQL over the table `versions`, under the alias v.

Every expression is true or false, never NULL, so that negation means what it means in `domain.filter.matches`, to which
the conformance suite holds this translation. Numbers are compared as `numeric`, which is exact for every integer and
float; what is no number (NaN) equals nothing and comes before or after nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeAlias

from memoir_server.adapters.ledger.forms.encoding import encode_strings
from memoir_server.adapters.ledger.forms.layout import LIST_ITEM, key_of
from memoir_server.adapters.ledger.postgres.adaptation import Texts
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

Binding: TypeAlias = Any
"""What the connections of the ledger can bind."""

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
_COLUMNS: Final[Mapping[Family, str]] = {
    Family.STRING: "string",
    Family.NUMBER: "number",
    Family.BOOL: "whole",
    Family.TIMESTAMP: "whole",
    Family.STRINGS: "list",
}


CURRENT: Final = f"v.retired >= {NEVER}"
"""Only current versions. Said with "=", it would also allow for the indexes of current versions that are there for
other questions, and a planner without statistics believes that they hold next to nothing."""


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
        return " AND ".join(self.terms) if self.terms else "TRUE"


def add_same(condition: Condition, column: str, value: str | None) -> None:
    """Only rows that have exactly this value, or none. (IS NOT DISTINCT FROM would use no index.)"""
    if value is None:
        condition.add(f"{column} IS NULL")
    else:
        condition.add(f"{column} = %s", value)


def add_scope(condition: Condition, scope: Scope) -> None:
    """Only versions of the scope."""
    for column, value in (("user_id", scope.user_id), ("agent_id", scope.agent_id), ("session_id", scope.session_id)):
        if value is not None:
            condition.add(f"v.{column} = %s", value)


def add_visible(condition: Condition, ns: int, *, revision: int, now: int, keyed: bool = False) -> None:
    """Only versions current at the revision, of memories that still exist and have not expired.

    `keyed`: the versions are given by their keys, which say the namespace too; said twice, it would look like a reason
    to go through an index of namespaces.
    """
    if not keyed:
        condition.add("v.ns = %s", ns)
    if revision >= NEVER - 1:
        condition.add(CURRENT)
    else:
        condition.add("v.key <= %s AND v.retired > %s", key_of(ns, revision), revision)
    condition.add("v.gone > %s", now)


def _add_range(condition: Condition, column: str, range_: TimeRange) -> None:
    if range_.start is not None:
        condition.add(f"{column} >= %s", range_.start)
    if range_.end is not None:
        condition.add(f"{column} < %s", range_.end)


def selection_condition(ns: int, selection: Selection, *, keyed: bool = False) -> Condition:
    """Versions that the selection covers. `keyed` as in `add_visible`."""
    condition = Condition()
    add_visible(condition, ns, revision=selection.revision, now=selection.now, keyed=keyed)
    add_scope(condition, selection.scope)
    _add_range(condition, "v.create_time", selection.created)
    if selection.valid_at is not None:
        condition.add("(v.valid_from IS NULL OR v.valid_from <= %s)", selection.valid_at)
        condition.add("(v.valid_until IS NULL OR v.valid_until > %s)", selection.valid_at)
    elif not selection.include_superseded:
        condition.add("(v.valid_until IS NULL OR v.valid_until > %s)", selection.reference)
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
        return "(" + (" AND ".join(_translate(f, bindings) for f in filter_.filters) or "TRUE") + ")"
    if isinstance(filter_, Or):
        return "(" + (" OR ".join(_translate(f, bindings) for f in filter_.filters) or "FALSE") + ")"
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
            return "FALSE"
        bindings.append(Texts(value))
        return f"coalesce({column} = ANY(%s), FALSE)"
    if op is Operator.CONTAINS or family_of(value) is not family or _nothing(value):
        return "FALSE"
    bindings.append(_plain(value))
    return f"coalesce({column} {_SYMBOLS[op]} {_mark(family)}, FALSE)"


def _kind(op: Operator, value: MetadataValue) -> str:
    """Kinds compare as the names of the contract; there are so few that each is decided here."""

    def holds(name: str) -> bool:
        if op is Operator.EXISTS:
            return value is True
        if op is Operator.IN:
            return isinstance(value, tuple) and name in value
        return isinstance(value, str) and op is not Operator.CONTAINS and _ORDERS[op](name, value)

    kinds = [str(int(kind)) for kind in MemoryKind if holds(f"MEMORY_KIND_{kind.name}")]
    return f"(v.kind IN ({', '.join(kinds)}))" if kinds else "FALSE"


def _metadata(name: str, op: Operator, value: MetadataValue, bindings: list[Binding]) -> str:
    row = "EXISTS (SELECT 1 FROM metadata m WHERE m.key = v.key AND m.name = %s AND"
    family = family_of(value)
    if op is Operator.EXISTS:
        if not isinstance(value, bool):
            return "FALSE"
        bindings.append(name)
        return _exists(f"{row} m.family < {LIST_ITEM})", value)
    if op is Operator.CONTAINS:
        if not isinstance(value, str):
            return "FALSE"
        bindings.extend((name, value))
        return f"{row} m.family = {LIST_ITEM} AND m.string = %s)"
    if op is Operator.IN:
        if not isinstance(value, tuple):
            return "FALSE"
        bindings.extend((name, Texts(value)))
        return f"{row} m.family = {int(Family.STRING)} AND m.string = ANY(%s))"
    if (op is not Operator.EQUAL and family not in _ORDERED_FAMILIES) or _nothing(value):
        return "FALSE"
    bindings.extend((name, _plain(value)))
    return f"{row} m.family = {int(family)} AND m.{_COLUMNS[family]} {_SYMBOLS[op]} {_mark(family)})"


def _exists(present: str, value: MetadataValue) -> str:
    if not isinstance(value, bool):
        return "FALSE"
    return f"({present})" if value else f"(NOT ({present}))"


def _mark(family: Family) -> str:
    return "%s::numeric" if family is Family.NUMBER else "%s"


def _plain(value: MetadataValue) -> Binding:
    if isinstance(value, Moment):
        return value.instant
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return number_text(value)
    return encode_strings(value) if isinstance(value, tuple) else value


def _nothing(value: MetadataValue) -> bool:
    """Whether the constant is no number, to which nothing compares."""
    return isinstance(value, float) and math.isnan(value)


def number_text(value: float) -> str | None:
    """A number as text that `numeric` takes whole; None for NaN, which PostgreSQL would find equal to itself."""
    if isinstance(value, int):
        return str(int(value))
    return None if math.isnan(value) else str(Decimal(value))


MetadataRow: TypeAlias = tuple[str, int, str | None, str | None, int | None, bytes | None]
"""(name, family, string, number as text, whole, list) of a row of the table `metadata`."""


def metadata_rows(metadata: Mapping[str, MetadataValue]) -> list[MetadataRow]:
    """Rows of the table `metadata` for one version: the value by its family, and each string of a list."""
    rows: list[MetadataRow] = []
    for name, value in metadata.items():
        family = int(family_of(value))
        if isinstance(value, str):
            rows.append((name, family, value, None, None, None))
        elif isinstance(value, Moment):
            rows.append((name, family, None, None, value.instant, None))
        elif isinstance(value, tuple):
            rows.append((name, family, None, None, None, encode_strings(value)))
            rows.extend((name, LIST_ITEM, item, None, None, None) for item in dict.fromkeys(value))
        elif isinstance(value, bool):
            rows.append((name, family, None, None, int(value), None))
        else:
            rows.append((name, family, None, number_text(value), None, None))
    return rows
