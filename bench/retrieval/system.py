"""Memoir as the harness sees a memory system: the public Python SDK and nothing else.

Each conversation is one user, each item one verbatim message. Items carry no session; a session is a run of items of a
conversation without a pause of six hours, which is how an assistant would number the visits of its user.
"""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

import memoir

PAUSE: Final = dt.timedelta(hours=6)
WAIT_SECONDS: Final = 300.0


class Item(TypedDict):
    """One message as the harness gives it. `timestamp` is ISO 8601 and, without an offset, UTC."""

    id: str
    text: str
    speaker: str
    timestamp: str
    conversation: str


@dataclass(frozen=True, slots=True)
class _Visit:
    """The latest session of a conversation and the time of its latest item."""

    number: int
    latest: dt.datetime


class Memoir:
    """A memory system of the harness.

    Args:
        target: HOST:PORT of a running server.
        recipe: Ranking recipe by name; empty for the server's default.
    """

    def __init__(self, target: str, recipe: str = "") -> None:
        # A namespace of its own: a server that holds other memories may be used, and a second run starts afresh.
        self._client = memoir.Memoir(target, namespace=f"retrieval-{uuid.uuid4().hex[:12]}", timeout=60)
        self._recipe = recipe or None
        self._visits: dict[str, _Visit] = {}
        self._revision = 0

    def add(self, items: Sequence[Item]) -> None:
        """Remembers the items, which are in the order of their conversations."""
        placed = ((item, *self._place(item)) for item in items)
        for (conversation, session), group in itertools.groupby(placed, key=lambda at: (at[0]["conversation"], at[1])):
            messages = [
                memoir.Message(
                    role="user",
                    content=item["text"],
                    actor_id=item["speaker"],
                    message_id=item["id"],
                    create_time=when,
                )
                for item, _, when in group
            ]
            added = self._client.add(messages, user_id=conversation, session_id=session, mode="VERBATIM")
            if len(added.changes) != len(messages):
                raise RuntimeError(f"{session}: {len(messages)} messages became {len(added.changes)} memories")
            self._revision = added.revision

    def flush(self) -> None:
        """Returns when everything added can be found."""
        if self._visits:
            user = next(iter(self._visits))
            self._client.search("ready", user_id=user, limit=1, min_revision=self._revision, timeout=WAIT_SECONDS)

    def search(self, query: str, conversation: str, k: int) -> list[str]:
        """Ids of the items found, best first."""
        found = self._client.search(query, user_id=conversation, limit=k, recipe=self._recipe)
        return [hit.memory.provenance[0].message_id for hit in found.hits]

    def close(self) -> None:
        """Ends the connection; the namespace stays."""
        self._client.close()

    def _place(self, item: Item) -> tuple[str, dt.datetime]:
        """Session and time of the item."""
        when = dt.datetime.fromisoformat(item["timestamp"])
        when = when if when.tzinfo else when.replace(tzinfo=dt.UTC)
        conversation = item["conversation"]
        last = self._visits.get(conversation)
        number = 1 if last is None else last.number + (when - last.latest > PAUSE)
        self._visits[conversation] = _Visit(number, when)
        return f"{conversation}-session-{number}", when
