"""Counts and times of accesses: a table beside the log, a row per memory that exists and was returned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from memoir_server.adapters.ledger.postgres.adaptation import Int8s, Texts
from memoir_server.adapters.ledger.postgres.transaction import Row, Statement, Transaction
from memoir_server.domain.access import Access, Kept, Noted
from memoir_server.domain.memory import NEVER

_EXISTING: Final = (
    "SELECT x.ns, x.memory_id, x.born FROM versions x "
    f"WHERE x.ns = %s AND x.memory_id = w.memory_id AND x.retired >= {NEVER}"
)
_NOTE: Final = (
    "INSERT INTO accesses (ns, memory_id, count, last) SELECT v.ns, v.memory_id, sum(w.count)::bigint, max(w.last) "
    "FROM unnest(%s, %s, %s, %s) AS w (memory_id, count, last, seen) "
    # OFFSET 0, here and below: each memory is looked up by its id, instead of reading through a namespace.
    f"CROSS JOIN LATERAL ({_EXISTING} OFFSET 0) v WHERE v.born <= w.seen "
    "GROUP BY v.ns, v.memory_id ON CONFLICT (ns, memory_id) DO UPDATE "
    "SET count = accesses.count + excluded.count, last = greatest(accesses.last, excluded.last)"
)
_READ: Final = (
    "SELECT v.memory_id, v.born, coalesce(a.count, 0), coalesce(a.last, 0) FROM unnest(%s) AS w (memory_id) "
    f"CROSS JOIN LATERAL ({_EXISTING} OFFSET 0) v LEFT JOIN LATERAL "
    "(SELECT x.count, x.last FROM accesses x WHERE x.ns = v.ns AND x.memory_id = v.memory_id OFFSET 0) a ON TRUE"
)


def note_accesses(transaction: Transaction, ns: int, noted: Sequence[Noted]) -> None:
    """See Ledger.note_accesses. The memory must be the one that was seen: born no later than that. The namespace must
    be locked, so that no removal comes between."""
    transaction.put(
        _NOTE,
        (
            Texts([n.memory_id for n in noted]),
            Int8s([n.access.count for n in noted]),
            Int8s([n.access.last for n in noted]),
            Int8s([n.seen for n in noted]),
            ns,
        ),
    )


def reading_accesses(ns: int, memory_ids: Sequence[str]) -> Statement:
    """What is noted, for `kept`."""
    return _READ, (Texts(dict.fromkeys(memory_ids)), ns)


def kept(rows: Sequence[Row]) -> dict[str, Kept]:
    """See Ledger.accesses."""
    return {memory_id: Kept(born, Access(count, last)) for memory_id, born, count, last in rows}


def forgetting_accesses(ns: int, memory_ids: Sequence[str]) -> Statement:
    """Drops what is noted of memories."""
    return "DELETE FROM accesses WHERE ns = %s AND memory_id = ANY(%s)", (ns, Texts(memory_ids))
