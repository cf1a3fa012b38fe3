"""Leases: which of the servers that share the ledger may change which part of a projection.

A server says now and then that it lives, in one row; a lease is its name on another row. So a lease ends with its
owner, by the clock of the database, however many there are. Claims pass over rows that another server looks at in the
same moment (SKIP LOCKED); whoever wants a whole projection locks its row in `projections`, of which every claim takes
a share.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from memoir_server.adapters.ledger.postgres.adaptation import Texts
from memoir_server.adapters.ledger.postgres.transaction import Row, Statement, Transaction
from memoir_server.domain.reset import ResetState
from memoir_server.domain.store import StoreKind
from memoir_server.ports.ledger import Lease, LeaseLost

WANTED_SECONDS: Final = 2.0
"""How long a server that asks for a lease in vain is served before others."""
NAMESPACES_AT_ONCE: Final = 4
"""Namespaces that one claim takes: the others are left to other servers."""

LIVES: Final = "EXISTS (SELECT FROM servers s WHERE s.owner = {row}.owner AND s.alive_until > clock_timestamp())"
"""That the owner of a row lives; `row` is its alias."""
_FREE: Final = (
    "({row}.owner IS NULL OR {row}.owner = {me} OR {row}.free_at < clock_timestamp() OR NOT " + LIVES + ") "
    "AND ({row}.wanted_by IS NULL OR {row}.wanted_by = {me} OR {row}.wanted_until < clock_timestamp())"
)

_RENEW: Final = (
    # Those that have been silent for long are forgotten; what they leased is free since then.
    "WITH gone AS (DELETE FROM servers WHERE alive_until < clock_timestamp() - interval '1 hour' AND owner <> %s) "
    "INSERT INTO servers (owner, model, alive_until) "
    "VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s::float8)) "
    "ON CONFLICT (owner) DO UPDATE SET model = excluded.model, alive_until = excluded.alive_until"
)
_OTHERS: Final = "SELECT count(*) FROM servers WHERE owner <> %s AND model <> %s AND alive_until > clock_timestamp()"

_CLAIM: Final = f"""
WITH me AS MATERIALIZED (SELECT %s::text COLLATE "C" AS name),
gate AS MATERIALIZED (
    SELECT p.store FROM projections p, me WHERE p.store = %s AND {_FREE.format(row="p", me="me.name")} FOR SHARE OF p
),
chosen AS MATERIALIZED (
    SELECT c.store, c.ns, n.name AS namespace, c.owner AS before
    FROM gate CROSS JOIN me JOIN cursors c ON c.store = gate.store JOIN namespaces n ON n.ns = c.ns
    WHERE {{among}} c.store = %s AND (c.applied < n.revision OR EXISTS (
            SELECT FROM exceptions x WHERE x.store = c.store AND x.again AND x.key >> 40 = c.ns))
        AND {_FREE.format(row="c", me="me.name")}
    ORDER BY c.served LIMIT %s FOR UPDATE OF c SKIP LOCKED
),
unheld AS (
    -- Whoever claims parts does not hold the whole any more, whatever became of its release.
    UPDATE projections p SET owner = NULL, free_at = NULL FROM me WHERE p.store = %s AND p.owner = me.name
),
given_back AS (
    UPDATE cursors c SET owner = NULL, free_at = NULL FROM me
    WHERE c.store = %s AND c.owner = me.name AND NOT EXISTS (SELECT FROM chosen WHERE chosen.ns = c.ns)
)
UPDATE cursors c SET owner = me.name, free_at = NULL, wanted_by = NULL, served = clock_timestamp(),
    token = CASE WHEN chosen.before = me.name THEN c.token ELSE c.token + 1 END
