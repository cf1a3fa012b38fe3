"""Tables of the ledger, and how a file of an earlier version is brought forward."""

from __future__ import annotations

from typing import Any, Final

import apsw

from memoir_server.adapters.ledger.forms.encoding import decode_memory
from memoir_server.domain.duplicate import said_code
from memoir_server.domain.errors import StoreUnavailable

APPLICATION_ID: Final = 0x4D454D4F
"""Marks the file as a ledger of Memoir ("MEMO")."""

_VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

-- chain: the chain of event digests up to `revision`.
CREATE TABLE namespaces (
    ns INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    commit_time INTEGER NOT NULL,
    chain BLOB NOT NULL
);

-- One row per revision, never deleted. The version a change made has the same key; `before` is the key of the version
-- it replaced or removed. `born` is the revision that created the memory, which tells lives of one id apart.
-- Erasure clears memory_id, born, before, detail and salt; the digest stays, so that the chain holds.
CREATE TABLE events (
    key INTEGER PRIMARY KEY,
    commit_time INTEGER NOT NULL,
    type INTEGER NOT NULL,
    memory_id TEXT NOT NULL,
    born INTEGER NOT NULL,
    before INTEGER,
    detail BLOB,
    salt BLOB,
    digest BLOB NOT NULL
);
CREATE INDEX events_without_version ON events (memory_id) WHERE type IN (4, 5, 8);
CREATE INDEX events_not_projected ON events (type) WHERE type >= 6;

-- One row per version. retired: the revision that replaced or removed it. gone: the instant from which all versions of
-- the memory are hidden, which is the current version's expire_time, or one of the two ends of the integers.
-- content: the first 8 bytes of the content hash.
CREATE TABLE versions (
    key INTEGER PRIMARY KEY,
    ns INTEGER NOT NULL,
    memory_id TEXT NOT NULL,
    born INTEGER NOT NULL,
    retired INTEGER NOT NULL,
    gone INTEGER NOT NULL,
    user_id TEXT,
    agent_id TEXT,
    session_id TEXT,
    kind INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    valid_from INTEGER,
    valid_until INTEGER,
    expire_time INTEGER,
    importance REAL,
    actor_id TEXT,
    message_id TEXT,
    content INTEGER NOT NULL,
    has_facts INTEGER NOT NULL,
    text TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX versions_by_memory ON versions (ns, memory_id, retired);
CREATE INDEX versions_by_time ON versions (ns, create_time DESC, memory_id);
CREATE INDEX versions_by_user ON versions (ns, user_id, create_time DESC, memory_id) WHERE user_id IS NOT NULL;
CREATE INDEX versions_by_agent ON versions (ns, agent_id, create_time DESC, memory_id) WHERE agent_id IS NOT NULL;
CREATE INDEX versions_by_session ON versions (ns, session_id) WHERE session_id IS NOT NULL;
CREATE INDEX versions_by_turn ON versions (ns, user_id, session_id, turn) WHERE turn > 0;
CREATE INDEX versions_by_content ON versions (ns, content);
CREATE INDEX versions_expiring ON versions (gone) WHERE retired = 9007199254740991 AND gone < 9223372036854775807;

-- Values by type, compared without conversion: `value` has no affinity on purpose.
CREATE TABLE metadata (
    key INTEGER NOT NULL,
    name TEXT NOT NULL,
    family INTEGER NOT NULL,
    value,
    PRIMARY KEY (key, name, family, value)
) WITHOUT ROWID;
CREATE TABLE metadata_types (
    ns INTEGER NOT NULL,
    name TEXT NOT NULL,
    family INTEGER NOT NULL,
    PRIMARY KEY (ns, name, family)
) WITHOUT ROWID;

CREATE TABLE turns (
    id INTEGER PRIMARY KEY,
    ns INTEGER NOT NULL,
    user_id TEXT,
    agent_id TEXT,
    session_id TEXT,
    last INTEGER NOT NULL
);
CREATE INDEX turns_by_scope ON turns (ns, session_id, user_id, agent_id);

-- Current memories by scope and speaker, and the revision that first counted; a counter that falls to 0 goes.
CREATE TABLE speakers (
    id INTEGER PRIMARY KEY,
    ns INTEGER NOT NULL,
    name TEXT NOT NULL,
    user_id TEXT,
    agent_id TEXT,
    session_id TEXT,
    first INTEGER NOT NULL,
    memories INTEGER NOT NULL
);
CREATE INDEX speakers_by_name ON speakers (ns, name, user_id, session_id);
CREATE INDEX speakers_by_user ON speakers (ns, user_id, name, memories);

-- first..last: revisions of the changes; first > last where there were none.
CREATE TABLE idempotency (
    namespace TEXT NOT NULL,
    request_id TEXT NOT NULL,
    principal TEXT NOT NULL,
    method TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    outcome BLOB NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (namespace, request_id, principal, method)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created);
CREATE INDEX idempotency_by_revision ON idempotency (namespace, last);

-- Work of a projection: everything after `applied`, but for what `exceptions` says.
CREATE TABLE cursors (
    store INTEGER NOT NULL,
    ns INTEGER NOT NULL,
    applied INTEGER NOT NULL,
    PRIMARY KEY (store, ns)
) WITHOUT ROWID;
CREATE TABLE exceptions (
    store INTEGER NOT NULL,
    key INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    given_up INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (store, key)
) WITHOUT ROWID;

CREATE TABLE models (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    asymmetric INTEGER NOT NULL,
    UNIQUE (name, version, dimension, asymmetric)
);
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY,
    ns INTEGER NOT NULL,
    content_hash BLOB NOT NULL,
    model INTEGER NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (ns, content_hash, model)
);

