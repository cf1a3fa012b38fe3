"""Finding memories that say the same as a new one, by the column `said` of their current versions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.postgres.adaptation import Int8s
from memoir_server.adapters.ledger.postgres.rows import MEMORY_COLUMNS
from memoir_server.adapters.ledger.postgres.transaction import Row, Statement
from memoir_server.domain.duplicate import Twin
from memoir_server.domain.memory import NEVER, Memory
from memoir_server.domain.time import Instant

_MOST: Final = 64
"""Versions looked at per twin: more than one have an equal code only where times, or a client's ids, set them apart."""
_FIND: Final = (
    f"SELECT w.position, {MEMORY_COLUMNS} "
    "FROM unnest(%s, %s, %s, %s) WITH ORDINALITY AS w (code, created, valid, holds, position) CROSS JOIN LATERAL ("
    "SELECT x.key, x.text, x.body FROM versions x WHERE x.ns = %s AND x.said = w.code "
    f"AND x.retired = {NEVER} AND x.gone > %s AND (w.created IS NULL OR x.create_time = w.created) "
    "AND CASE WHEN w.valid IS NOT NULL THEN x.valid_from = w.valid "
    "ELSE x.valid_from IS NULL OR x.valid_from <= w.holds END "
    # Not by x.key itself: the few of one code are sorted, instead of all versions walked through in that order.
    f"ORDER BY x.key + 0 LIMIT {_MOST}) v ORDER BY w.position, v.key"
)


def finding_twins(ns: int, twins: Sequence[Twin], now: Instant) -> Statement:
    """The statement that finds the twins, for `matching`."""
    return _FIND, (
        Int8s([twin.code for twin in twins]),
        Int8s([twin.create_time for twin in twins]),
        Int8s([twin.valid_from for twin in twins]),
        Int8s([twin.holds_at for twin in twins]),
        ns,
        now,
    )


def matching(namespace: str, twins: Sequence[Twin], rows: Iterable[Row]) -> list[Memory]:
    """Those of the rows found that are twins indeed, by twin and then oldest first."""
    found: dict[str, Memory] = {}
    for position, *columns in rows:
        memory = read_memory(namespace, columns)
        if twins[position - 1].matches(memory):
            found[memory.memory_id] = memory
    return list(found.values())
