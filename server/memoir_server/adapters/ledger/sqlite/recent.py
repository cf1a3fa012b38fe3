"""Changes committed a moment ago, kept until every projection has applied them.

A write that waits to be indexed is projected within milliseconds, once per projection. Reading its changes back from
the file took a tenth of all its time, though they were in hand when they were committed. Only what can change
afterwards is read then: whether an event was erased, and where its version's interval ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import apsw

from memoir_server.adapters.ledger.forms.layout import REMOVED, key_of, revision_of
from memoir_server.adapters.ledger.sqlite.rows import as_json, fetch
from memoir_server.adapters.ledger.sqlite.writer import NamespaceRow
from memoir_server.domain.change import Change
from memoir_server.domain.memory import NEVER
from memoir_server.ports.ledger import Work, make_work

_MOST: Final = 8_388_608
"""Characters kept in all, as `_size` counts them; while a projection is behind by more, the file is read."""
_CHANGE: Final = 1_000
"""Charged per change beside its texts."""
_TOUCHED: Final = (
    # Few as a rule: each row that a statement gives hands the interpreter lock over and back.
    "SELECT e.key, e.type, v.retired, v.gone FROM events e LEFT JOIN versions v ON v.key = e.key "
    f"WHERE (v.key IS NULL OR v.retired <> {NEVER} OR v.gone = {REMOVED})"
)
"""Changes without a version, and those whose version was replaced or removed."""
_CURRENT: Final = (True, NEVER)
"""Whether a version is live, and where it ends, as long as nothing has touched it."""


class RecentChanges:
    """Used on the event loop only."""

    def __init__(self) -> None:
        self._changes: dict[int, dict[int, Change]] = {}
        self._size = 0

    def note(self, ns: int, changes: Sequence[Change]) -> None:
        """Keeps changes, by revision within the namespace with that number, as far as there is room."""
        size = sum([_size(change) for change in changes])
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
        revisions = sorted(revisions)
        if kept is None or not all(revision in kept for revision in revisions):
            return None
        touched = {}
        for key, type_, retired, gone in _touched(connection, row.ns, revisions):
            revision = revision_of(key)
            if kept[revision].type != type_:
                # Erased while its effect on memory is on its way here.
                return None
            live = gone is not None and gone != REMOVED
            touched[revision] = live, revision if retired is None else retired
        return [
            make_work(kept[revision], attempts.get(revision, 0), *touched.get(revision, _CURRENT))
            for revision in revisions
        ]


def _size(change: Change) -> int:
    size = _CHANGE
    if change.before is not None:
        size += len(change.before.text)
    if change.after is not None:
        size += len(change.after.text)
    return size


def _touched(connection: apsw.Connection, ns: int, revisions: Sequence[int]) -> list[tuple[Any, ...]]:
    first, last = revisions[0], revisions[-1]
    if last - first + 1 == len(revisions):
        bounds = (key_of(ns, first), key_of(ns, last))
        return fetch(connection, f"{_TOUCHED} AND e.key BETWEEN ? AND ?", bounds)
    keys = as_json([key_of(ns, revision) for revision in revisions])
    return fetch(connection, f"{_TOUCHED} AND e.key IN (SELECT value FROM json_each(?))", (keys,))
