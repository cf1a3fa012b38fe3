"""Servers that share the ledger: who lives, who has leased what, and how far each projection has come."""

from __future__ import annotations

from typing import Final

from memoir_server.adapters.ledger.postgres.migrations.running import run_script

revision: str = "0002"
down_revision: str | None = "0001"

_TABLES: Final = """
-- A server that is not heard of until `alive_until`, by this database's clock, has lost what it leased.
CREATE TABLE servers (
    owner text COLLATE "C" PRIMARY KEY,
    model text COLLATE "C" NOT NULL,
    alive_until timestamptz NOT NULL
);

-- Leases. token: raised whenever another server gets the lease. free_at: when others may have it although the owner
-- lives. wanted_by: who waits for it, and is served before anybody else until wanted_until.
CREATE TABLE projections (
    store smallint PRIMARY KEY,
    owner text COLLATE "C",
    token bigint NOT NULL DEFAULT 0,
    free_at timestamptz,
    wanted_by text COLLATE "C",
    wanted_until timestamptz
);
INSERT INTO projections (store) VALUES (2), (3);

-- done: revisions that need nothing any more, 0 among them; applied: the last before the first gap.
-- served: when the namespace was claimed last; namespaces take turns.
ALTER TABLE cursors
    ALTER COLUMN applied SET DEFAULT 0,
    ADD COLUMN done int8multirange NOT NULL DEFAULT '{[0,1)}',
    ADD COLUMN owner text COLLATE "C",
    ADD COLUMN token bigint NOT NULL DEFAULT 0,
    ADD COLUMN free_at timestamptz,
    ADD COLUMN wanted_by text COLLATE "C",
    ADD COLUMN wanted_until timestamptz,
    ADD COLUMN served timestamptz NOT NULL DEFAULT '-infinity';
UPDATE cursors SET done = int8multirange(int8range(0, applied + 1));
INSERT INTO cursors (store, ns) SELECT p.store, n.ns FROM projections p, namespaces n ON CONFLICT DO NOTHING;
CREATE INDEX cursors_leased ON cursors (owner) WHERE owner IS NOT NULL;

-- again: to be applied once more, whatever `done` says.
ALTER TABLE exceptions
    ADD COLUMN memory_id text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN again boolean NOT NULL DEFAULT false;
CREATE INDEX exceptions_again ON exceptions (store, (key >> 40)) WHERE again;

ALTER TABLE resets ADD COLUMN owner text COLLATE "C";
"""


def upgrade() -> None:
    """Makes the tables."""
    run_script(_TABLES)
