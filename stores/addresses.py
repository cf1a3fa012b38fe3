"""Where the running stores are and how one logs in. Secrets are left out of `repr`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WeaviateAddress:
    """REST and gRPC ports of one Weaviate; `api_key` goes with every call."""

    host: str
    http_port: int
    grpc_port: int
    api_key: str = field(repr=False)

    @property
    def url(self) -> str:
        """Base URL of the REST interface."""
        return f"http://{self.host}:{self.http_port}"


@dataclass(frozen=True, slots=True)
class Neo4jAddress:
    """Bolt port of one Neo4j."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """Bolt URL, without credentials."""
        return f"bolt://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PostgresqlAddress:
    """One database of a PostgreSQL server."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    database: str

    @property
    def url(self) -> str:
        """Connection URL with credentials."""
        return f"postgresql://{self.username}:{self.password}@{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One Redis server."""

    host: str
    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """Connection URL with credentials, database 0."""
        return f"redis://:{self.password}@{self.host}:{self.port}/0"


Address = WeaviateAddress | Neo4jAddress | PostgresqlAddress | RedisAddress
