"""Who speaks in a scope: counters over current memories, kept with every change."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from memoir_server.adapters.ledger.postgres.adaptation import Bytes, Int8s, Texts
from memoir_server.adapters.ledger.postgres.filters import Condition, add_scope
from memoir_server.adapters.ledger.postgres.transaction import Statement
from memoir_server.domain.change import Change
from memoir_server.domain.memory import NEVER, Memory, Scope

_encode: Final = msgspec.msgpack.Encoder().encode

_Counter: TypeAlias = tuple[str, str | None, str | None, str | None]
"""Name, user, agent, session."""

_COUNT: Final = (
    "INSERT INTO speakers (ns, place, name, user_id, agent_id, session_id, first, memories) "
    "SELECT %s, * FROM unnest(%s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (ns, place) DO UPDATE SET memories = speakers.memories + excluded.memories"
)
_DROP: Final = "DELETE FROM speakers WHERE ns = %s AND place = ANY(%s) AND memories <= 0"


def place_of(*parts: str | None) -> bytes:
    """A key of ids as long as they may be."""
    return hashlib.sha256(_encode(parts)).digest()


def counting_changes(ns: int, changes: Sequence[Change]) -> tuple[list[Statement], list[Statement]]:
    """Statements that count the versions that became current and those that ceased to be, and such as must follow."""
    deltas: Counter[_Counter] = Counter()
    first: dict[_Counter, int] = {}
    for change in changes:
        if change.after is not None:
            counter = _counter_of(change.after)
            deltas[counter] += 1
            first.setdefault(counter, change.revision)
        if change.before is not None:
            deltas[_counter_of(change.before)] -= 1
    moved = [(counter, delta) for counter, delta in deltas.items() if counter[0] and delta]
    if not moved:
        return [], []
    names, users, agents, sessions = zip(*(counter for counter, _ in moved), strict=True)
    places = [place_of(*counter) for counter, _ in moved]
    firsts = Int8s([first.get(counter, 0) for counter, _ in moved])
    changed = Int8s([delta for _, delta in moved])
    bound = (ns, Bytes(places), Texts(names), Texts(users), Texts(agents), Texts(sessions), firsts, changed)
    fallen = [place for place, (_, delta) in zip(places, moved, strict=True) if delta < 0]
    return [(_COUNT, bound)], [(_DROP, (ns, Bytes(fallen)))] if fallen else []


def _counter_of(memory: Memory) -> _Counter:
    scope = memory.scope
    return memory.speaker, scope.user_id, scope.agent_id, scope.session_id


def finding_speakers(ns: int, scope: Scope, limit: int, revision: int) -> Statement:
    """Names of the speakers of the scope who had spoken by the revision, most frequent first, then by name."""
    condition = Condition()
    condition.add("v.ns = %s", ns)
    if revision < NEVER - 1:
        condition.add("v.first <= %s", revision)
    add_scope(condition, scope)
    sql = (
        f"SELECT v.name FROM speakers v WHERE {condition.sql} GROUP BY v.name "
        "ORDER BY sum(v.memories) DESC, v.name LIMIT %s"
    )
    return sql, (*condition.bindings, limit)
