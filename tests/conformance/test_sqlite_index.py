"""The embedded index: the suite of every index, held in memory and not, and what only a file can suffer."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import apsw
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memoir_conformance.index_model import (
    MODEL,
    VECTORS,
    OpenIndex,
    ask,
    entry,
    laws,
    lives,
    puts,
    rows,
    select,
    snapshot,
)
from memoir_conformance.index_suite import IndexSuite
from memoir_server.adapters.index.sqlite import SqliteIndex
from memoir_server.adapters.index.sqlite.candidates import _least_of_best, keyword_candidates
from memoir_server.adapters.index.sqlite.hot import HotSegments
from memoir_server.adapters.index.sqlite.reader import Part
from memoir_server.adapters.index.sqlite.schema import token
from memoir_server.adapters.index.sqlite.segment import Segment
from memoir_server.adapters.index.sqlite.writer import Added, Deleted, Effect, Retired
from memoir_server.domain.columns import SessionCodes
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Scope
from memoir_server.ports.index import IndexAction, MemoryIndex
from memoir_server.ports.projection import Remove


def opener(root: Path, hot_bytes: int) -> OpenIndex:
    numbers = itertools.count()

    def open_index() -> AbstractAsyncContextManager[MemoryIndex]:
        return opened(root / str(next(numbers)), hot_bytes)

    return open_index


@asynccontextmanager
async def opened(directory: Path, hot_bytes: int = 1 << 30) -> AsyncIterator[SqliteIndex]:
    index = SqliteIndex(directory, hot_bytes=hot_bytes)
    await index.open()
    try:
        yield index
    finally:
        await index.close()


class TestSqliteIndexInMemory(IndexSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def open_index(cls, tmp_path_factory: pytest.TempPathFactory) -> OpenIndex:
        return opener(tmp_path_factory.mktemp("hot"), 1 << 30)


class TestSqliteIndexFromFile(IndexSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def open_index(cls, tmp_path_factory: pytest.TempPathFactory) -> OpenIndex:
        return opener(tmp_path_factory.mktemp("cold"), 0)


class TestSqliteIndexShortOfMemory(IndexSuite):
    """Some segments fit, others do not, and those that do drive each other out."""

    @pytest.fixture(scope="class")
    @classmethod
    def open_index(cls, tmp_path_factory: pytest.TempPathFactory) -> OpenIndex:
        return opener(tmp_path_factory.mktemp("tight"), 7_000)


@laws
@given(actions=lives())
def test_memory_and_file_answer_alike(tmp_path_factory: pytest.TempPathFactory, actions: list[IndexAction]) -> None:
    directory = tmp_path_factory.mktemp("both")

    async def check() -> None:
        async with opened(directory) as hot:
            await hot.apply("ns", actions, applied=1)
            told = await snapshot(hot, "ns")
        async with opened(directory, hot_bytes=0) as cold:
            assert await snapshot(cold, "ns") == told

    asyncio.run(check())


async def test_beyond_the_depth_memory_and_file_keep_the_same(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    words = [f"w{n}" for n in generator.zipf(1.5, size=3000) % 50]
    made = [entry(n + 1, scope=Scope(f"u{n % 2}"), terms=tuple(words[3 * n : 3 * n + 3])) for n in range(1000)]
    told = []
    for hot_bytes in (1 << 30, 0):
        async with opened(tmp_path, hot_bytes) as index:
            await index.apply("ns", puts(*made), applied=1)
            for scope in (Scope("u1"), Scope()):
                keyword = await index.keyword("ns", ["w1", "w2", "w9"], ask(select(scope), depth=20))
                dense = await index.dense("ns", VECTORS[0], ask(select(scope), depth=20))
                assert len(keyword.columns) == len(dense.columns) == 20
                told.append(
                    (rows(keyword.columns), keyword.frequency.tolist(), rows(dense.columns), dense.cosine.tolist())
                )
    assert told[:2] == told[2:]


@given(st.lists(st.integers(-3, 3) | st.integers(-(10**15), 10**15), min_size=1, max_size=60), st.data())
def test_the_best_end_where_sorting_says(worth: list[int], data: st.DataObject) -> None:
    depth = data.draw(st.integers(1, len(worth)))
    assert _least_of_best(np.array(worth, dtype=np.int64), depth) == sorted(worth)[-depth]


async def test_what_was_asked_for_before_is_at_hand(tmp_path: Path) -> None:
    query = ask(select(Scope("u")))
    async with opened(tmp_path) as index:
        await index.apply("ns", puts(entry(1, scope=Scope("u")), entry(2, scope=Scope("v"))), applied=2)
        assert index.keyword_at_hand("ns", ["anna"], query) is None
        await index.keyword("ns", ["anna"], query)
        words = index.keyword_at_hand("ns", ["anna"], query)
        assert words is not None
        assert words.columns.revision.tolist() == [1]
        assert index.dense_at_hand("ns", VECTORS[0], query) is None
        await index.dense("ns", VECTORS[0], query)
        near = index.dense_at_hand("ns", VECTORS[0], query)
        assert near is not None
        assert near.columns.revision.tolist() == [1]
        assert index.keyword_at_hand("ns", ["anna"], ask(select(Scope("v")))) is None
        with pytest.raises(ValueError, match="query vector has shape"):
            index.dense_at_hand("ns", VECTORS[0][:-1], query)
    async with opened(tmp_path, hot_bytes=0) as index:
        await index.keyword("ns", ["anna"], query)
        assert index.keyword_at_hand("ns", ["anna"], query) is None


terms = st.text(st.characters(categories=("L", "N", "M")), min_size=1, max_size=64)


@given(st.lists(st.tuples(st.integers(1, 99), terms), unique=True, max_size=20))
@example([(1, "1t1"), (11, "t1"), (1, "a"), (1, "61"), (2, "é"), (2, "c3a9"), (2, "É")])
@settings(max_examples=50, deadline=None)
def test_a_term_is_one_token_of_its_own(made: list[tuple[int, str]]) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE VIRTUAL TABLE p USING fts5 (tokens, content='', tokenize='ascii')")
    for number, (namespace, term) in enumerate(made):
        connection.execute("INSERT INTO p (rowid, tokens) VALUES (?, ?)", (number, token(namespace, term)))
    for number, (namespace, term) in enumerate(made):
        found = connection.execute("SELECT rowid FROM p WHERE p MATCH ?", (token(namespace, term),)).fetchall()
        assert found == [(number,)]
    connection.close()


async def filled(directory: Path) -> None:
    async with opened(directory) as index:
        await index.adopt("ledger")
        await index.set_model(MODEL)
        await index.apply("ns", puts(*(entry(n) for n in range(1, 200))), applied=199)


async def test_it_remembers_over_a_restart(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with opened(tmp_path) as index:
        assert await index.ledger_id() == "ledger"
        assert await index.model() == MODEL
        assert await index.applied("ns") == 199
        assert len((await index.keyword("ns", ["anna"], ask())).columns) == 199


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 5000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_schema(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 99)
    connection.close()


def garble_pages(path: Path) -> None:
    """The head of the file stays in order, and so does its size."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 8192 * 8192
    data[middle : middle + 16384] = b"\xa5" * 16384
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, garble, empty, other_schema, garble_pages])
async def test_a_damaged_file_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "index.db"
    for number in (1, 2):
        await filled(tmp_path)
        damage(path)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            async with opened(tmp_path) as index:
                assert await index.ledger_id() == ""
                assert await index.applied("ns") == 0
                assert await index.count("ns", Scope()) == 0
        assert (tmp_path / f"index.db.damaged-{number}").exists()
        assert any("index.db" in record.getMessage() for record in caplog.records)


