"""Counts and times of accesses: a table beside the log, a row per memory that exists and was returned."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from memoir_server.adapters.ledger.sqlite.rows import as_json
from memoir_server.domain.access import Access, Kept, Noted
from memoir_server.domain.memory import NEVER


def note_accesses(connection: apsw.Connection, ns: int, noted: Sequence[Noted]) -> None:
    """See Ledger.note_accesses. The memory must be the one that was seen: born no later than that."""
    # One statement for all: it runs without Python's lock, beside the reads that are being served.
    connection.execute(
        "INSERT INTO accesses (ns, memory_id, count, last) "
        "SELECT v.ns, v.memory_id, noted.value ->> 1, noted.value ->> 2 "
        "FROM json_each(?) AS noted CROSS JOIN versions v "
        f"WHERE v.ns = ? AND v.memory_id = noted.value ->> 0 AND v.retired = {NEVER} AND v.born <= noted.value ->> 3 "
        "ON CONFLICT (ns, memory_id) DO UPDATE SET count = count + excluded.count, last = max(last, excluded.last)",
        (as_json([(n.memory_id, n.access.count, n.access.last, n.seen) for n in noted]), ns),
    )


def read_accesses(connection: apsw.Connection, ns: int, memory_ids: Sequence[str]) -> dict[str, Kept]:
    """See Ledger.accesses."""
    rows = connection.execute(
        "SELECT v.memory_id, v.born, coalesce(a.count, 0), coalesce(a.last, 0) "
        "FROM json_each(?) AS wanted CROSS JOIN versions v LEFT JOIN accesses a "
        "ON a.ns = v.ns AND a.memory_id = v.memory_id "
        f"WHERE v.ns = ? AND v.memory_id = wanted.value AND v.retired = {NEVER}",
        (as_json(memory_ids), ns),
    )
    return {memory_id: Kept(born, Access(count, last)) for memory_id, born, count, last in rows}


def forget_accesses(connection: apsw.Connection, removed: Sequence[tuple[int, str]]) -> None:
    """Drops what is noted of memories, given as (namespace number, memory_id)."""
    connection.executemany("DELETE FROM accesses WHERE ns = ? AND memory_id = ?", removed)
