"""Changes committed a moment ago, kept until every projection has applied them.

A write that waits to be indexed is projected within milliseconds, once per projection. Reading its changes back from
the file took a tenth of all its time, though they were in hand when they were committed. Only what can change
afterwards is read then: whether an event was erased, and where its version's interval ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import apsw

from memoir_server.adapters.ledger.sqlite.layout import REMOVED, key_of, revision_of
from memoir_server.adapters.ledger.sqlite.rows import as_json, fetch
from memoir_server.adapters.ledger.sqlite.writer import NamespaceRow
from memoir_server.domain.change import Change
from memoir_server.ports.ledger import Work

_MOST: Final = 8_388_608
"""Characters kept in all, as `_size` counts them; while a projection is behind by more, the file is read."""
_CHANGE: Final = 1_000
"""Charged per change beside its texts."""
_STATES: Final = "SELECT e.key, e.type, v.retired, v.gone FROM events e LEFT JOIN versions v ON v.key = e.key WHERE "


class RecentChanges:
    """Used on the event loop only."""

    def __init__(self) -> None:
        self._changes: dict[int, dict[int, Change]] = {}
        self._size = 0

    def note(self, ns: int, changes: Sequence[Change]) -> None:
        """Keeps changes, by revision within the namespace with that number, as far as there is room."""
        size = sum(map(_size, changes))
        if self._size + size <= _MOST:
            self._changes.setdefault(ns, {}).update({change.revision: change for change in changes})
            self._size += size

    def drop_through(self, ns: int, revision: int) -> None:
        """Every projection has come as far as this revision."""
        kept = self._changes.get(ns)
        # In the order of their revisions, since commits come in it.
        while kept and (first := next(iter(kept))) <= revision:
            self._size -= _size(kept.pop(first))
        if kept is not None and not kept:
            del self._changes[ns]

    def forget(self, ns: int, revisions: Sequence[int]) -> None:
        """These events were erased."""
        kept = self._changes.get(ns)
        if kept is None:
            return
        for revision in revisions:
            if revision in kept:
                self._size -= _size(kept.pop(revision))

    def work(
        self, connection: apsw.Connection, row: NamespaceRow, revisions: Sequence[int], attempts: Mapping[int, int]
    ) -> list[Work] | None:
        """The work of those revisions, ascending; None when not all of it is here."""
        kept = self._changes.get(row.ns)
        if kept is None or not all(revision in kept for revision in revisions):
            return None
        work = []
        for key, type_, retired, gone in _states(connection, row.ns, revisions):
            revision = revision_of(key)
            change = kept[revision]
            if change.type != type_:
                # Erased while its effect on memory is on its way here.
                return None
            live = gone is not None and gone != REMOVED
            work.append(Work(change, attempts.get(revision, 0), live, revision if retired is None else retired))
        return work


def _size(change: Change) -> int:
    return _CHANGE + sum(len(memory.text) for memory in (change.before, change.after) if memory is not None)


def _states(connection: apsw.Connection, ns: int, revisions: Sequence[int]) -> list[tuple[Any, ...]]:
    first, last = revisions[0], revisions[-1]
    if last - first + 1 == len(revisions):
        bounds = (key_of(ns, first), key_of(ns, last))
        return fetch(connection, f"{_STATES} e.key BETWEEN ? AND ? ORDER BY e.key", bounds)
    keys = as_json([key_of(ns, revision) for revision in revisions])
    return fetch(connection, f"{_STATES} e.key IN (SELECT value FROM json_each(?)) ORDER BY e.key", (keys,))
