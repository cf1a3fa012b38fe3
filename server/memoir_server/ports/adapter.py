"""How an adapter of somebody else is found and built.

A package names a factory in its metadata, in the entry-point group of the port: `memoir.ledgers`, `memoir.indexes`,
`memoir.graphs` or `memoir.caches`. The entry's name is what an operator writes as `ledger.adapter` and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from memoir_server.ports.cache import EmbeddingCache
from memoir_server.ports.graph import EntityGraph
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import Ledger

LEDGERS: Final = "memoir.ledgers"
INDEXES: Final = "memoir.indexes"
GRAPHS: Final = "memoir.graphs"
CACHES: Final = "memoir.caches"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """What a factory gets. `url` and `options` are the operator's, not checked: the section's url, and the table
    options below it. `data` is the server's directory. `entropy` gives that many random bytes: the same in every run of
    the golden tests, so a ledger takes salts and its identity from there."""

    url: str
    options: Mapping[str, str]
    data: Path
    entropy: Callable[[int], bytes]


LedgerFactory: TypeAlias = Callable[[AdapterSettings], Ledger]
"""Builds a ledger, opening nothing. Raises ValueError that names the option, its value and the fix; so do the
others."""
IndexFactory: TypeAlias = Callable[[AdapterSettings], MemoryIndex]
GraphFactory: TypeAlias = Callable[[AdapterSettings], EntityGraph]
CacheFactory: TypeAlias = Callable[[AdapterSettings], EmbeddingCache]
