"""Applying actions to the file, inside one transaction, and telling what changed in it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import apsw
import msgspec

from memoir_server.adapters.index.sqlite.schema import USER_BITS, Tokens, join_terms, user_range
from memoir_server.adapters.inserting import insert_rows
from memoir_server.adapters.sqlite_projection import id_key, rows
from memoir_server.domain.embedding import encode_vector
from memoir_server.domain.entry import IndexEntry
from memoir_server.domain.making import maker
from memoir_server.domain.memory import NEVER
from memoir_server.ports.index import IndexAction, Put
from memoir_server.ports.projection import Remove, Retire

_NUMBERED = ("entries", "vectors", "postings_docsize")
"""Tables with a row per entry under its id; the last is FTS5's own."""
_CHUNK = 400
"""Ids per statement that names them in a list."""
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Added:
    """An entry is now in the file, under that id; one of the same revision is not any more."""

    entry: IndexEntry
    entry_id: int


@dataclass(frozen=True, slots=True)
class Retired:
    """An entry's interval has another end."""

    user: str
    revision: int
    retired: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """An entry is gone."""

    user: str
    revision: int


_make_added = maker(Added)

Effect = Added | Retired | Deleted


@dataclass(slots=True)
class _Owner:
    entries: int = 0
    documents: int = 0
    terms: int = 0


@dataclass(slots=True)
class Writer:
    """One transaction's work on one namespace."""

    connection: apsw.Connection
    namespace: int
    effects: list[Effect] = field(default_factory=list)
    _users: dict[str, int] = field(default_factory=dict)
    _last: dict[int, int] = field(default_factory=dict)
    _owners: dict[tuple[int, str], _Owner] = field(default_factory=lambda: defaultdict(_Owner))

    def apply(self, actions: Sequence[IndexAction]) -> list[Effect]:
        """Applies the actions in order. Returns what changed, in order."""
        for kind, run in itertools.groupby(actions, key=type):
            if kind is Put:
                self._put([action.entry for action in run if isinstance(action, Put)])
            else:
                for action in run:
                    if isinstance(action, Retire):
                        self._retire(action)
                    elif isinstance(action, Remove):
                        self._remove(action)
        self._count()
        return self.effects

    def _put(self, run: Sequence[IndexEntry]) -> None:
        entries = list({entry.revision: entry for entry in run}.values())
        newest = self.connection.execute("SELECT max(revision) FROM entries WHERE namespace = ?", (self.namespace,)).get
        known = [entry for entry in entries if newest is not None and entry.revision <= newest]
        for start in range(0, len(known), _CHUNK):
            revisions = [entry.revision for entry in known[start : start + _CHUNK]]
            marks = ",".join("?" * len(revisions))
            self._delete(f"namespace = ? AND revision IN ({marks})", (self.namespace, *revisions))
        added = [_make_added(entry, self._new_id(entry)) for entry in entries]
        insert_rows(self.connection, "INSERT OR FAIL INTO entries", [self._row(item) for item in added])
        insert_rows(
            self.connection,
            "INSERT OR FAIL INTO vectors",
            [(item.entry_id, encode_vector(item.entry.vector)) for item in added],
        )
        self._post(added)
        self.effects.extend(added)

    def _post(self, added: Sequence[Added]) -> None:
        tokens = Tokens(self.namespace)
        postings = [
            (item.entry_id, " ".join([tokens[term] for term in dict.fromkeys(item.entry.terms)])) for item in added
        ]
        # One statement: FTS5 writes a segment for each, and merges them later.
        self.connection.execute(
            "INSERT INTO postings (rowid, tokens) SELECT value ->> 0, value ->> 1 FROM json_each(?)",
            (_encode(postings).decode(),),
        )

    def _row(self, item: Added) -> tuple[apsw.SQLiteValue, ...]:
        entry, scope = item.entry, item.entry.scope
        agent = id_key(scope.agent_id)
        owner = self._owners[item.entry_id >> USER_BITS, agent]
        owner.entries += 1
        if entry.retired == NEVER:
            owner.documents += 1
            owner.terms += len(entry.terms)
        return (
            item.entry_id,
            self.namespace,
            entry.memory_id,
            entry.revision,
            entry.retired,
            id_key(scope.user_id),
            agent,
            id_key(scope.session_id),
            int(entry.kind),
            entry.create_time,
            entry.valid_from,
            entry.valid_until,
            entry.importance,
            entry.speaker,
            entry.turn,
            int(entry.asks),
            len(entry.terms),
            join_terms(entry.terms),
        )

    def _retire(self, action: Retire) -> None:
        found = rows(
            self.connection,
            "SELECT id, user, agent, retired, length FROM entries"
            " WHERE namespace = ? AND revision = ? AND memory_id = ?",
            (self.namespace, action.revision, action.memory_id),
        )
        for entry_id, user, agent, retired, length in list(found):
            sign = (action.retired == NEVER) - (retired == NEVER)
            owner = self._owners[entry_id >> USER_BITS, agent]
            owner.documents += sign
            owner.terms += sign * length
            self.connection.execute("UPDATE entries SET retired = ? WHERE id = ?", (action.retired, entry_id))
            self.effects.append(Retired(user, action.revision, action.retired))

    def _remove(self, action: Remove) -> None:
        self._delete(
            "namespace = ? AND memory_id = ? AND revision <= ?", (self.namespace, action.memory_id, action.upto)
        )

    def _delete(self, condition: str, bindings: tuple[apsw.SQLiteValue, ...]) -> None:
        columns = "id, user, agent, revision, retired, length"
        found = list(rows(self.connection, f"SELECT {columns} FROM entries WHERE {condition}", bindings))
        if not found:
            return
        for entry_id, user, agent, revision, retired, length in found:
            owner = self._owners[entry_id >> USER_BITS, agent]
            owner.entries -= 1
            if retired == NEVER:
                owner.documents -= 1
                owner.terms -= length
            self.effects.append(Deleted(user, revision))
        ids = [(row[0],) for row in found]
        for table, column in (("entries", "id"), ("vectors", "id"), ("postings", "rowid")):
            self.connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", ids)

    def _new_id(self, entry: IndexEntry) -> int:
        user = self._user(id_key(entry.scope.user_id))
        last = self._last.get(user)
        if last is None:
            first, end = user_range(user)
            # What an entry left behind, if the file was damaged, must not be taken for part of the new one.
            queries = [f"SELECT max(id) FROM {table} WHERE id BETWEEN ? AND ?" for table in _NUMBERED]
            last = max(int(self.connection.execute(query, (first, end)).get or first) for query in queries)
        self._last[user] = last + 1
        return last + 1

    def _user(self, key: str) -> int:
        number = self._users.get(key)
        if number is None:
            query = "SELECT id FROM users WHERE namespace = ? AND user = ?"
            found = self.connection.execute(query, (self.namespace, key)).get
            if found is None:
                self.connection.execute("INSERT INTO users (namespace, user) VALUES (?, ?)", (self.namespace, key))
                found = self.connection.last_insert_rowid()
            number = self._users[key] = int(found)
        return number

    def _count(self) -> None:
        self.connection.executemany(
            "INSERT INTO owners VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET"
            " entries = entries + ?3, documents = documents + ?4, terms = terms + ?5",
            [(user, agent, o.entries, o.documents, o.terms) for (user, agent), o in self._owners.items()],
        )