FROM chosen, me WHERE c.store = chosen.store AND c.ns = chosen.ns
RETURNING c.ns, chosen.namespace, c.token, c.applied
"""
_BEHIND: Final = (
    "SELECT n.name FROM namespaces n JOIN cursors c ON c.ns = n.ns "
    "WHERE n.name = ANY(%s) AND c.store = %s AND c.applied < n.revision"
)

_HOLD: Final = (
    "UPDATE {table} c SET owner = %s, free_at = NULL, wanted_by = NULL, "
    "token = CASE WHEN c.owner = %s THEN c.token ELSE c.token + 1 END "
    f"WHERE {{where}} AND {_FREE.format(row='c', me='%s')} RETURNING c.token"
)
_WANT: Final = (
    "UPDATE {table} c SET wanted_by = %s, wanted_until = clock_timestamp() + make_interval(secs => %s::float8) "
    "WHERE {where} AND (c.wanted_by IS NULL OR c.wanted_by = %s OR c.wanted_until < clock_timestamp())"
)
_GATE: Final = f"SELECT 1 FROM projections p WHERE p.store = %s AND {_FREE.format(row='p', me='%s')} FOR SHARE"
_IN_OTHER_HANDS: Final = (
    "SELECT 1 FROM cursors c WHERE c.store = %s AND c.owner <> %s AND (c.free_at IS NULL OR c.free_at >= "
    f"clock_timestamp()) AND {LIVES.format(row='c')} LIMIT 1"
)
_RELEASE: Final = (
    "UPDATE {table} c SET owner = CASE WHEN %s::float8 > 0 THEN c.owner END, "
    "free_at = CASE WHEN %s::float8 > 0 THEN clock_timestamp() + make_interval(secs => %s::float8) END "
    "WHERE {where} AND c.owner = %s AND c.token = %s"
)
_CLAIM_RESET: Final = (
    "UPDATE resets r SET owner = %s WHERE r.ns = %s AND r.reset_id = %s AND r.state = %s "
    f"AND (r.owner IS NULL OR r.owner = %s OR NOT {LIVES.format(row='r')}) RETURNING r.id"
)
_ONE: Final = "c.store = %s AND c.ns = %s"
_WHOLE: Final = "c.store = %s"


@dataclass(frozen=True, slots=True)
class Claimed:
    """One namespace that a claim got."""

    ns: int
    applied: int
    lease: Lease


def renewing(owner: str, model: str, seconds: float) -> Statement:
    """Says that the owner lives for so many seconds."""
    return _RENEW, (owner, owner, model, seconds)


def counting_others(owner: str, model: str) -> Statement:
    """Counts the other live servers with another model."""
    return _OTHERS, (owner, model)


def claiming(owner: str, store: StoreKind, limit: int, names: Collection[str] | None = None) -> Statement:
    """Claims namespaces with work, `names` or any, and gives back what was claimed before. `claimed` reads the
    answer."""
    among, bindings = ("", ()) if names is None else ("n.name = ANY(%s) AND", (Texts(names),))
    return _CLAIM.format(among=among), (owner, int(store), *bindings, int(store), limit, int(store), int(store))


def finding_behind(store: StoreKind, names: Collection[str]) -> Statement:
    """Names of those of the namespaces that have work, whoever does it."""
    return _BEHIND, (Texts(names), int(store))


def claimed(store: StoreKind, rows: Sequence[Row]) -> list[Claimed]:
    """The answer to `claiming`."""
    return [Claimed(ns, applied, Lease(store, namespace, token)) for ns, namespace, token, applied in rows]


async def hold_namespace(
    transaction: Transaction, owner: str, store: StoreKind, namespace: str, ns: int
) -> Lease | None:
    """See Ledger.hold, of one namespace."""
    if not await transaction.fetch(_GATE, (int(store), owner, owner)):
        return None
    return await _take(transaction, "cursors", _ONE, (int(store), ns), owner, Lease(store, namespace))


async def hold_projection(transaction: Transaction, owner: str, store: StoreKind) -> Lease | None:
    """See Ledger.hold, of a whole projection."""
    # Claims take a share of this lock, so whatever they took before is seen by the next statement.
    await transaction.fetch("SELECT FROM projections p WHERE p.store = %s FOR UPDATE", (int(store),))
    if await transaction.fetch(_IN_OTHER_HANDS, (int(store), owner)):
        transaction.put(*_wanting("projections", _WHOLE, (int(store),), owner))
        return None
    lease = await _take(transaction, "projections", _WHOLE, (int(store),), owner, Lease(store, None))
    if lease is not None:
        # Those that nobody kept alive: a late word of them must not count any more.
        transaction.put(
            "UPDATE cursors SET owner = NULL, free_at = NULL WHERE store = %s AND owner <> ''", (int(store),)
        )
    return lease


async def _take(
    transaction: Transaction, table: str, where: str, bindings: Sequence[int], owner: str, lease: Lease
) -> Lease | None:
    held = await transaction.fetch(_HOLD.format(table=table, where=where), (owner, owner, *bindings, owner, owner))
    if held:
        return replace(lease, token=held[0][0])
    transaction.put(*_wanting(table, where, bindings, owner))
    return None


def _wanting(table: str, where: str, bindings: Sequence[int], owner: str) -> Statement:
    return _WANT.format(table=table, where=where), (owner, WANTED_SECONDS, *bindings, owner)


def releasing(owner: str, lease: Lease, ns: int | None, linger: float) -> Statement:
    """Gives a lease back; `ns` is the number of its namespace."""
    table, where = ("projections", _WHOLE) if ns is None else ("cursors", _ONE)
    place = (int(lease.store),) if ns is None else (int(lease.store), ns)
    return _RELEASE.format(table=table, where=where), (linger, linger, linger, *place, owner, lease.token)


def resigning(owner: str) -> list[Statement]:
    """Gives everything back."""
    given_back = [
        (f"UPDATE {table} SET owner = NULL WHERE owner = %s", (owner,))
        for table in ("cursors", "projections", "resets", "ingestions")
    ]
    return [*given_back, ("DELETE FROM servers WHERE owner = %s", (owner,))]


def held_by(owner: str, lease: Lease | None) -> tuple[str, tuple[str | int, ...]]:
    """A condition on the row of `cursors` under the alias c: that the lease, if there is one, is still the owner's."""
    return ("TRUE", ()) if lease is None else ("c.owner = %s AND c.token = %s", (owner, lease.token))


def lost(store: StoreKind, namespace: str) -> LeaseLost:
    """What a holder is told whose lease is another's."""
    return LeaseLost(f"the {store.name.lower()} of namespace {namespace!r} is another server's to change")


def claiming_reset(owner: str, ns: int, reset_id: str) -> Statement:
    """Makes the owner the one that cleans up, unless a live one does; one row when it is."""
    return _CLAIM_RESET, (owner, ns, reset_id, int(ResetState.RUNNING), owner)


def saying_forgotten(owner: str, number: int) -> Statement:
    """Notes that the owner remembers nothing of what a reset removes."""
    return "INSERT INTO forgotten (reset, owner) VALUES (%s, %s) ON CONFLICT DO NOTHING", (number, owner)


def counting_not_forgotten(owner: str, number: int) -> Statement:
    """Counts the other live servers that have not said so."""
    return (
        (
            "SELECT count(*) FROM servers s WHERE s.owner <> %s AND s.alive_until > clock_timestamp() "
            "AND NOT EXISTS (SELECT FROM forgotten f WHERE f.reset = %s AND f.owner = s.owner)"
        ),
        (owner, number),
    )


def releasing_reset(owner: str, ns: int, reset_id: str) -> Statement:
    """Gives up what `claiming_reset` got."""
    return "UPDATE resets SET owner = NULL WHERE owner = %s AND ns = %s AND reset_id = %s", (owner, ns, reset_id)
