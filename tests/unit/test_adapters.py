"""The stores of a server, from settings: ours by name, others through the metadata of their packages."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from memoir_server.adapters.cache.layered import LayeredEmbeddingCache
from memoir_server.adapters.graph.neo4j import Neo4jGraph
from memoir_server.adapters.index.sqlite import SqliteIndex
from memoir_server.adapters.index.weaviate import WeaviateIndex
from memoir_server.adapters.ledger.sqlite import SqliteLedger
from memoir_server.app.adapters import Adapters, build_adapters
from memoir_server.app.settings import Settings, SettingsError

MIXED = {
    "server.profile": "distributed",
    "ledger.adapter": "sqlite",
    "index.url": "http://127.0.0.1:8080",
    "index.grpc": "127.0.0.1:50051",
    "graph.url": "bolt://127.0.0.1",
}


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of somebody else, as pip leaves it on the path."""
    site = tmp_path / "site"
    metadata = site / "acme_memory-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-memory\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[memoir.indexes]\nacme = acme_memory:index\nbroken = acme_memory:nothing\nneedy = acme_absent:index\n"
        "[memoir.caches]\nacme = acme_memory:cache\n"
    )
    (site / "acme_memory.py").write_text(
        textwrap.dedent("""
            from memoir_server.adapters.cache.memory import MemoryEmbeddingCache
            from memoir_server.adapters.index.sqlite import SqliteIndex

            class AcmeIndex(SqliteIndex):
                def __init__(self, settings):
                    super().__init__(settings.data)
                    self.given = settings

            def index(settings):
                if settings.options.get("shards") == "none":
                    raise ValueError("options.shards='none': give a number")
                return AcmeIndex(settings)

            def nothing(settings):
                return object()

            def cache(settings):
                return MemoryEmbeddingCache(1000)
        """)
    )
    monkeypatch.syspath_prepend(str(site))


def built(tmp_path: Path, **settings: str) -> Adapters:
    loaded = Settings.load(None, {}, {"server.data": str(tmp_path), **settings})
    return build_adapters(loaded, os.urandom)


def test_ours(tmp_path: Path) -> None:
    embedded = built(tmp_path)
    assert isinstance(embedded.ledger, SqliteLedger)
    assert not embedded.index.may_return
    mixed = built(tmp_path, **MIXED, **{"cache.url": "redis://127.0.0.1"})
    assert isinstance(mixed.index, WeaviateIndex)
    assert isinstance(mixed.graph, Neo4jGraph)
    assert isinstance(mixed.cache, LayeredEmbeddingCache)
    assert mixed.index.may_return
    assert mixed.graph.may_return


@pytest.mark.usefixtures("acme")
def test_those_of_a_package_get_their_settings(tmp_path: Path) -> None:
    found = built(
        tmp_path,
        **{
            "index.adapter": "acme",
            "index.url": "acme://somewhere",
            "index.options": '{"shards": "3"}',
            "cache.adapter": "acme",
        },
    )
    assert isinstance(found.index, SqliteIndex)
    given = found.index.given  # type: ignore[attr-defined]  # the package's own
    assert (given.url, given.options, given.data) == ("acme://somewhere", {"shards": "3"}, tmp_path)
    assert len(given.entropy(16)) == 16
    assert isinstance(found.cache, LayeredEmbeddingCache)


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"index.adapter": "acne"}, r"index\.adapter = 'acne' is not installed; did you mean acme\?"),
        ({"ledger.adapter": "acme"}, r"ledger\.adapter = 'acme' is not installed; known are .*sqlite"),
        ({"index.adapter": "broken"}, r"index\.adapter = 'broken' made a object; .* return the port of the index"),
        ({"index.adapter": "needy"}, r"needs the package acme_absent; install it"),
        ({"index.adapter": "acme", "index.options": '{"shards": "none"}'}, r"options\.shards='none': give a number"),
        (
            {**MIXED, "index.grpc": "other:1"},
            r"name the host of index\.url",
        ),
        ({"cache.url": "redis://127.0.0.1", "cache.prefix": ""}, r"cache\.adapter = 'redis' .*prefix"),
    ],
)
def test_what_cannot_be_built_is_named_with_the_fix(tmp_path: Path, given: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        built(tmp_path, **given)