def settle(connection: apsw.Connection, namespace: int) -> None:
    """Counts the owners' entries anew, and deletes vectors and postings of entries that are gone."""
    for (user,) in list(rows(connection, "SELECT id FROM users WHERE namespace = ?", (namespace,))):
        bounds = user_range(user)
        for table, column, held in (("vectors", "id", "vectors"), ("postings", "rowid", "postings_docsize")):
            query = (
                f"SELECT h.id FROM {held} h WHERE h.id BETWEEN ? AND ?"
                " AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.id = h.id)"
            )
            connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", list(rows(connection, query, bounds)))
        connection.execute("DELETE FROM owners WHERE user_id = ?", (user,))
        connection.execute(
            f"INSERT INTO owners SELECT ?, agent, count(*), sum(retired = {NEVER}),"
            f" sum(iif(retired = {NEVER}, length, 0)) FROM entries WHERE id BETWEEN ? AND ? GROUP BY agent",
            (user, *bounds),
        )


def clear_namespace(connection: apsw.Connection, namespace: int) -> None:
    """Deletes every entry of a namespace, with its users and counters."""
    for (user,) in list(rows(connection, "SELECT id FROM users WHERE namespace = ?", (namespace,))):
        bounds = user_range(user)
        connection.execute(
            "DELETE FROM postings WHERE rowid IN (SELECT id FROM entries WHERE id BETWEEN ? AND ?)", bounds
        )
        connection.execute("DELETE FROM vectors WHERE id BETWEEN ? AND ?", bounds)
        connection.execute("DELETE FROM entries WHERE id BETWEEN ? AND ?", bounds)
        connection.execute("DELETE FROM owners WHERE user_id = ?", (user,))
    connection.execute("DELETE FROM users WHERE namespace = ?", (namespace,))


def clear(connection: apsw.Connection) -> None:
    """Empties the index."""
    for table in ("entries", "vectors", "users", "owners"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute("INSERT INTO postings (postings) VALUES ('delete-all')")
