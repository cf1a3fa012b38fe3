"""Rows of versions and events as domain values: the columns are the same in both ledgers, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from memoir_server.adapters.ledger.forms.encoding import decode_detail, decode_memory
from memoir_server.adapters.ledger.forms.layout import REMOVED, revision_of
from memoir_server.domain.change import Change, EventType
from memoir_server.domain.memory import Memory
from memoir_server.ports.ledger import Work

_TYPES: Final = {int(type_): type_ for type_ in EventType}


def read_memory(namespace: str, row: Sequence[Any]) -> Memory:
    """A row of MEMORY_COLUMNS."""
    return decode_memory(namespace, revision_of(row[0]), row[1], row[2])


def read_change(namespace: str, row: Sequence[Any]) -> Change:
    """A row of EVENTS as a change."""
    key, commit_time, type_, memory_id, detail, text, body, _retired, _gone, before, before_text, before_body = row
    if detail is None:
        return Change(namespace=namespace, revision=revision_of(key), commit_time=commit_time, type=_TYPES[type_])
    reason, origin, keep_facts = decode_detail(detail)
    return Change(
        namespace=namespace,
        revision=revision_of(key),
        commit_time=commit_time,
        type=_TYPES[type_],
        memory_id=memory_id,
        before=None if before is None else decode_memory(namespace, revision_of(before), before_text, before_body),
        after=None if body is None else decode_memory(namespace, revision_of(key), text, body),
        reason=reason,
        origin=origin,
        keep_facts=keep_facts,
    )


def read_changes(namespace: str, rows: Iterable[Sequence[Any]]) -> list[Change]:
    """Rows of EVENTS as changes."""
    return [read_change(namespace, row) for row in rows]


def read_work(namespace: str, row: Sequence[Any], attempts: int) -> Work:
    """A row of EVENTS as work."""
    retired, gone = row[7], row[8]
    live = gone is not None and gone != REMOVED
    return Work(read_change(namespace, row), attempts, live, revision_of(row[0]) if retired is None else retired)
