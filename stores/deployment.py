"""What a Memoir server is told to use these stores, under names that no other server has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stores.four import Stores


@dataclass(frozen=True, slots=True)
class Deployment:
    """Settings of servers that share one database, one set of collections, one graph and one set of cache keys.

    `settings` maps "section.key" to text, the profile included; `environment` is the same as environment variables.
    """

    settings: Mapping[str, str]

    @property
    def environment(self) -> Mapping[str, str]:
        """MEMOIR_SECTION__KEY to text."""
        return {f"MEMOIR_{key.upper().replace('.', '__')}": text for key, text in self.settings.items()}


def deployment(stores: Stores, name: str) -> Deployment:
    """A deployment with nothing in it yet. `name`: lower-case letters and digits, a letter first, 30 at most; a
    database of that name is dropped. Raises StoreError, also for a store that was never started."""
    at = stores.addresses
    return Deployment(
        {
            "server.profile": "distributed",
            "ledger.url": stores.postgresql.create_database(name).url,
            "index.url": at.weaviate.url,
            "index.grpc": f"{at.weaviate.host}:{at.weaviate.grpc_port}",
            "index.api_key": at.weaviate.api_key,
            "index.prefix": name.capitalize(),
            "graph.url": at.neo4j.url,
            "graph.username": at.neo4j.username,
            "graph.password": at.neo4j.password,
            "graph.name": name,
            "cache.url": at.redis.url,
            "cache.prefix": f"{name}:",
        }
    )
