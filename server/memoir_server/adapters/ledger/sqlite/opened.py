"""What the parts of the ledger share: its state, and what exists between open and close."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from memoir_server.adapters.ledger.forms.changing import Entropy
from memoir_server.adapters.ledger.sqlite.caches import DEFAULT_CAPACITY_BYTES, LedgerCaches
from memoir_server.adapters.ledger.sqlite.connection import DirectoryLock
from memoir_server.adapters.ledger.sqlite.heads import Bell, Heads
from memoir_server.adapters.ledger.sqlite.mutations import Mutations
from memoir_server.adapters.ledger.sqlite.progress import Progress
from memoir_server.adapters.ledger.sqlite.readers import Readers
from memoir_server.adapters.ledger.sqlite.recent import RecentChanges
from memoir_server.adapters.ledger.sqlite.resets import ResetRecords
from memoir_server.adapters.ledger.sqlite.vectors import VectorStore
from memoir_server.adapters.ledger.sqlite.writer import NamespaceRow, Writer
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.ports.ledger import Ledger

INLINE_ROWS: Final = 100
"""Rows that are read on the event loop; more go to a thread."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What exists between open and close."""

    ledger_id: str
    secret: bytes
    lock: DirectoryLock
    connection: apsw.Connection
    writer: Writer
    readers: Readers
    heads: Heads
    progress: Progress
    vectors: VectorStore
    caches: LedgerCaches


class LedgerPart(Ledger):
    """Base of the parts. Each implements one part of the port."""

    def __init__(
        self,
        directory: Path,
        *,
        entropy: Entropy = os.urandom,
        projections: Sequence[Path] = (),
        cache_bytes: int = DEFAULT_CAPACITY_BYTES,
    ) -> None:
        self._directory = directory
        self._cache_bytes = cache_bytes
        self._projections = projections
        self._entropy = entropy
        self._mutations = Mutations(entropy)
        self._resets = ResetRecords(self._mutations)
        self._recent = RecentChanges()
        self._work_bell = Bell()
        self._ingestion_bell = Bell()
        self._reset_bells: dict[tuple[str, str], Bell] = {}
        self._state: Opened | None = None

    @property
    def _opened(self) -> Opened:
        if self._state is None:
            raise StoreUnavailable("ledger", "it is not open")
        return self._state

    def _row(self, namespace: str) -> NamespaceRow:
        """A namespace that must exist, because work or a reset in it is spoken of."""
        row = self._opened.heads.row(namespace)
        if row is None:
            raise ValueError(f"namespace {namespace!r} does not exist")
        return row
