"""The embedded graph: the suite of every graph, and what only a file can suffer."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import apsw
import pytest

from memoir_conformance.graph_model import ALICE, OpenGraph, facts, names, select
from memoir_conformance.graph_suite import GraphSuite
from memoir_server.adapters.graph.sqlite import SqliteGraph
from memoir_server.ports.graph import EntityGraph, PutFacts
from memoir_server.ports.projection import Remove


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[SqliteGraph]:
    graph = SqliteGraph(directory)
    await graph.open()
    try:
        yield graph
    finally:
        await graph.close()


class TestSqliteGraph(GraphSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def open_graph(cls, tmp_path_factory: pytest.TempPathFactory) -> OpenGraph:
        root, numbers = tmp_path_factory.mktemp("graph"), itertools.count()

        def open_graph() -> AbstractAsyncContextManager[EntityGraph]:
            return opened(root / str(next(numbers)))

        return open_graph


async def test_it_remembers_over_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as graph:
        await graph.adopt("ledger")
        await graph.apply("ns", [PutFacts(facts(1, entities=["Anna"]))], applied=1)
    async with opened(tmp_path) as graph:
        assert await graph.ledger_id() == "ledger"
        assert await graph.applied("ns") == 1
        assert await names(graph, "anna", select()) == ["m1"]


async def test_a_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(tmp_path) as graph:
        await graph.adopt("ledger")
    path = tmp_path / "graph.db"
    path.write_bytes(path.read_bytes()[:5000])
    async with opened(tmp_path) as graph:
        assert await graph.ledger_id() == ""
        await graph.apply("ns", [PutFacts(facts(1, entities=["Anna"]))], applied=1)
        assert await graph.count("ns", ALICE) == 1
    assert (tmp_path / "graph.db.damaged-1").exists()
    assert "graph.db" in caplog.text


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    said = [
        facts(n, f"m{n % 3}", entities=["Anna", f"E{n}"], relations=[("Anna", "knows", f"F{n % 2}")])
        for n in range(1, 9)
    ]
    async with opened(tmp_path) as graph:
        await graph.apply("ns", [PutFacts(s) for s in (*said, *said[3:])], applied=9)
        await graph.apply("ns", [Remove("m0", 9), Remove("m1", 9, keep_relations=True)], applied=9)
        await graph.apply("ns", [Remove(f"m{n}", 9) for n in range(3)], applied=9)
    connection = apsw.Connection(str(tmp_path / "graph.db"))
    for table in ("versions", "entities", "mentions", "names", "name_sources", "relations", "relation_sources"):
        assert connection.execute(f"SELECT count(*) FROM {table}").get == 0, table
    connection.close()