CREATE TABLE kept_facts (
    key INTEGER PRIMARY KEY,
    memory_id TEXT NOT NULL,
    born INTEGER NOT NULL,
    facts BLOB NOT NULL
);

CREATE TABLE resets (
    id INTEGER PRIMARY KEY,
    ns INTEGER NOT NULL,
    reset_id TEXT NOT NULL,
    state INTEGER NOT NULL,
    executed INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (ns, reset_id)
);
CREATE INDEX resets_by_state ON resets (state);
CREATE TABLE reset_memories (
    reset INTEGER NOT NULL,
    memory_id TEXT NOT NULL,
    born INTEGER NOT NULL,
    PRIMARY KEY (reset, memory_id, born)
) WITHOUT ROWID;
"""

# said: what memories say, as 64 bits; 0 in versions that were replaced before there was this column, which nobody asks.
# accesses: how often a memory that exists was returned, and when last. Not part of the log.
# mentions: ids, as JSON, of memories that an outcome names beside those of its request's own changes.
_VERSION_2 = """
ALTER TABLE versions ADD COLUMN said INTEGER NOT NULL DEFAULT 0;
CREATE INDEX versions_by_said ON versions (ns, said) WHERE retired = 9007199254740991;
UPDATE versions SET said = said_code(text, body) WHERE retired = 9007199254740991;

CREATE TABLE accesses (
    ns INTEGER NOT NULL,
    memory_id TEXT NOT NULL,
    count INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (ns, memory_id)
) WITHOUT ROWID;

ALTER TABLE idempotency ADD COLUMN mentions TEXT;
CREATE INDEX idempotency_mentioning ON idempotency (namespace) WHERE mentions IS NOT NULL;
"""

# Accepted inference work (domain/ingestion.py). Work on one owner is done in the order of `id`.
_VERSION_3 = """
CREATE TABLE ingestions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ns INTEGER NOT NULL,
    ingestion_id TEXT NOT NULL,
    user_id TEXT,
    agent_id TEXT,
    session_id TEXT,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    error TEXT NOT NULL,
    work BLOB NOT NULL,
    outcome BLOB NOT NULL,
    UNIQUE (ns, ingestion_id)
);
CREATE INDEX ingestions_not_done ON ingestions (ns, user_id, agent_id, id) WHERE state < 3;
CREATE INDEX ingestions_by_time ON ingestions (ns, create_time DESC, ingestion_id);
CREATE INDEX ingestions_by_age ON ingestions (update_time) WHERE state > 2;
"""

MIGRATIONS: Final = (_VERSION_1, _VERSION_2, _VERSION_3)
"""Step i brings a file of schema version i to i + 1."""


def _said_code(*version: Any) -> int:
    text, body = version
    return said_code(decode_memory("", 0, text, body))


def migrate(connection: apsw.Connection) -> None:
    """Brings the file to the newest schema, step by step, each step whole or not at all.

    Raises StoreUnavailable for a file that a newer server wrote, or that is something else.
    """
    version = int(connection.pragma("user_version"))
    application = int(connection.pragma("application_id"))
    if version > len(MIGRATIONS):
        raise StoreUnavailable(
            "ledger",
            f"{connection.filename} has schema version {version}, this server knows up to {len(MIGRATIONS)}; "
            "use the newer server that wrote it",
        )
    empty = not connection.execute("SELECT count(*) FROM sqlite_schema").get
    if application != APPLICATION_ID and not empty:
        raise StoreUnavailable(
            "ledger", f"{connection.filename} is not a ledger of Memoir; choose another data directory"
        )
    # For the steps that fill a new column of rows that exist.
    connection.create_scalar_function(name="said_code", callable=_said_code, numargs=2, deterministic=True)
    for step in range(version, len(MIGRATIONS)):
        with connection:
            connection.execute(MIGRATIONS[step])
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", step + 1)
