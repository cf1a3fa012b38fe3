"""The stores of a server, from settings. The only place that names concrete ones.

Ours are imported where they are chosen: a server with files of its own never loads the clients of the others. What is
not ours is looked for among the entry points of the packages installed (:mod:`memoir_server.ports.adapter`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast
from urllib.parse import urlsplit

from memoir_server.adapters.cache.layered import LayeredEmbeddingCache
from memoir_server.adapters.cache.memory import MemoryEmbeddingCache
from memoir_server.app.settings import Settings, SettingsError
from memoir_server.app.settings_values import nearest
from memoir_server.ports.adapter import CACHES, GRAPHS, INDEXES, LEDGERS, AdapterSettings
from memoir_server.ports.cache import EmbeddingCache
from memoir_server.ports.graph import EntityGraph
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import Ledger

Port = TypeVar("Port")
Entropy = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Adapters:
    """The stores of one server, not yet opened."""

    ledger: Ledger
    index: MemoryIndex
    graph: EntityGraph
    cache: EmbeddingCache


@dataclass(frozen=True, slots=True)
class _Part(Generic[Port]):
    """One part of the service: its section of the settings, where others name their adapters, and ours by name."""

    section: str
    group: str
    port: Callable[..., Port]
    ours: Mapping[str, Callable[[Settings, Entropy], Port]]

    def build(self, name: str, settings: Settings, entropy: Entropy) -> Port:
        try:
            if name in self.ours:
                return self.ours[name](settings, entropy)
            return self._build_other(name, settings, entropy)
        except ModuleNotFoundError as missing:
            raise SettingsError(
                f"{self.section}.adapter",
                name,
                f"needs the package {missing.name}",
                'install "memoir-server[distributed]"' if name in self.ours else "install it",
            ) from None
        except ValueError as refusal:
            raise SettingsError(
                f"{self.section}.adapter", name, f"does not take its settings ({refusal})", "correct them"
            ) from None

    def _build_other(self, name: str, settings: Settings, entropy: Entropy) -> Port:
        key = f"{self.section}.adapter"
        found = entry_points(group=self.group, name=name)
        if not found:
            raise SettingsError(
                key, name, "is not installed", nearest(name, {*self.ours, *entry_points(group=self.group).names})
            )
        chosen = getattr(settings, self.section)
        built = next(iter(found)).load()(
            AdapterSettings(url=chosen.url, options=chosen.options, data=settings.server.data, entropy=entropy)
        )
        if not isinstance(built, cast("type[Port]", self.port)):
            raise SettingsError(
                key, name, f"made a {type(built).__name__}", f"its factory has to return the port of the {self.section}"
            )
        return built


def build_adapters(settings: Settings, entropy: Entropy) -> Adapters:
    """Raises SettingsError for an adapter that is not installed or does not take its settings."""
    ledger, index, graph, cache = settings.stores.adapters
    near = MemoryEmbeddingCache(settings.embedder.cache_bytes)
    return Adapters(
        ledger=_LEDGER.build(ledger, settings, entropy),
        index=_INDEX.build(index, settings, entropy),
        graph=_GRAPH.build(graph, settings, entropy),
        cache=LayeredEmbeddingCache(near, _CACHE.build(cache, settings, entropy)) if cache else near,
    )


def _sqlite_ledger(settings: Settings, entropy: Entropy) -> Ledger:
    from memoir_server.adapters.graph.sqlite import GRAPH_FILE
    from memoir_server.adapters.index.sqlite import INDEX_FILE
    from memoir_server.adapters.ledger.sqlite import SqliteLedger

    directory = settings.server.data
    return SqliteLedger(
        directory,
        entropy=entropy,
        projections=(directory / INDEX_FILE, directory / GRAPH_FILE),
        cache_bytes=settings.ledger.cache_bytes,
    )


def _postgres_ledger(settings: Settings, entropy: Entropy) -> Ledger:
    from memoir_server.adapters.ledger.postgres import PostgresLedger, PostgresOptions

    chosen = settings.ledger
    options = PostgresOptions(url=chosen.url, statement_seconds=chosen.seconds, lease_seconds=chosen.lease_seconds)
    return PostgresLedger(options, entropy=entropy)


def _sqlite_index(settings: Settings, _: Entropy) -> MemoryIndex:
    from memoir_server.adapters.index.sqlite import SqliteIndex

    return SqliteIndex(settings.server.data, hot_bytes=settings.index.hot_bytes)


def _weaviate_index(settings: Settings, _: Entropy) -> MemoryIndex:
    from memoir_server.adapters.index.weaviate import WeaviateAddress, WeaviateIndex

    chosen = settings.index
    rest = urlsplit(chosen.url)
    secure = rest.scheme == "https"
    host, port = chosen.grpc.rsplit(":", 1)
    if host != rest.hostname:
        raise ValueError(f"index.grpc={chosen.grpc!r}: name the host of index.url, {rest.hostname}")
    return WeaviateIndex(
        WeaviateAddress(
            host=rest.hostname or "",
            http_port=rest.port or (443 if secure else 80),
            grpc_port=int(port),
            api_key=chosen.api_key,
            secure=secure,
        ),
        prefix=chosen.prefix,
        seconds=chosen.seconds,
    )


def _sqlite_graph(settings: Settings, _: Entropy) -> EntityGraph:
    from memoir_server.adapters.graph.sqlite import SqliteGraph

    return SqliteGraph(settings.server.data)


def _neo4j_graph(settings: Settings, _: Entropy) -> EntityGraph:
    from memoir_server.adapters.graph.neo4j import Neo4jGraph, Neo4jLogin

    chosen = settings.graph
    login = Neo4jLogin(chosen.url, chosen.username, chosen.password, chosen.database)
    return Neo4jGraph(login, graph=chosen.name, seconds=chosen.seconds)


def _redis_cache(settings: Settings, _: Entropy) -> EmbeddingCache:
    from memoir_server.adapters.cache.redis import RedisEmbeddingCache

    chosen = settings.cache
    return RedisEmbeddingCache(chosen.url, prefix=chosen.prefix, secret=chosen.secret.encode())


_LEDGER = _Part("ledger", LEDGERS, Ledger, {"sqlite": _sqlite_ledger, "postgresql": _postgres_ledger})
_INDEX = _Part("index", INDEXES, MemoryIndex, {"sqlite": _sqlite_index, "weaviate": _weaviate_index})
_GRAPH = _Part("graph", GRAPHS, EntityGraph, {"sqlite": _sqlite_graph, "neo4j": _neo4j_graph})
_CACHE = _Part("cache", CACHES, EmbeddingCache, {"redis": _redis_cache})