async def test_a_deleted_file_is_made_anew(tmp_path: Path) -> None:
    await filled(tmp_path)
    (tmp_path / "index.db").unlink()
    (tmp_path / "index.db-wal").write_bytes(b"a journal of the file that is gone")
    async with opened(tmp_path) as index:
        assert await index.ledger_id() == ""
        await index.apply("ns", puts(entry(1)), applied=1)
        assert await index.count("ns", Scope()) == 1


async def test_a_file_closed_under_a_reader_is_whole_with_its_journal(tmp_path: Path) -> None:
    """Somebody who reads the file keeps the last writes in its journal; that is no damage."""
    before, after = tmp_path / "before", tmp_path / "after"
    async with opened(before) as index:
        await index.adopt("ledger")
        onlooker = apsw.Connection(str(before / "index.db"))
        onlooker.execute("BEGIN; SELECT count(*) FROM meta").fetchall()
        await index.apply("ns", puts(*(entry(n) for n in range(1, 500))), applied=499)
    assert (before / "index.db-wal").stat().st_size > 0
    after.mkdir()
    for name in ("index.db", "index.db-wal"):
        (after / name).write_bytes((before / name).read_bytes())
    onlooker.close()
    async with opened(after) as index:
        assert await index.ledger_id() == "ledger"
        assert await index.count("ns", Scope()) == 499


