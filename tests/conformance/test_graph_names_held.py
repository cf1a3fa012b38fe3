"""What the SQLite graph holds of names: when it answers from memory, when it leaves the answer to the file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from memoir_conformance.graph_model import ALICE, facts
from memoir_server.adapters.graph.sqlite import SqliteGraph, names, store
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Scope
from memoir_server.ports.graph import PutFacts
from memoir_server.ports.projection import Remove

BEN = Scope("ben")


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[SqliteGraph]:
    graph = SqliteGraph(tmp_path)
    await graph.open()
    yield graph
    await graph.close()


async def put(graph: SqliteGraph, revision: int, *entities: str, scope: Scope = ALICE) -> None:
    said = facts(revision, f"m{revision}", scope, entities=list(entities))
    await graph.apply("ns", [PutFacts(said)], applied=revision)


def at_hand(graph: SqliteGraph, sentence: str, scope: Scope = ALICE) -> list[str] | None:
    found = graph.names_at_hand("ns", sentence.split(), scope)
    return None if found is None else list(found)


async def asked(graph: SqliteGraph, sentence: str, scope: Scope = ALICE) -> list[str] | None:
    await graph.known_names("ns", sentence.split(), scope)
    return at_hand(graph, sentence, scope)


async def test_an_owner_is_answered_once_the_store_was_asked(graph: SqliteGraph) -> None:
    await put(graph, 1, "Anna Smith", "Rome")
    assert at_hand(graph, "who is anna smith") is None
    assert await asked(graph, "who is anna smith of rome") == ["anna smith", "rome"]
    assert at_hand(graph, "anna rome smith") == ["rome"]
    assert at_hand(graph, "annabel") == []
    assert at_hand(graph, "rome", BEN) is None
    assert await asked(graph, "rome", BEN) == []
    assert at_hand(graph, "anna smith", Scope("alice", None, "another")) == ["anna smith"]
    # Without a user every owner would have to be held.
    assert await asked(graph, "rome", Scope()) is None
    assert await asked(graph, "rome", Scope(None, "bot")) is None


async def test_names_come_and_go_with_the_last_that_bears_them(graph: SqliteGraph) -> None:
    bot = Scope("alice", "bot")
    assert await asked(graph, "rome") == []
    await put(graph, 1, "Rome")
    await put(graph, 2, "Rome", scope=bot)
    assert at_hand(graph, "rome") == at_hand(graph, "rome", bot) == ["rome"]
    assert at_hand(graph, "rome", Scope("alice", "other")) == []
    await graph.apply("ns", [Remove("m2", 2)], applied=3)
    assert (at_hand(graph, "rome"), at_hand(graph, "rome", bot)) == (["rome"], [])
    await graph.apply("ns", [Remove("m1", 1)], applied=4)
    assert at_hand(graph, "rome") == []


async def test_names_of_many_words_are_found(graph: SqliteGraph) -> None:
    long = "The Ninth Worshipful Guild Of Bakers Of The Old Town"
    await put(graph, 1, long, "Old Town")
    assert await asked(graph, f"who joined {long.lower()} twice") == ["old town", long.lower()]
    assert at_hand(graph, "the ninth worshipful guild") == []
    await graph.apply("ns", [Remove("m1", 1)], applied=2)
    assert at_hand(graph, long.lower()) == []


async def test_an_owner_with_many_names_is_held_and_one_with_too_many_is_not(
    graph: SqliteGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (names, store):
        monkeypatch.setattr(module, "MOST_OF_OWNER", 700)
    await put(graph, 1, *(f"Name {n}" for n in range(650)))
    assert await asked(graph, "who is name 649") == ["name 649"]
    await put(graph, 2, *(f"Name {n}" for n in range(600, 701)))
    assert await asked(graph, "who is name 649") is None
    assert list(await graph.known_names("ns", ["name"], ALICE))[-1] == "name 99"
    await put(graph, 3, *(f"Name {n}" for n in range(701)), scope=BEN)
    assert await asked(graph, "name 3", BEN) is None


async def test_what_is_held_is_bounded(graph: SqliteGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST_HELD", 30)
    owners = [Scope(f"user {n}") for n in range(8)]
    for n, owner in enumerate(owners):
        await put(graph, n + 1, "Anna", "Rome", scope=owner)
        assert await asked(graph, "anna", owner) == ["anna"]
        assert graph._names.size <= 30
    assert [at_hand(graph, "rome", owner) for owner in owners] == [None] * 3 + [["rome"]] * 5
    await put(graph, 9, *(f"Name {n}" for n in range(20)), scope=owners[-1])
    assert graph._names.size <= 30
    assert at_hand(graph, "name 7", owners[-1]) == ["name 7"]


async def test_a_write_that_failed_leaves_the_names_as_they_were(graph: SqliteGraph) -> None:
    await put(graph, 1, "Rome")
    assert await asked(graph, "rome") == ["rome"]
    assert graph._writer is not None
    graph._writer.pragma("max_page_count", graph._writer.pragma("page_count"))
    with pytest.raises(StoreUnavailable, match="full"):
        await put(graph, 2, *(f"Name {n} {'x' * 300}" for n in range(400)))
    # Nobody knows how that write ended until the next one begins.
    assert await asked(graph, "rome") is None
    graph._writer.pragma("max_page_count", 1_000_000)
    await put(graph, 2, "Oslo")
    assert await asked(graph, "rome oslo") == ["oslo", "rome"]
    assert at_hand(graph, f"name 3 {'x' * 300}") == []


async def test_a_closed_graph_has_nothing_at_hand(graph: SqliteGraph) -> None:
    await put(graph, 1, "Rome")
    assert await asked(graph, "rome") == ["rome"]
    await graph.close()
    assert at_hand(graph, "rome") is None
    with pytest.raises(StoreUnavailable):
        await graph.known_names("ns", ["rome"], ALICE)
    await graph.open()
    assert at_hand(graph, "rome") is None
    assert await asked(graph, "rome") == ["rome"]


async def test_what_an_unfinished_statement_sees_is_not_held(graph: SqliteGraph) -> None:
    await put(graph, 1, "Rome")
    inline: apsw.Connection | None = graph._inline
    assert inline is not None
    cursor = inline.execute("SELECT id FROM names")
    next(iter(cursor))
    await put(graph, 2, "Oslo")
    assert await asked(graph, "rome oslo") == ["oslo", "rome"]
    cursor.close()


async def test_answers_beside_a_writer_are_those_of_the_file(graph: SqliteGraph) -> None:
    words = [f"n{n}" for n in range(120)]
    writing = True

    async def write() -> None:
        for n, word in enumerate(words):
            await put(graph, n + 1, word, scope=(ALICE, BEN)[n % 2])

    async def read(scope: Scope) -> int:
        told = 0
        while writing:
            before = await graph.known_names("ns", words, scope)
            at_hand_now = graph.names_at_hand("ns", words, scope)
            if at_hand_now is not None and list(await graph.known_names("ns", words, scope)) == list(before):
                assert list(at_hand_now) == list(before)
                told += 1
            await asyncio.sleep(0)
        return told

    readers = [asyncio.create_task(read(scope)) for scope in (ALICE, BEN)]
    await write()
    writing = False
    assert all(told > 5 for told in await asyncio.gather(*readers))
    assert at_hand(graph, "n0 n1 n118", ALICE) == ["n0", "n118"]
