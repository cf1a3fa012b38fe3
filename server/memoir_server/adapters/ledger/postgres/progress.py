"""How far each projection has come, in the tables that all servers share.

As in the embedded ledger, the work of a projection is a place in the log, not a row per change. `done` holds the
revisions that need nothing any more as ranges, so that what is applied out of order costs a range and no more, and one
statement moves the place. Exceptions are what is postponed, given up, or asked for once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, REMOVED, REVISION_BITS, key_of, revision_of
from memoir_server.adapters.ledger.forms.rows import read_work
from memoir_server.adapters.ledger.postgres.adaptation import Int8s
from memoir_server.adapters.ledger.postgres.leases import held_by, lost
from memoir_server.adapters.ledger.postgres.rows import EVENTS
from memoir_server.adapters.ledger.postgres.transaction import Row, Statement, Transaction
from memoir_server.domain.change import EventType
from memoir_server.domain.store import PROJECTIONS, StoreKind
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import Lease, Work

_GAP: Final = "(SELECT upper(r) - 1 FROM unnest({done}) AS r LIMIT 1)"
"""The last revision before the first gap."""
_LEFT: Final = (
    "SELECT c.ns, n.name FROM cursors c JOIN namespaces n ON n.ns = c.ns WHERE c.store = %s "
    "AND (c.applied < n.revision OR EXISTS ("
    "SELECT FROM exceptions x WHERE x.store = c.store AND x.again AND x.key >> 40 = c.ns)) ORDER BY c.served, c.ns"
)
_DUE: Final = f"""
WITH place AS MATERIALIZED (
    SELECT c.store, c.ns << {REVISION_BITS} AS base, c.applied, c.done, n.revision AS head
    FROM cursors c JOIN namespaces n ON n.ns = c.ns WHERE c.store = %s AND c.ns = %s
),
noted AS MATERIALIZED (
    SELECT x.key, x.memory_id, x.attempts, x.again, x.due > %s AS waits FROM place p JOIN exceptions x
    ON x.store = p.store AND x.key BETWEEN p.base AND p.base + {MAX_REVISION} WHERE NOT x.given_up
),
due AS MATERIALIZED (
    (SELECT x.key FROM noted x WHERE x.again AND NOT x.waits ORDER BY x.key LIMIT %s)
    UNION
    (SELECT e.key FROM place p JOIN events e ON e.key > p.base + p.applied AND e.key <= p.base + p.head
    WHERE NOT p.done @> e.key - p.base AND NOT EXISTS (SELECT FROM noted x WHERE x.key = e.key AND x.waits)
    ORDER BY e.key LIMIT %s)
    ORDER BY key LIMIT %s
)
SELECT f.*, coalesce((SELECT x.attempts FROM noted x WHERE x.key = f.key), 0) FROM (
    {EVENTS} WHERE e.key IN (SELECT key FROM due)
        AND NOT EXISTS (SELECT FROM noted x WHERE x.waits AND x.memory_id = e.memory_id AND x.key < e.key)
) AS f (key, commit_time, type, memory_id, detail, text, body, retired, gone, before, before_text, before_body)
ORDER BY f.key
"""
_NEEDLESS: Final = (
    "SELECT e.key - %s AS revision FROM events e LEFT JOIN versions v ON v.key = e.key WHERE e.key > %s "
    f"AND e.key <= %s AND e.type NOT IN (4, 5) AND (v.gone IS NULL OR v.gone = {REMOVED}"
)
_NEEDLESS_BY_STORE: Final = {
    StoreKind.INDEX: _NEEDLESS + ")",
    StoreKind.GRAPH: _NEEDLESS + " OR e.type = 1 AND NOT v.has_facts)",
}
"""Revisions of a range that a replay leaves out: changes whose version no longer exists, and no removals; for the
graph also beginnings of memories that state nothing."""


def ranges(revisions: Iterable[int]) -> str:
    """Revisions as a multirange."""
    found: list[list[int]] = []
    for revision in sorted(set(revisions)):
        if found and found[-1][1] == revision:
            found[-1][1] = revision + 1
        else:
            found.append([revision, revision + 1])
    return "{" + ",".join(f"[{first},{end})" for first, end in found) + "}"


def finding_left(store: StoreKind) -> Statement:
    """(ns, name) of namespaces with work, in turn."""
    return _LEFT, (int(store),)


def finding_due(store: StoreKind, ns: int, limit: int, now: Instant) -> Statement:
    """Due work of a namespace, for `due`."""
    return _DUE, (int(store), ns, now, limit, limit, limit)


def due(namespace: str, rows: Sequence[Row]) -> list[Work]:
    """The answer to `finding_due`."""
    return [read_work(namespace, row[:-1], row[-1]) for row in rows]


def completing(
    owner: str, store: StoreKind, ns: int, revisions: Sequence[int], lease: Lease | None, *, ends: bool
) -> Statement:
    """Marks work applied, and gives the lease back when it `ends`, in one statement, whose commit does not wait for the
    disk. No row: the lease is another's."""
    condition, bindings = held_by(owner, lease)
    more = ranges(revisions)
    return (
        (
            "WITH late AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), "
            "moved AS (UPDATE cursors c SET done = c.done + %s::text::int8multirange, "
            f"applied = {_GAP.format(done='c.done + %s::text::int8multirange')}, "
            "owner = CASE WHEN %s THEN NULL ELSE c.owner END FROM late "
            f"WHERE c.store = %s AND c.ns = %s AND {condition} RETURNING c.ns), "
            "forgotten AS (DELETE FROM exceptions x USING moved WHERE x.store = %s AND x.key = ANY(%s)) "
            "SELECT ns FROM moved"
        ),
        (
            *(more, more, ends, int(store), ns, *bindings, int(store)),
            Int8s(key_of(ns, revision) for revision in revisions),
        ),
    )


