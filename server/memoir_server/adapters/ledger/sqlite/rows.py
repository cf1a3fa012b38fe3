"""Rows of the log and of the versions as domain objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

MEMORY_COLUMNS: Final = "v.key, v.text, v.body"
"""What `read_memory` takes, in order."""

_EVENT_COLUMNS: Final = (
    "e.key, e.commit_time, e.type, e.memory_id, e.detail, v.text, v.body, v.retired, v.gone, b.key, b.text, b.body"
)
EVENTS: Final = (
    f"SELECT {_EVENT_COLUMNS} FROM events e LEFT JOIN versions v ON v.key = e.key "
    "LEFT JOIN versions b ON b.key = e.before"
)
"""Events with the versions they made (v) and replaced (b), for `read_changes` and `read_work`."""


_encode_json = msgspec.json.Encoder().encode


def as_json(values: Sequence[str] | Sequence[int] | Sequence[tuple[str | int, ...]]) -> str:
    """Ids, keys or rows as one binding, for json_each."""
    return _encode_json(values).decode()


def fetch(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return connection.execute(sql, tuple(bindings)).fetchall()
