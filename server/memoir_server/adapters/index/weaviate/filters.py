"""Selections as filters of Weaviate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

from weaviate.classes.config import Property
from weaviate.classes.query import Filter
from weaviate.collections.classes.filters import _Filters

from memoir_server.adapters.index.weaviate.schema import id_token, parted
from memoir_server.domain.memory import NEVER, Scope
from memoir_server.domain.selection import Selection

Condition: TypeAlias = _Filters


def of_scope(scope: Scope) -> list[Condition]:
    """Entries the scope covers: whole ids, compared as they are."""
    ids = (("user", scope.user_id), ("agent", scope.agent_id), ("session", scope.session_id))
    return [Filter.by_property(name).equal(id_token(value)) for name, value in ids if value is not None]


def current(scope: Scope, selection: Selection) -> Condition:
    """Entries of the scope that are current at the selection's revision."""
    retired = Filter.by_property("retired")
    if selection.past:
        return both([*of_scope(scope), retired.greater_than(selection.revision), upto(selection.revision)])
    # Looked up as one value: a range reads some sixty bitmaps of all that the tenant holds.
    return both([*of_scope(scope), retired.equal(NEVER)])


def eligible(selection: Selection) -> Condition:
    """What the index applies of a selection: scope, revision interval and world time."""
    conditions = [current(selection.scope, selection)]
    if selection.valid_at is not None:
        conditions += [_reached("valid_from", selection.valid_at), _after("valid_until", selection.valid_at)]
    elif not selection.include_superseded:
        conditions.append(_after("valid_until", selection.reference))
    return both(conditions)


def upto(revision: int) -> Condition:
    """Versions no later than a revision."""
    return Filter.by_property("revision").less_or_equal(revision)


def later(revision: int) -> Condition:
    """Versions after a revision."""
    return Filter.by_property("revision").greater_than(revision)


def revisions(values: Sequence[int]) -> Condition:
    """Versions of these revisions; at least one."""
    return Filter.by_property("revision").contains_any(list(values))


def objects(ids: Sequence[UUID]) -> Condition:
    """The objects with these ids; at least one."""
    return Filter.by_id().contains_any(list(ids))


def memories(memory_ids: Sequence[str]) -> Condition:
    """Versions of these memories; at least one."""
    return Filter.by_property("memory_id").contains_any([id_token(memory_id) for memory_id in memory_ids])


def removed(memory_id: str, until: int) -> Condition:
    """Versions of a memory up to a revision."""
    return Filter.by_property("memory_id").equal(id_token(memory_id)) & upto(until)


def term(value: str) -> Condition:
    """Entries that hold a term."""
    return Filter.by_property("terms").contains_any([value])


def every_term(values: Sequence[str]) -> Condition:
    """Entries that hold all of the terms."""
    return Filter.by_property("terms").contains_all(sorted(set(values)))


def holding(prop: Property, values: Sequence[Any]) -> Condition:
    """Entries with one of the values, in every index that the property has."""
    named = Filter.by_property(prop.name)
    listed = named.contains_any(sorted(set(values)))
    if not prop.indexRangeFilters:
        return listed
    return listed & named.greater_or_equal(min(values)) & named.less_or_equal(max(values))


def both(conditions: Sequence[Condition]) -> Condition:
    """All of the conditions; at least one."""
    return conditions[0] if len(conditions) == 1 else Filter.all_of(list(conditions))


def either(conditions: Sequence[Condition]) -> Condition:
    """Any of the conditions; at least one."""
    return conditions[0] if len(conditions) == 1 else Filter.any_of(list(conditions))


def _after(name: str, instant: int) -> Condition:
    seconds, micros = parted(instant)
    same = Filter.by_property(name).equal(seconds) & Filter.by_property(f"{name}_micros").greater_than(micros)
    return Filter.by_property(name).greater_than(seconds) | same


def _reached(name: str, instant: int) -> Condition:
    seconds, micros = parted(instant)
    same = Filter.by_property(name).equal(seconds) & Filter.by_property(f"{name}_micros").less_or_equal(micros)
    return Filter.by_property(name).less_than(seconds) | same