async def test_damage_found_by_a_read_is_repaired_at_the_next_start(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / "index.db"
    data = bytearray(path.read_bytes())
    data[8192 : len(data)] = b"\xa5" * (len(data) - 8192)
    async with opened(tmp_path) as index:
        path.write_bytes(data)
        with pytest.raises(StoreUnavailable, match="index"):
            await index.dense("ns", VECTORS[0], ask())
    async with opened(tmp_path) as index:
        assert await index.ledger_id() == ""


async def test_a_cancelled_write_keeps_memory_and_file_together(tmp_path: Path) -> None:
    async with opened(tmp_path) as index:
        for n in range(20):
            await index.keyword("ns", ["anna"], ask())
            task = asyncio.create_task(index.apply("ns", puts(entry(n + 1)), applied=n + 1))
            for _ in range(n % 4):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await index.apply("ns", [], applied=20)
        held = await index.count("ns", Scope())
        assert held >= 10
        assert len((await index.keyword("ns", ["anna"], ask())).columns) == held


async def test_memory_stays_within_its_bound(tmp_path: Path) -> None:
    bound = 100_000
    async with opened(tmp_path, bound) as index:
        for user in range(30):
            made = [entry(100 * user + n, scope=Scope(f"u{user}")) for n in range(50)]
            await index.apply("ns", puts(*made), applied=1)
        for user in [*range(30), *range(30)]:
            assert len((await index.dense("ns", VECTORS[0], ask(select(Scope(f"u{user}"))))).columns) == 50
            assert 0 < index.resident_bytes <= bound
        assert len((await index.keyword("ns", ["anna"], ask(depth=2000))).columns) == 1500
        assert len((await index.dense("ns", VECTORS[0], ask(depth=2000))).columns) == 1500
        assert index.resident_bytes <= bound


async def test_many_removals_do_not_pile_up_in_memory(tmp_path: Path) -> None:
    async with opened(tmp_path) as index:
        query = ask(select(Scope("alice")))
        for start in range(0, 6000, 1500):
            await index.keyword("ns", ["anna"], query)
            made = [entry(start + n, "m") for n in range(1500)]
            await index.apply("ns", puts(*made), applied=start)
            assert index.resident_bytes < 3_000_000
        await index.apply("ns", [Remove("m", upto=5998)], applied=6000)
        assert index.resident_bytes == 0
        assert (await index.keyword("ns", ["anna"], query)).columns.revision.tolist() == [5999]


def test_what_is_written_during_a_load_is_not_lost() -> None:
    """The segment was read before the writes, and after them: the same comes out."""
    part, sessions = Part("ns", "=alice"), SessionCodes()
    effects: list[Effect] = [
        Added(entry(2, "m"), 2),
        Retired("=alice", 1, 2),
        Added(entry(3, "n"), 3),
        Deleted("=alice", 3),
        Added(entry(4, "other", Scope("bob")), 1 << 33),
    ]
    for read_late in (False, True):
        hot, segment = HotSegments(1 << 20), Segment(sessions)
        segment.put(entry(1, "m"), 1, None)
        if read_late:
            segment.retire(1, 2)
            segment.put(entry(2, "m"), 2, None)
        hot.begin(part)
        hot.apply("ns", effects)
        hot.apply("ns-1", [Deleted("=alice", 2)])
        assert hot.install(part, segment)
        view, query = segment.view(), ask(select(Scope("alice")))
        found = keyword_candidates(view, segment.postings(["anna"]), query, segment.scope_codes(query.selection.scope))
        assert found.columns.revision.tolist() == [2]
        assert found.document_count == 1
    dropped = HotSegments(1 << 20)
    dropped.begin(part)
    dropped.drop("ns")
    assert not dropped.install(part, Segment(sessions))


async def test_an_entry_put_again_has_its_new_vector(tmp_path: Path) -> None:
    async with opened(tmp_path) as index:
        query = ask(select(Scope("alice")))
        await index.apply("ns", puts(entry(1), entry(2)), applied=2)
        await index.keyword("ns", ["anna"], query)
        await index.apply("ns", puts(entry(2, vector=VECTORS[5])), applied=2)
        assert (await index.dense("ns", VECTORS[5], query)).cosine[1] == 1.0


async def test_a_closed_index_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as index:
        pass
    with pytest.raises(StoreUnavailable, match="closed"):
        await index.count("ns", Scope())
    await index.close()
