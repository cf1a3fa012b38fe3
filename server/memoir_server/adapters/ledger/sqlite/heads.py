"""What the event loop knows of the namespaces without asking the file, and who waits for them to move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from memoir_server.adapters.ledger.sqlite.writer import NamespaceRow
from memoir_server.domain.change import Head


class Bell:
    """Wakes everybody who waits, once."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self.rung = 0
        """How often it was rung."""

    def ring(self) -> None:
        """Wakes them."""
        self.rung += 1
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, timeout: float) -> None:
        """Returns at the next ring, or after `timeout` seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait({future}, timeout=max(0.0, timeout))
        finally:
            self._waiting.discard(future)

    @property
    def idle(self) -> bool:
        """True when nobody waits."""
        return not self._waiting


class Heads:
    """Committed heads by namespace. Lives on the event loop."""

    def __init__(self, on_move: Callable[[], None]) -> None:
        self._rows: dict[str, NamespaceRow] = {}
        self._bells: dict[str, Bell] = {}
        self._on_move = on_move

    def load(self, rows: Mapping[str, NamespaceRow]) -> None:
        """What the file said when it was opened."""
        self._rows = dict(rows)

    def move(self, rows: Mapping[str, NamespaceRow]) -> None:
        """A group was committed."""
        self._rows.update(rows)
        for name in rows:
            bell = self._bells.pop(name, None)
            if bell is not None:
                bell.ring()
        self._on_move()

    def row(self, namespace: str) -> NamespaceRow | None:
        """The namespace, None when it does not exist."""
        return self._rows.get(namespace)

    def head(self, namespace: str) -> Head:
        """Its head; Head(0, 0) when it does not exist."""
        row = self._rows.get(namespace)
        return Head() if row is None else row.head

    def names(self) -> list[str]:
        """Namespaces that hold changes, sorted."""
        return sorted(name for name, row in self._rows.items() if row.head.revision)

    def rows(self) -> list[NamespaceRow]:
        """All namespaces."""
        return list(self._rows.values())

    async def wait_beyond(self, namespace: str, revision: int, timeout: float) -> int:
        """See Ledger.wait_beyond."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while (head := self.head(namespace).revision) <= revision and (left := deadline - loop.time()) > 0:
            bell = self._bells.setdefault(namespace, Bell())
            await bell.wait(left)
            if bell.idle and self._bells.get(namespace) is bell:
                del self._bells[namespace]
        return head
