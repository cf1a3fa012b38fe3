"""Versions and settings of the stores: what these scripts run and what docker-compose.yml must say too.

A test compares the compose file with this one. Addresses, passwords and paths are not here: they differ by nature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

WEAVIATE_VERSION: Final = "1.35.2"
NEO4J_VERSION: Final = "5.26.30"
POSTGRESQL_SERIES: Final = "15"
"""PostgreSQL and Redis come from Debian, which takes patched releases of one series only."""
REDIS_SERIES: Final = "7.0"
REDIS_IMAGE_SERIES: Final = "7.2"
"""Debian patches 7.0 on; the image of 7.0 gets no fixes any more, 7.2 does and knows the same settings."""

USER: Final = "memoir"
"""Owner of the database in PostgreSQL and name of the key in Weaviate."""
DATABASE: Final = "memoir"
NEO4J_USER: Final = "neo4j"
"""The only name the Community edition starts with."""

WEAVIATE_ENVIRONMENT: Final[Mapping[str, str]] = {
    "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
    "AUTHENTICATION_APIKEY_ENABLED": "true",
    "AUTHENTICATION_APIKEY_USERS": USER,
    # What is not in the schema is a defect, not a new property (and an insert must not make a dropped collection anew).
    "AUTOSCHEMA_ENABLED": "false",
    "CLUSTER_HOSTNAME": "memoir",
    # Vectors come from Memoir's own embedder.
    "DEFAULT_VECTORIZER_MODULE": "none",
    "ENABLE_MODULES": "",
    "DISABLE_TELEMETRY": "true",
    "GO_PROFILING_DISABLE": "true",
    "GOMEMLIMIT": "2GiB",
    "LOG_LEVEL": "warning",
    "RAFT_BOOTSTRAP_EXPECT": "1",
}

NEO4J_CONFIGURATION: Final[Mapping[str, str]] = {
    "server.http.enabled": "false",
    "server.https.enabled": "false",
    "server.memory.heap.initial_size": "128m",
    "server.memory.heap.max_size": "512m",
    "server.memory.pagecache.size": "64m",
    "server.config.strict_validation.enabled": "true",
    "dbms.usage_report.enabled": "false",
    # Without it two transaction logs of 256 MB are laid out before the first write.
    "db.tx_log.preallocate": "false",
    # A stop waits this long for open transactions; the default of 10 s only delays it.
    "db.shutdown_transaction_end_timeout": "1s",
}

POSTGRESQL_PARAMETERS: Final[Mapping[str, str]] = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # An acknowledged write survives a power cut.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
}
POSTGRESQL_INITIALISATION: Final = ("--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256")
"""Text sorts by code point, as in SQLite and Python."""

REDIS_CONFIGURATION: Final[Mapping[str, str]] = {
    # A cache: full means the least used goes, and nothing of it lies in a file, so that what is erased is gone.
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
    "save": "",
    "appendonly": "no",
    "databases": "16",
}


@dataclass(frozen=True, slots=True)
class Image:
    """A container image: repository and tag."""

    repository: str
    tag: str

    @property
    def reference(self) -> str:
        """REPOSITORY:TAG."""
        return f"{self.repository}:{self.tag}"


WEAVIATE_IMAGE: Final = Image("semitechnologies/weaviate", WEAVIATE_VERSION)
NEO4J_IMAGE: Final = Image("neo4j", f"{NEO4J_VERSION}-community")


def neo4j_variable(setting: str) -> str:
    """The environment variable by which the Neo4j image takes a setting: `a.b_c` is NEO4J_a_b__c."""
    return "NEO4J_" + setting.replace("_", "__").replace(".", "_")
