"""Servers that have dropped from their memory what an erasure removes."""

from __future__ import annotations

from typing import Final

from memoir_server.adapters.ledger.postgres.migrations.running import run_script

revision: str = "0003"
down_revision: str | None = "0002"

_TABLES: Final = """
-- Kept until the reset has ended. A server that is missing here and lives may still remember something.
CREATE TABLE forgotten (
    reset bigint NOT NULL,
    owner text COLLATE "C" NOT NULL,
    PRIMARY KEY (reset, owner)
);
"""


def upgrade() -> None:
    """Makes the table."""
    run_script(_TABLES)
