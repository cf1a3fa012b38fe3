"""Rows of the log and of the versions as domain objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from memoir_server.adapters.ledger.forms.encoding import decode_detail, decode_memory
from memoir_server.adapters.ledger.forms.layout import REMOVED, revision_of
from memoir_server.domain.change import Change, EventType
from memoir_server.domain.memory import Memory
from memoir_server.ports.ledger import Work

_TYPES: Final = {int(type_): type_ for type_ in EventType}

MEMORY_COLUMNS: Final = "v.key, v.text, v.body"
"""What `read_memory` takes, in order."""

_EVENT_COLUMNS: Final = (
    "e.key, e.commit_time, e.type, e.memory_id, e.detail, v.text, v.body, v.retired, v.gone, b.key, b.text, b.body"
)
_VERSION: Final = "SELECT x.key, x.text, x.body, x.retired, x.gone, x.user_id, x.agent_id, x.session_id FROM versions x"
EVENTS: Final = (
    # OFFSET 0: each version is looked up. Joined as a whole, the planner likes to merge two walks along the keys, of
    # which one begins with the first version there is.
    f"SELECT {_EVENT_COLUMNS} FROM events e LEFT JOIN LATERAL ({_VERSION} WHERE x.key = e.key OFFSET 0) v ON TRUE "
    f"LEFT JOIN LATERAL ({_VERSION} WHERE x.key = e.before OFFSET 0) b ON TRUE"
)
"""Events with the versions they made (v) and replaced (b), for `read_changes` and `read_work`."""


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