async def _finish(
    transaction: Transaction,
    owner: str,
    store: StoreKind,
    namespace: str,
    ns: int,
    revisions: Sequence[int],
    lease: Lease | None,
) -> None:
    condition, bindings = held_by(owner, lease)
    more = ranges(revisions)
    moved = await transaction.fetch(
        f"UPDATE cursors c SET done = c.done + %s::text::int8multirange, "
        f"applied = {_GAP.format(done='c.done + %s::text::int8multirange')} "
        f"WHERE c.store = %s AND c.ns = %s AND {condition} RETURNING c.ns",
        (more, more, int(store), ns, *bindings),
    )
    if not moved:
        raise lost(store, namespace)


async def postpone(
    transaction: Transaction,
    owner: str,
    store: StoreKind,
    namespace: str,
    ns: int,
    revisions: Sequence[int],
    lease: Lease | None,
    *,
    until: Instant,
    error: str,
) -> None:
    """Counts an attempt at each revision and makes it due again at `until`. Raises LeaseLost."""
    # Locks the row too, so that nobody takes the lease in between.
    await _finish(transaction, owner, store, namespace, ns, (), lease)
    transaction.put(
        "INSERT INTO exceptions (store, key, memory_id, attempts, due, given_up, again, error) "
        "SELECT %s, e.key, e.memory_id, 1, %s, false, false, %s FROM events e WHERE e.key = ANY(%s) "
        "ON CONFLICT (store, key) DO UPDATE SET attempts = exceptions.attempts + 1, due = excluded.due, "
        "given_up = false, error = excluded.error, memory_id = excluded.memory_id",
        (int(store), until, error, Int8s(key_of(ns, revision) for revision in revisions)),
    )


async def give_up(
    transaction: Transaction,
    owner: str,
    store: StoreKind,
    namespace: str,
    ns: int,
    revision: int,
    lease: Lease | None,
    *,
    error: str,
) -> None:
    """Passes over the work and lists it. Raises LeaseLost."""
    await _finish(transaction, owner, store, namespace, ns, [revision], lease)
    transaction.put(
        "INSERT INTO exceptions (store, key, memory_id, attempts, due, given_up, again, error) "
        "VALUES (%s, %s, '', 1, 0, true, false, %s) "
        "ON CONFLICT (store, key) DO UPDATE SET attempts = exceptions.attempts + 1, due = 0, given_up = true, "
        "again = false, error = excluded.error",
        (int(store), key_of(ns, revision), error),
    )


