"""How far each projection has come.

Revisions are consecutive, so the work of a projection is a place in the log, not a row per change: everything up to
`applied` is done, everything after it is not, but for what is known to be done out of order, postponed or given up.
A write therefore costs no work row, and a store that is down for a day costs none either. The place lives in memory,
where it moves at once, and is written behind; after a crash it is a little too low, and work is applied twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import apsw

from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, REMOVED, REVISION_BITS, key_of, revision_of
from memoir_server.adapters.ledger.forms.rows import read_work
from memoir_server.adapters.ledger.sqlite.heads import Heads
from memoir_server.adapters.ledger.sqlite.rows import EVENTS, as_json
from memoir_server.adapters.ledger.sqlite.writer import NamespaceRow, Transaction, Writer
from memoir_server.domain.store import PROJECTIONS, StoreKind
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import Work

INLINE: Final = 32
"""Work items that are read on the event loop; more go to a thread."""


@dataclass(slots=True)
class _Postponed:
    attempts: int
    due: Instant
    memory_id: str


@dataclass(slots=True)
class _Place:
    """One projection of one namespace. Lives on the event loop."""

    applied: int = 0
    done: set[int] = field(default_factory=set)
    """Revisions above `applied` that need nothing."""
    postponed: dict[int, _Postponed] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)
    again: set[int] = field(default_factory=set)
    """Revisions that were asked to be applied once more."""

    def _next_are(self, revisions: Sequence[int]) -> bool:
        """Whether these are the next revisions without a gap, and nothing is known of any other."""
        return (
            not (self.done or self.postponed or self.again)
            and len(revisions) > 0
            and list(revisions) == list(range(self.applied + 1, self.applied + 1 + len(revisions)))
        )

    def finish(self, revisions: Sequence[int]) -> None:
        if self._next_are(revisions):
            self.applied = revisions[-1]
            return
        self.again.difference_update(revisions)
        for revision in revisions:
            if revision > self.applied:
                self.done.add(revision)
            self.postponed.pop(revision, None)
        while self.applied + 1 in self.done:
            self.applied += 1
            self.done.discard(self.applied)

    def next_due(self, head: int, now: Instant, limit: int) -> list[int]:
        """The first revisions that are neither done nor waiting, at most `limit`."""
        if not (self.done or self.postponed or self.again):
            return list(range(self.applied + 1, min(head, self.applied + limit) + 1))
        due: list[int] = []
        following = (r for r in range(self.applied + 1, head + 1) if r not in self.done and r not in self.again)
        for revision in itertools.chain(sorted(self.again), following):
            if len(due) == limit:
                break
            postponed = self.postponed.get(revision)
            if postponed is None or postponed.due <= now:
                due.append(revision)
        return due


class Progress:
    """Work of all projections."""

    def __init__(self, heads: Heads, writer: Writer) -> None:
        self._heads = heads
        self._writer = writer
        self._places: dict[tuple[StoreKind, int], _Place] = {}
        self._turn = 0

    def load(self, connection: apsw.Connection) -> None:
        """Reads the places as they were last written."""
        for row in self._heads.rows():
            for store in PROJECTIONS:
                self._places[store, row.ns] = _Place()
        for store, ns, applied in connection.execute("SELECT store, ns, applied FROM cursors"):
            self._place(StoreKind(store), ns).applied = applied
        exceptions = connection.execute(
            "SELECT x.store, x.key, x.attempts, x.due, x.given_up, e.memory_id "
            "FROM exceptions x JOIN events e USING (key)"
        )
        for store, key, attempts, due, given_up, memory_id in exceptions:
            place = self._place(StoreKind(store), key >> REVISION_BITS)
            if given_up:
                place.given_up.add(revision_of(key))
                place.finish([revision_of(key)])
                continue
            if revision_of(key) <= place.applied or not attempts:
                place.again.add(revision_of(key))
            if attempts:
                place.postponed[revision_of(key)] = _Postponed(attempts, due, memory_id)
        for (key,) in connection.execute("SELECT key FROM events WHERE type >= 6"):
            self.skip(key >> REVISION_BITS, [revision_of(key)])

    def skip(self, ns: int, revisions: Sequence[int]) -> None:
        """Events that no projection cares about."""
        for store in PROJECTIONS:
            self._place(store, ns).finish(revisions)

    def watermark(self, store: StoreKind, row: NamespaceRow) -> int:
        """Everything up to it is applied or given up."""
        return min(self._place(store, row.ns).applied, row.head.revision)

    def degraded(self, store: StoreKind, row: NamespaceRow) -> int:
        """Work given up and not repaired."""
        return len(self._place(store, row.ns).given_up)

    def due(self, store: StoreKind, *, limit: int, now: Instant) -> list[tuple[NamespaceRow, list[int]]]:
        """Revisions to work on by namespace, `limit` in all. Namespaces take turns in coming first."""
        behind = [
            row
            for row in self._heads.rows()
            if self._place(store, row.ns).applied < row.head.revision or self._place(store, row.ns).again
        ]
        if not behind:
            return []
        self._turn += 1
        start = self._turn % len(behind)
        found = []
        for row in behind[start:] + behind[:start]:
            revisions = self._place(store, row.ns).next_due(row.head.revision, now, limit)
            if revisions:
                found.append((row, revisions))
                limit -= len(revisions)
            if limit <= 0:
                break
        return found

    def in_order(self, store: StoreKind, row: NamespaceRow, work: Iterable[Work], now: Instant) -> list[Work]:
        """The work without changes of memories that have an earlier change waiting."""
        waiting = {
            p.memory_id: revision
            for revision, p in sorted(self._place(store, row.ns).postponed.items(), reverse=True)
            if p.due > now
        }
        if not waiting:
            return list(work)
        return [w for w in work if waiting.get(w.change.memory_id, MAX_REVISION) > w.change.revision]

    def attempts(self, store: StoreKind, row: NamespaceRow) -> Mapping[int, int]:
        """Failed attempts by revision, where there were any."""
        return {revision: p.attempts for revision, p in self._place(store, row.ns).postponed.items()}

    def complete(self, store: StoreKind, row: NamespaceRow, revisions: Sequence[int]) -> None:
        """Marks work applied."""
        place = self._place(store, row.ns)
        known = [r for r in revisions if r in place.postponed or r in place.given_up or r in place.again]
        place.finish(revisions)
        place.given_up.difference_update(revisions)
        keys = [(int(store), key_of(row.ns, r)) for r in known]

        def write(transaction: Transaction) -> None:
            if keys:
                transaction.connection.executemany("DELETE FROM exceptions WHERE store = ? AND key = ?", keys)
            _write_place(transaction.connection, store, row.ns, place.applied)

        self._writer.run_lazily(write)

    def postpone(
        self,
        store: StoreKind,
        row: NamespaceRow,
        memory_ids: Mapping[int, str],
        *,
        until: Instant,
        error: str,
    ) -> None:
        """Counts an attempt at each revision and makes it due again at `until`."""
        place = self._place(store, row.ns)
        rows = []
        for revision, memory_id in memory_ids.items():
            known = place.postponed.get(revision)
            attempts = 1 if known is None else known.attempts + 1
            place.postponed[revision] = _Postponed(attempts, until, memory_id)
            rows.append((int(store), key_of(row.ns, revision), attempts, until, 0, error))
        self._writer.run_lazily(lambda transaction: _write_exceptions(transaction.connection, rows))

    def give_up(self, store: StoreKind, row: NamespaceRow, revision: int, error: str) -> None:
        """Passes over the work and lists it."""
        place = self._place(store, row.ns)
        known = place.postponed.get(revision)
        place.finish([revision])
        place.given_up.add(revision)
        rows = [(int(store), key_of(row.ns, revision), known.attempts + 1 if known else 1, 0, 1, error)]

        def write(transaction: Transaction) -> None:
            _write_exceptions(transaction.connection, rows)
            _write_place(transaction.connection, store, row.ns, place.applied)

        self._writer.run_lazily(write)

    def requeue(self, transaction: Transaction, store: StoreKind, row: NamespaceRow, after: int) -> int:
        """Makes changes after a revision pending again; runs on the writer, so that no commit comes between."""
        current = transaction.namespace(row.name) or row
        skipped = needless(transaction.connection, store, row.ns, after, current.head.revision)
        connection = transaction.connection
        applied = connection.execute("SELECT applied FROM cursors WHERE store = ? AND ns = ?", (int(store), row.ns)).get
        place = min(applied or 0, after)
        while place >= after and place + 1 in skipped:
            place += 1
        _write_place(connection, store, row.ns, place)
        connection.execute(
            "DELETE FROM exceptions WHERE store = ? AND key > ? AND key <= ?",
            (int(store), key_of(row.ns, after), key_of(row.ns, MAX_REVISION)),
        )
        transaction.after_commit(lambda: self._restart(store, row.ns, after, skipped))
        return current.head.revision - after - len(skipped)

    def _restart(self, store: StoreKind, ns: int, after: int, skipped: set[int]) -> None:
        place = self._place(store, ns)
        place.done = {r for r in place.done if r <= after} | skipped
        place.postponed = {r: p for r, p in place.postponed.items() if r <= after}
        place.given_up = {r for r in place.given_up if r <= after}
        place.again = {r for r in place.again if r <= after}
        place.applied = min(place.applied, after)
        place.finish(())

    def requeue_changes(
        self, transaction: Transaction, store: StoreKind, row: NamespaceRow, revisions: Sequence[int]
    ) -> None:
        """Makes single changes pending again; runs on the writer."""
        found = transaction.connection.execute(
            "SELECT key FROM events WHERE key IN (SELECT value FROM json_each(?)) AND type < 6",
            (as_json([key_of(row.ns, revision) for revision in revisions if 0 < revision < MAX_REVISION]),),
        )
        keys = [key for (key,) in found]
        _write_exceptions(transaction.connection, [(int(store), key, 0, 0, 0, "") for key in keys])
        transaction.after_commit(lambda: self._again(store, row.ns, [revision_of(key) for key in keys]))

    def _again(self, store: StoreKind, ns: int, revisions: Sequence[int]) -> None:
        place = self._place(store, ns)
        for revision in revisions:
            place.postponed.pop(revision, None)
            place.given_up.discard(revision)
            place.done.discard(revision)
            place.again.add(revision)

    def requeued(self, store: StoreKind, row: NamespaceRow) -> frozenset[int]:
        """Changes to be applied once more."""
        return frozenset(self._place(store, row.ns).again)

    def backlog(self, store: StoreKind, row: NamespaceRow, until: int) -> int:
        """Changes up to a revision that are still to be applied."""
        place = self._place(store, row.ns)
        last = min(until, row.head.revision)
        return max(0, last - place.applied - sum(revision <= last for revision in place.done))

    def forget(self, ns: int, revisions: Sequence[int]) -> None:
        """Erased events need no work, whatever was noted of them."""
        self.skip(ns, revisions)
        for store in PROJECTIONS:
            self._place(store, ns).given_up.difference_update(revisions)

    def _place(self, store: StoreKind, ns: int) -> _Place:
        return self._places.setdefault((store, ns), _Place())


def needless(connection: apsw.Connection, store: StoreKind, ns: int, after: int, until: int) -> set[int]:
    """Revisions of a range that a replay leaves out: changes whose version no longer exists, and no removals; for the
    graph also beginnings of memories that state nothing."""
    silent = "OR e.type = 1 AND NOT v.has_facts" if store is StoreKind.GRAPH else ""
    rows = connection.execute(
        "SELECT e.key FROM events e LEFT JOIN versions v ON v.key = e.key WHERE e.key > ? AND e.key <= ? "
        f"AND e.type NOT IN (4, 5) AND (v.gone IS NULL OR v.gone = {REMOVED} {silent})",
        (key_of(ns, after), key_of(ns, until)),
    )
    return {revision_of(key) for (key,) in rows}


def read_due(
    connection: apsw.Connection, row: NamespaceRow, revisions: Sequence[int], attempts: Mapping[int, int]
) -> list[Work]:
    """The work of those revisions, in order."""
    rows = connection.execute(
        f"{EVENTS} WHERE e.key IN (SELECT value FROM json_each(?)) ORDER BY e.key",
        (as_json([key_of(row.ns, revision) for revision in revisions]),),
    )
    return [read_work(row.name, r, attempts.get(revision_of(r[0]), 0)) for r in rows]


def _write_place(connection: apsw.Connection, store: StoreKind, ns: int, applied: int) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO cursors (store, ns, applied) VALUES (?, ?, ?)", (int(store), ns, applied)
    )


def _write_exceptions(connection: apsw.Connection, rows: Sequence[tuple[int, int, int, int, int, str]]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO exceptions (store, key, attempts, due, given_up, error) VALUES (?, ?, ?, ?, ?, ?)", rows
    )
