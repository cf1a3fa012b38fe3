"""What a reset covers: its current memories, what is left of earlier ones, and what has changed since the plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, REMOVED, key_of, revision_of
from memoir_server.adapters.ledger.postgres.filters import CURRENT, Condition, add_filter, add_scope
from memoir_server.adapters.ledger.postgres.transaction import Reader, Row, Statement
from memoir_server.domain.memory import NEVER
from memoir_server.domain.reset import ResetTarget
from memoir_server.ports.ledger import TargetCount

ENDINGS: Final = "(4, 5, 8)"
"""Types of events that make no version: DELETED, EXPIRED, FAILED."""
_LAST_VERSION: Final = (
    "NOT EXISTS (SELECT FROM versions w WHERE w.ns = v.ns AND w.memory_id = v.memory_id AND w.born = v.born "
    "AND w.key > v.key)"
)


def _target_condition(ns: int, target: ResetTarget) -> Condition:
    """Versions of the target's scope that the preserve filter does not spare."""
    condition = Condition()
    condition.add("v.ns = %s", ns)
    if target.scope is not None:
        add_scope(condition, target.scope)
    if target.preserve is not None:
        add_filter(condition, target.preserve, negated=True)
    return condition


def existing(ns: int, target: ResetTarget) -> Condition:
    """Current versions the target removes. One that has expired without a record of it still exists here: a reset that
    passed it over would leave it behind."""
    condition = _target_condition(ns, target)
    condition.add(CURRENT)
    return condition


def removed_before(ns: int, target: ResetTarget) -> Condition:
    """Last versions of memories that were removed earlier. An erasure takes their history too, which is all there is
    left of them."""
    condition = _target_condition(ns, target)
    condition.add(f"v.gone = {REMOVED} AND {_LAST_VERSION}")
    return condition


async def count_target(reader: Reader, ns: int, target: ResetTarget, sample: int) -> TargetCount:
    """See Ledger.count_target."""
    now = existing(ns, target)
    lives = [now, removed_before(ns, target)] if target.include_history else [now]
    counted, ids, held, changed, *events = await reader.fetch_each(
        [
            (f"SELECT count(*) FROM versions v WHERE {now.sql}", now.bindings),
            (
                f"SELECT v.memory_id FROM versions v WHERE {now.sql} ORDER BY v.memory_id LIMIT %s",
                (*now.bindings, sample),
            ),
            (
                (
                    "SELECT count(*), count(*) FILTER (WHERE x.has_facts) FROM versions v "
                    "JOIN versions x ON x.ns = v.ns "
                    f"AND x.memory_id = v.memory_id AND x.born = v.born WHERE {now.sql}"
                ),
                now.bindings,
            ),
            _finding_changed(ns, target),
            *(statement for condition in lives for statement in _counting_events(ns, condition)),
        ]
    )
    return TargetCount(
        memories=counted[0][0],
        versions=held[0][0],
        events=sum(int(rows[0][0]) for rows in events),
        with_facts=held[0][1],
        sample=tuple(memory_id for (memory_id,) in ids),
        changed_revision=_newest(changed),
    )


async def changed_revision(reader: Reader, ns: int, target: ResetTarget) -> int:
    """Newest revision that made, replaced or removed a version of the target's scope."""
    return _newest(await reader.fetch(*_finding_changed(ns, target)))


def _counting_events(ns: int, lives: Condition) -> list[Statement]:
    """Count events of the memories whose current or last versions meet the condition."""
    return [
        (
            (
                "SELECT count(*) FROM versions v JOIN versions x ON x.ns = v.ns AND x.memory_id = v.memory_id "
                f"AND x.born = v.born WHERE {lives.sql}"
            ),
            lives.bindings,
        ),
        (
            (
                "SELECT count(*) FROM versions v JOIN events e ON e.memory_id = v.memory_id AND e.born = v.born "
                f"AND e.type IN {ENDINGS} WHERE {lives.sql} AND e.key BETWEEN %s AND %s"
            ),
            (*lives.bindings, key_of(ns, 0), key_of(ns, MAX_REVISION)),
        ),
    ]


def _finding_changed(ns: int, target: ResetTarget) -> Statement:
    """Keys and revisions that were the newest, for `_newest`."""
    if target.scope is None:
        sql = "SELECT max(key) FROM events WHERE key BETWEEN %s AND %s AND type <= 5"
        return sql, (key_of(ns, 0), key_of(ns, MAX_REVISION))
    condition = Condition()
    condition.add("v.ns = %s", ns)
    add_scope(condition, target.scope)
    return (
        (
            f"SELECT max(v.key) FROM versions v WHERE {condition.sql} UNION ALL "
            f"SELECT max(v.retired) FROM versions v WHERE {condition.sql} AND v.retired < {NEVER}"
        ),
        (*condition.bindings, *condition.bindings),
    )


def _newest(rows: Sequence[Row]) -> int:
    return max((revision_of(found or 0) for (found,) in rows), default=0)