def skip(transaction: Transaction, ns: int, revisions: Sequence[int]) -> None:
    """Events that no projection cares about, whatever was noted of them. The namespace must be locked."""
    if not revisions:
        return
    stores = Int8s(int(store) for store in PROJECTIONS)
    more = ranges(revisions)
    transaction.put(
        f"UPDATE cursors c SET done = c.done + %s::text::int8multirange, "
        f"applied = {_GAP.format(done='c.done + %s::text::int8multirange')} WHERE c.store = ANY(%s) AND c.ns = %s",
        (more, more, stores, ns),
    )
    transaction.put(
        "DELETE FROM exceptions WHERE store = ANY(%s) AND key = ANY(%s)",
        (stores, Int8s(key_of(ns, revision) for revision in revisions)),
    )


async def requeue(transaction: Transaction, store: StoreKind, ns: int, head: int, after: int) -> int:
    """Makes changes after a revision pending again; the namespace must be locked, so that no commit comes between."""
    rows = await transaction.fetch(
        f"WITH needless AS MATERIALIZED ({_NEEDLESS_BY_STORE[store]}), "
        "kept AS MATERIALIZED (SELECT coalesce(range_agg(int8range(revision, revision + 1)), '{}') AS ranges, "
        "count(*) AS number FROM needless) "
        "UPDATE cursors c SET done = c.done * int8multirange(int8range(0, %s + 1)) + kept.ranges, applied = "
        + _GAP.format(done="c.done * int8multirange(int8range(0, %s + 1)) + kept.ranges")
        + " FROM kept WHERE c.store = %s AND c.ns = %s RETURNING kept.number",
        (key_of(ns, 0), key_of(ns, after), key_of(ns, head), after, after, int(store), ns),
    )
    transaction.put(
        "DELETE FROM exceptions WHERE store = %s AND key > %s AND key <= %s",
        (int(store), key_of(ns, after), key_of(ns, MAX_REVISION)),
    )
    return head - after - int(rows[0][0])


async def requeue_changes(transaction: Transaction, store: StoreKind, ns: int, revisions: Sequence[int]) -> None:
    """Makes single changes pending again."""
    keys = Int8s(key_of(ns, revision) for revision in revisions if 0 < revision < MAX_REVISION)
    found = await transaction.fetch(
        f"SELECT e.key FROM events e WHERE e.key = ANY(%s) AND e.type < {int(EventType.RESET)} ORDER BY e.key", (keys,)
    )
    # Those before the first gap stay in: the watermark does not move back.
    transaction.put(
        "UPDATE cursors c SET done = c.done - "
        "(%s::text::int8multirange * int8multirange(int8range(c.applied + 1, NULL))) WHERE c.store = %s AND c.ns = %s",
        (ranges(revision_of(key) for (key,) in found), int(store), ns),
    )
    transaction.put(
        "INSERT INTO exceptions (store, key, memory_id, attempts, due, given_up, again, error) "
        "SELECT %s, e.key, e.memory_id, 0, 0, false, true, '' FROM events e WHERE e.key = ANY(%s) "
        "ON CONFLICT (store, key) DO UPDATE SET attempts = 0, due = 0, given_up = false, again = true, "
        "error = '', memory_id = excluded.memory_id",
        (int(store), Int8s(key for (key,) in found)),
    )


def counting_backlog(store: StoreKind, ns: int, until: int) -> Statement:
    """Changes up to a revision that are still to be applied."""
    return (
        (
            "SELECT l.last - (SELECT coalesce(sum(upper(r) - lower(r)), 0)::bigint "
            "FROM unnest(c.done * int8multirange(int8range(1, l.last + 1))) AS r) "
            "FROM cursors c JOIN namespaces n ON n.ns = c.ns "
            "CROSS JOIN LATERAL (SELECT least(n.revision, %s) AS last) l "
            "WHERE c.store = %s AND c.ns = %s AND l.last > 0"
        ),
        (until, int(store), ns),
    )


def counting_replay(store: StoreKind, ns: int, head: int) -> Statement:
    """Changes that a replay of everything leaves out."""
    needless = _NEEDLESS_BY_STORE[store]
    return f"SELECT count(*) FROM ({needless}) AS needless", (key_of(ns, 0), key_of(ns, 0), key_of(ns, head))


def exceptions_of(store: StoreKind, ns: int, kind: str) -> tuple[str, tuple[Any, ...]]:
    """Keys of the namespace's exceptions of one kind: `again` or `given_up`."""
    return (
        f"SELECT key FROM exceptions WHERE store = %s AND key BETWEEN %s AND %s AND {kind}",
        (int(store), key_of(ns, 0), key_of(ns, MAX_REVISION)),
    )
