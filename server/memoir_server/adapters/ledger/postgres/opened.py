"""What the parts of the ledger share: what exists between open and close."""

from __future__ import annotations

import os
from dataclasses import dataclass

from memoir_server.adapters.ledger.forms.changing import Entropy
from memoir_server.adapters.ledger.postgres.database import Database
from memoir_server.adapters.ledger.postgres.options import PostgresOptions
from memoir_server.adapters.ledger.postgres.schema import Identity
from memoir_server.adapters.ledger.postgres.watching import Watch
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.ports.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Opened:
    """Between open and close. `owner` names this opening among the servers of the ledger."""

    owner: str
    identity: Identity
    database: Database
    watch: Watch


class LedgerPart(Ledger):
    """Base of the parts. Each implements one part of the port."""

    def __init__(self, options: PostgresOptions, *, entropy: Entropy = os.urandom) -> None:
        self._options = options
        self._entropy = entropy
        self._state: Opened | None = None

    @property
    def _opened(self) -> Opened:
        if self._state is None:
            raise StoreUnavailable("ledger", "it is not open")
        return self._state

    @property
    def options(self) -> PostgresOptions:
        """Its settings."""
        return self._options

    @property
    def owner(self) -> str:
        """What leases of this opening of the ledger are held by."""
        return self._opened.owner

    @property
    def database(self) -> Database:
        """Its connections, for what concerns the database as a whole."""
        return self._opened.database

    @property
    def _database(self) -> Database:
        return self._opened.database
