"""Memoir as the retrieval harness drives it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

import memoir
from bench.retrieval.system import Item, Memoir


class RecordingClient:
    """Stands in for the SDK's client and keeps what it was asked."""

    def __init__(self, target: str, *, namespace: str, timeout: float) -> None:
        self.namespace = namespace
        self.added: list[tuple[str, str, list[memoir.Message]]] = []
        self.searches: list[dict[str, Any]] = []

    def add(self, messages: Sequence[memoir.Message], *, user_id: str, session_id: str, mode: str) -> SimpleNamespace:
        assert mode == "VERBATIM"
        self.added.append((user_id, session_id, list(messages)))
        return SimpleNamespace(changes=list(messages), revision=10 * len(self.added))

    def search(self, query: str, **arguments: Any) -> SimpleNamespace:
        self.searches.append({"query": query, **arguments})
        memory = SimpleNamespace(provenance=(SimpleNamespace(message_id="c/2"),))
        return SimpleNamespace(hits=[SimpleNamespace(memory=memory)])


def item(number: int, timestamp: str, conversation: str = "c") -> Item:
    return Item(
        id=f"{conversation}/{number}", text="hello", speaker="Bo", timestamp=timestamp, conversation=conversation
    )


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> list[RecordingClient]:
    made: list[RecordingClient] = []

    def connect(target: str, *, namespace: str, timeout: float) -> RecordingClient:
        made.append(RecordingClient(target, namespace=namespace, timeout=timeout))
        return made[-1]

    monkeypatch.setattr(memoir, "Memoir", connect)
    return made


def test_a_long_pause_starts_a_session_and_batches_do_not(client: list[RecordingClient]) -> None:
    system = Memoir("127.0.0.1:1")
    system.add([item(1, "2024-01-01T10:00:00"), item(2, "2024-01-01T15:59:00")])
    system.add([item(3, "2024-01-01T21:59:00"), item(4, "2024-01-02T04:00:00"), item(1, "2024-01-01T10:00:00", "d")])
    placed = [(user, session, [m.message_id for m in messages]) for user, session, messages in client[0].added]
    assert placed == [
        ("c", "c-session-1", ["c/1", "c/2"]),
        ("c", "c-session-1", ["c/3"]),
        ("c", "c-session-2", ["c/4"]),
        ("d", "d-session-1", ["d/1"]),
    ]
    times = [message.create_time for _, _, messages in client[0].added for message in messages]
    assert all(getattr(when, "tzinfo", None) is not None for when in times)


def test_search_gives_item_ids_of_the_conversation_s_user(client: list[RecordingClient]) -> None:
    system = Memoir("127.0.0.1:1")
    assert system.search("where?", "c", 7) == ["c/2"]
    assert client[0].searches == [{"query": "where?", "user_id": "c", "limit": 7, "recipe": None}]


def test_flush_waits_for_the_latest_write(client: list[RecordingClient]) -> None:
    system = Memoir("127.0.0.1:1")
    system.flush()
    assert client[0].searches == []
    system.add([item(1, "2024-01-01T10:00:00"), item(1, "2024-01-01T10:00:00", "d")])
    system.flush()
    assert client[0].searches[0]["min_revision"] == 20


def test_runs_keep_apart(client: list[RecordingClient]) -> None:
    Memoir("127.0.0.1:1")
    Memoir("127.0.0.1:1")
    assert client[0].namespace != client[1].namespace
