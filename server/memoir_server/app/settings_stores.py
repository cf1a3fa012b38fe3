"""Settings of the stores: which product stands behind each part, and where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from memoir_server.app.settings_values import SettingsError

EMBEDDED = "embedded"
"""Profile of one server with files of its own."""
DISTRIBUTED = "distributed"
"""Profile of servers that share stores."""
PROFILES = (EMBEDDED, DISTRIBUTED)

SECRET = {"secret": True}
"""Metadata of a field whose value is never shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSettings:
    """The ledger."""

    adapter: str = ""
    """What keeps it; empty: "sqlite" in the embedded profile, "postgresql" in the distributed one."""
    url: str = ""
    """postgresql://user:password@host:port/database."""
    options: Mapping[str, str] = field(default_factory=dict)
    """For an adapter of somebody else."""
    cache_bytes: int = 64 * 1024 * 1024
    """Memory for memories that searches have shown, and the speakers of scopes; 0 holds none. Of "sqlite" only."""
    seconds: float = 30.0
    """The longest one statement of the ledger may take. Of "postgresql" only."""
    lease_seconds: float = 10.0
    """For how long a server that is not heard of keeps its share of the projections' work; the same on all servers. Of
    "postgresql" only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """The index."""

    adapter: str = ""
    """What keeps it; empty: "sqlite" in the embedded profile, "weaviate" in the distributed one."""
    url: str = ""
    """http://host:port of the REST interface, or https://."""
    grpc: str = ""
    """host:port of the gRPC interface."""
    api_key: str = field(default="", metadata=SECRET)
    """Key of the index; empty where none is asked for."""
    prefix: str = "Memoir"
    """Begins the name of every collection, so that several deployments can share a store."""
    seconds: float = 30.0
    """The longest one call of the index may take. Of "weaviate" only."""
    options: Mapping[str, str] = field(default_factory=dict)
    """For an adapter of somebody else."""
    hot_bytes: int = 1 << 30
    """Memory for index entries in use; 0 holds none. Of "sqlite" only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSettings:
    """The graph."""

    adapter: str = ""
    """What keeps it; empty: "sqlite" in the embedded profile, "neo4j" in the distributed one."""
    url: str = ""
    """bolt://host:port, or neo4j:// for a cluster."""
    username: str = "neo4j"
    """Who asks."""
    password: str = field(default="", metadata=SECRET)
    """Password of that user."""
    database: str = "neo4j"
    """Database of the server."""
    name: str = "memoir"
    """Marks everything that belongs to this deployment, so that several can share a database."""
    seconds: float = 10.0
    """The longest one call of the graph may take. Of "neo4j" only."""
    options: Mapping[str, str] = field(default_factory=dict)
    """For an adapter of somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """The embedding cache that servers share, behind the one in each server's memory."""

    adapter: str = ""
    """What keeps it; empty: "redis" where `cache.url` is given, else every server has its own memory only."""
    url: str = ""
    """redis://user:password@host:port/database, or rediss://."""
    prefix: str = "memoir:embedding:"
    """Begins every key."""
    secret: str = field(default="", metadata=SECRET)
    """The same on all servers, at most 64 bytes: entries made without it are not believed."""
    options: Mapping[str, str] = field(default_factory=dict)
    """For an adapter of somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """The sections together, as far as they depend on each other."""

    profile: str
    ledger: LedgerSettings
    index: IndexSettings
    graph: GraphSettings
    cache: CacheSettings

    @property
    def adapters(self) -> tuple[str, str, str, str]:
        """The adapters in force: of the ledger, the index, the graph and the shared cache ("" for none)."""
        shared = self.profile == DISTRIBUTED
        return (
            self.ledger.adapter or ("postgresql" if shared else "sqlite"),
            self.index.adapter or ("weaviate" if shared else "sqlite"),
            self.graph.adapter or ("neo4j" if shared else "sqlite"),
            self.cache.adapter or ("redis" if self.cache.url else ""),
        )

    def check(self) -> None:
        """Raises SettingsError."""
        if self.profile not in PROFILES:
            raise SettingsError(
                "server.profile", self.profile, "is not a profile", f'use "{EMBEDDED}" or "{DISTRIBUTED}"'
            )
        ledger, index, graph, cache = self.adapters
        _address("ledger.url", self.ledger.url, ledger, "postgresql", ("postgresql", "postgres"))
        _address("index.url", self.index.url, index, "weaviate", ("http", "https"))
        _address("graph.url", self.graph.url, graph, "neo4j", ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s"))
        _address("cache.url", self.cache.url, cache, "redis", ("redis", "rediss", "unix"))
        if index == "weaviate":
            host, _, port = self.index.grpc.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536:
                raise SettingsError(
                    "index.grpc", self.index.grpc, "is not HOST:PORT", "write one such as weaviate:50051"
                )
        for key, seconds in (
            ("ledger.seconds", self.ledger.seconds),
            ("ledger.lease_seconds", self.ledger.lease_seconds),
            ("index.seconds", self.index.seconds),
            ("graph.seconds", self.graph.seconds),
        ):
            if not seconds > 0:
                raise SettingsError(key, seconds, "is not a time", "give one above 0")
        if len(self.cache.secret.encode()) > 64:
            raise SettingsError("cache.secret", "...", "is longer than 64 bytes", "give a shorter one")


def _address(key: str, url: str, adapter: str, ours: str, schemes: tuple[str, ...]) -> None:
    """What one of our adapters needs, and what it leaves alone. Another's adapter judges its address itself."""
    if adapter in ("sqlite", "") and url:
        raise SettingsError(
            key, without_password(url), "is given, but files are used", f'set server.profile = "{DISTRIBUTED}"'
        )
    if adapter == ours and (not url or urlsplit(url).scheme not in schemes):
        raise SettingsError(
            key,
            without_password(url),
            "is no address of the store" if url else "is missing",
            f"write {schemes[0]}://...; {ours} needs it",
        )


def without_password(url: str) -> str:
    """A URL that may be shown."""
    try:
        parts = urlsplit(url)
        hidden = parts.password is not None
    except ValueError:
        return "..."
    if not hidden:
        return url
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username or ''}:...@{place}").geturl()
