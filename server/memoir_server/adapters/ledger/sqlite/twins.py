"""Finding memories that say the same as a new one, by the column `said` of their current versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.sqlite.rows import MEMORY_COLUMNS
from memoir_server.domain.duplicate import Twin
from memoir_server.domain.memory import NEVER, Memory
from memoir_server.domain.time import Instant

_MOST: Final = 64
"""Versions looked at per twin: more than one have an equal code only where times, or a client's ids, set them apart."""
_SAME: Final = (
    f"x.ns = ?2 AND x.said = wanted.value ->> 0 AND x.retired = {NEVER} AND x.gone > ?3 "
    "AND (wanted.value ->> 1 IS NULL OR x.create_time = wanted.value ->> 1) "
    "AND CASE WHEN wanted.value ->> 2 IS NOT NULL THEN x.valid_from = wanted.value ->> 2 "
    "ELSE x.valid_from IS NULL OR x.valid_from <= wanted.value ->> 3 END"
)
# One statement for all twins: each statement hands the interpreter lock over and back.
_FIND_FEW: Final = (
    "SELECT wanted.key, x.key, x.text, x.body FROM json_each(?1) AS wanted "
    f"CROSS JOIN versions x INDEXED BY versions_by_said WHERE {_SAME} LIMIT {_MOST + 1}"
)
"""Nothing as a rule, and cheap then: the statement below makes a table of its own for each twin."""
_FIND: Final = (
    f"SELECT wanted.key, {MEMORY_COLUMNS} FROM json_each(?1) AS wanted CROSS JOIN versions v WHERE v.key IN ("
    f"SELECT x.key FROM versions x INDEXED BY versions_by_said WHERE {_SAME} "
    f"ORDER BY x.key LIMIT {_MOST}) ORDER BY wanted.key, v.key"
)

_encode: Final = msgspec.json.Encoder().encode


def _place(row: tuple[Any, ...]) -> tuple[int, int]:
    return row[0], row[1]


def twins_of(connection: apsw.Connection, ns: int, namespace: str, twins: Sequence[Twin], now: Instant) -> list[Memory]:
    """See Ledger.twins."""
    wanted = _encode([(twin.code, twin.create_time, twin.valid_from, twin.holds_at) for twin in twins]).decode()
    found: dict[str, Memory] = {}
    rows: list[tuple[Any, ...]] = connection.execute(_FIND_FEW, (wanted, ns, now)).fetchall()
    if len(rows) > _MOST:
        rows = connection.execute(_FIND, (wanted, ns, now)).fetchall()
    rows.sort(key=_place)
    for position, *columns in rows:
        memory = read_memory(namespace, columns)
        if twins[position].matches(memory):
            found[memory.memory_id] = memory
    return list(found.values())
