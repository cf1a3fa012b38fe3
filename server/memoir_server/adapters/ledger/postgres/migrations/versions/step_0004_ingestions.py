"""Accepted inference work, and which server is at it."""

from __future__ import annotations

from typing import Final

from memoir_server.adapters.ledger.postgres.migrations.running import run_script

revision: str = "0004"
down_revision: str | None = "0003"

_TABLES: Final = """
-- Work on one owner is done in the order of `id`. owner: the server that is at it, or was when it died.
CREATE TABLE ingestions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ns bigint NOT NULL,
    ingestion_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    agent_id text COLLATE "C",
    session_id text COLLATE "C",
    state smallint NOT NULL,
    attempts bigint NOT NULL,
    due bigint NOT NULL,
    create_time bigint NOT NULL,
    update_time bigint NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    revision bigint NOT NULL,
    error text COLLATE "C" NOT NULL,
    work bytea NOT NULL,
    outcome bytea NOT NULL,
    owner text COLLATE "C",
    UNIQUE (ns, ingestion_id)
);
CREATE INDEX ingestions_not_done ON ingestions (id) WHERE state < 3;
CREATE INDEX ingestions_by_time ON ingestions (ns, create_time DESC, ingestion_id);
CREATE INDEX ingestions_by_age ON ingestions (update_time) WHERE state > 2;
"""


def upgrade() -> None:
    """Makes the tables."""
    run_script(_TABLES)
