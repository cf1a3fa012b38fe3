"""Names of entities by owner, in memory, so that a query that names nobody costs no look into the file.

Held names follow the file by the rows that a transaction inserts into `names` or deletes from it, which triggers of the
writing connection tell. From the first such row on the owner is not answered, which is before the commit; once the
store is told of the commit, on the event loop, the rows are counted in and the owner is answered again. So an answer
is what the file says at that moment. Rows of a transaction that failed are forgotten when the next one begins, and the
owner waits until then.

What was read from the file is kept unless the owner changes at that moment, or some owner has since the read began.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import apsw

from memoir_server.adapters.sqlite_projection import id_key
from memoir_server.domain.memory import Scope

MOST_HELD: Final = 100_000
"""Names of all owners together; one takes about 400 bytes."""
MOST_OF_OWNER: Final = 20_000
"""Names of one owner who is held; one with more is answered from the file."""
_OWNER_COST: Final = 4
"""What an owner counts beside the names, in names."""
_SHORT_WORDS: Final = 8
"""Names of so many words are looked up by the words of a query; the few longer ones are tried one by one."""

Owner: TypeAlias = tuple[str, str]
"""(namespace, id_key of the user)."""
NamedBy: TypeAlias = tuple[str, str, int]
"""(normalised name, id_key of the agent, how many entities bear it)."""

_TRIGGERS: Final = """
CREATE TEMP TRIGGER name_inserted AFTER INSERT ON main.names BEGIN
    SELECT name_changed(s.name, new.user, new.name, new.agent, 1) FROM namespaces s WHERE s.id = new.namespace;
END;
CREATE TEMP TRIGGER name_deleted AFTER DELETE ON main.names BEGIN
    SELECT name_changed(s.name, old.user, old.name, old.agent, -1) FROM namespaces s WHERE s.id = old.namespace;
END;
"""


class _Names:
    """The names of one owner."""

    def __init__(self) -> None:
        self.agents: dict[str, dict[str, int]] = {}
        # By first word, the words of the longest short name. May be too many after names have gone.
        self.reach: dict[str, int] = {}
        self.long: set[str] = set()

    def add(self, name: str, agent: str, count: int) -> None:
        of = self.agents.setdefault(name, {})
        of[agent] = of.get(agent, 0) + count
        if of[agent] <= 0:
            del of[agent]
        words = name.split(" ")
        if not of:
            del self.agents[name]
            self.long.discard(name)
        elif len(words) > _SHORT_WORDS:
            self.long.add(name)
        else:
            self.reach[words[0]] = max(len(words), self.reach.get(words[0], 0))

    def within(self, words: Sequence[str], agent: str | None) -> tuple[str, ...]:
        found = set()
        reach = self.reach
        for start, word in enumerate(words):
            most = reach.get(word)
            if most is not None:
                for end in range(start + 1, min(len(words), start + most) + 1):
                    name = " ".join(words[start:end])
                    if name in self.agents:
                        found.add(name)
        if self.long:
            sentence = f" {' '.join(words)} "
            found.update(name for name in self.long if f" {name} " in sentence)
        if agent is not None:
            found = {name for name in found if agent in self.agents[name]}
        return tuple(sorted(found))


class NameBook:
    """Held names of the owners asked for last. `begin` and what triggers tell come from the writer's thread, everything
    else from the event loop."""

    def __init__(self) -> None:
        self._owners: OrderedDict[Owner, _Names | None] = OrderedDict()
        self._size = 0
        self._changes: dict[Owner, list[NamedBy]] = {}
        self._moment = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Names held, and a few for each owner; never above MOST_HELD."""
        return self._size

    @property
    def moment(self) -> int:
        """Changes every time that some owner's names have changed."""
        return self._moment

    def attach(self, writer: apsw.Connection) -> None:
        """From here on, this connection tells what it changes."""

        def changed(*row: Any) -> None:
            namespace, user, name, agent, count = row
            with self._lock:
                rows = self._changes.setdefault((namespace, user), [])
                if (namespace, user) in self._owners:
                    rows.append((name, agent, count))

        writer.create_scalar_function("name_changed", changed, 5)
        writer.execute(_TRIGGERS)

    def begin(self) -> None:
        """A transaction begins; the one before it is settled, or was rolled back."""
        with self._lock:
            self._changes.clear()

    def settle(self) -> None:
        """The transaction is committed."""
        if not self._changes:
            return
        with self._lock:
            self._moment += 1
            for owner, rows in self._changes.items():
                names = self._owners.get(owner)
                if names is None:
                    continue
                self._size -= _cost(names)
                for name, agent, count in rows:
                    if name:
                        names.add(name, agent, count)
                if len(names.agents) > MOST_OF_OWNER:
                    self._owners[owner] = names = None
                self._size += _cost(names)
            self._changes.clear()
            self._shrink()

    def knows(self, namespace: str, user_id: str) -> bool:
        """Whether it is settled how to answer for the owner: from memory, or from the file because the names are too
        many."""
        return (namespace, id_key(user_id)) in self._owners

    def keep(self, namespace: str, user_id: str, rows: Iterable[NamedBy], moment: int) -> None:
        """Keeps all names of an owner as the file has them, if `moment`, taken down before that read, still lasts."""
        owner = (namespace, id_key(user_id))
        names: _Names | None = _Names()
        assert names is not None
        for name, agent, count in rows:
            if name:
                names.add(name, agent, count)
        if len(names.agents) > MOST_OF_OWNER:
            names = None
        with self._lock:
            if self._moment != moment or owner in self._changes or owner in self._owners:
                return
            self._owners[owner] = names
            self._size += _cost(names)
            self._shrink()

    def within(self, namespace: str, words: Sequence[str], scope: Scope) -> tuple[str, ...] | None:
        """See `EntityGraph.names_at_hand`."""
        if scope.user_id is None:
            return None
        owner = (namespace, id_key(scope.user_id))
        names = self._owners.get(owner)
        # Asked in this order: a change that comes after is not committed yet.
        if names is None or owner in self._changes:
            return None
        self._owners.move_to_end(owner)
        if not names.agents:
            return ()
        return names.within(words, None if scope.agent_id is None else id_key(scope.agent_id))

    def clear(self) -> None:
        """Lets go of everything."""
        with self._lock:
            self._moment += 1
            self._owners.clear()
            self._changes.clear()
            self._size = 0

    def _shrink(self) -> None:
        while self._size > MOST_HELD:
            self._size -= _cost(self._owners.popitem(last=False)[1])


def _cost(names: _Names | None) -> int:
    return _OWNER_COST + (0 if names is None else len(names.agents))
