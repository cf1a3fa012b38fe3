"""The tables of the ledger.

Texts compare by code point (COLLATE "C") and hold U+0000 escaped (adaptation.py). No index holds text of unbounded
length: an entry of a B-tree has room for about 2,700 bytes.
"""

from __future__ import annotations

from typing import Final

from memoir_server.adapters.ledger.postgres.migrations.running import run_script

revision: str = "0001"
down_revision: str | None = None

_TABLES: Final = """
CREATE TABLE meta (name text COLLATE "C" PRIMARY KEY, value bytea NOT NULL);

-- chain: the chain of event digests up to `revision`. Every commit changes its row, so pages keep room for that.
CREATE TABLE namespaces (
    ns bigint GENERATED ALWAYS AS IDENTITY (MAXVALUE 8388607) PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    revision bigint NOT NULL,
    commit_time bigint NOT NULL,
    chain bytea NOT NULL
) WITH (fillfactor = 30);

-- A row of events or versions is found by one number: namespace << 40 | revision.
-- One row per revision, never deleted. The version a change made has the same key; `before` is the key of the version
-- it replaced or removed. `born` is the revision that created the memory, which tells lives of one id apart.
-- Erasure clears memory_id, born, before, detail and salt; the digest stays, so that the chain holds.
CREATE TABLE events (
    key bigint PRIMARY KEY,
    commit_time bigint NOT NULL,
    type smallint NOT NULL,
    memory_id text COLLATE "C" NOT NULL,
    born bigint NOT NULL,
    before bigint,
    detail bytea,
    salt bytea,
    digest bytea NOT NULL
);
CREATE INDEX events_without_version ON events (memory_id, key) WHERE type IN (4, 5, 8);
CREATE INDEX events_not_projected ON events (key) WHERE type >= 6;

-- One row per version. retired: the revision that replaced or removed it. gone: the instant from which all versions of
-- the memory are hidden, which is the current version's expire_time, or one of the two ends of the integers.
-- content: the first 8 bytes of the content hash. said: what the memory says, as 64 bits.
CREATE TABLE versions (
    key bigint PRIMARY KEY,
    ns bigint NOT NULL,
    memory_id text COLLATE "C" NOT NULL,
    born bigint NOT NULL,
    retired bigint NOT NULL,
    gone bigint NOT NULL,
    user_id text COLLATE "C",
    agent_id text COLLATE "C",
    session_id text COLLATE "C",
    kind smallint NOT NULL,
    turn bigint NOT NULL,
    create_time bigint NOT NULL,
    update_time bigint NOT NULL,
    valid_from bigint,
    valid_until bigint,
    expire_time bigint,
    importance numeric,
    actor_id text COLLATE "C",
    message_id text COLLATE "C",
    content bigint NOT NULL,
    has_facts boolean NOT NULL,
    said bigint NOT NULL,
    text text COLLATE "C" NOT NULL,
    body bytea NOT NULL
);
-- Where the namespace is not all that is asked for, it does not come first: a planner that has no statistics yet would
-- take such an index for any question about a namespace, and walk through all of it.
CREATE INDEX versions_by_memory ON versions (memory_id, ns, retired);
CREATE INDEX versions_by_time ON versions (ns, create_time DESC, memory_id);
CREATE INDEX versions_by_user ON versions (ns, user_id, create_time DESC, memory_id) WHERE user_id IS NOT NULL;
CREATE INDEX versions_by_agent ON versions (ns, agent_id, create_time DESC, memory_id) WHERE agent_id IS NOT NULL;
CREATE INDEX versions_by_session ON versions (session_id, ns) WHERE session_id IS NOT NULL;
CREATE INDEX versions_by_turn ON versions (session_id, user_id, ns, turn) WHERE turn > 0;
CREATE INDEX versions_by_content ON versions (content, ns);
CREATE INDEX versions_by_said ON versions (said, ns) WHERE retired = 9007199254740991;
CREATE INDEX versions_expiring ON versions (gone)
    WHERE retired = 9007199254740991 AND gone < 9223372036854775807;

-- Values by family: 1 a string, 2 a number (exact, whether it was an integer or a float), 3 a truth value and 4 an
-- instant (both in `whole`), 5 a list (its encoded strings), 6 a string of a list.
CREATE TABLE metadata (
    key bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    family smallint NOT NULL,
    string text COLLATE "C",
    number numeric,
    whole bigint,
    list bytea
);
CREATE INDEX metadata_by_key ON metadata (key, name, family);
CREATE TABLE metadata_types (
    ns bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    family smallint NOT NULL,
    PRIMARY KEY (ns, name, family)
);

-- place: SHA-256 of the scope, as long as its ids may be.
CREATE TABLE turns (
    ns bigint NOT NULL,
    place bytea NOT NULL,
    user_id text COLLATE "C",
    agent_id text COLLATE "C",
    session_id text COLLATE "C",
    last bigint NOT NULL,
    PRIMARY KEY (ns, place)
);

-- Current memories by scope and speaker, and the revision that first counted; a counter that falls to 0 goes.
-- place: SHA-256 of speaker and scope.
CREATE TABLE speakers (
    ns bigint NOT NULL,
    place bytea NOT NULL,
    name text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    agent_id text COLLATE "C",
    session_id text COLLATE "C",
    first bigint NOT NULL,
    memories bigint NOT NULL,
    PRIMARY KEY (ns, place)
);
CREATE INDEX speakers_by_user ON speakers (ns, user_id);

-- first..last: revisions of the changes; first > last where there were none. mentions: ids of memories that the outcome
-- names beside those of the request's own changes.
CREATE TABLE idempotency (
    namespace text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    principal text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    revision bigint NOT NULL,
    outcome bytea NOT NULL,
    created bigint NOT NULL,
    mentions text[] COLLATE "C",
    PRIMARY KEY (namespace, request_id, principal, method)
);
CREATE INDEX idempotency_by_age ON idempotency (created);
CREATE INDEX idempotency_by_revision ON idempotency (namespace, last);
CREATE INDEX idempotency_mentioning ON idempotency (namespace) WHERE mentions IS NOT NULL;

-- Work of a projection: everything after `applied`, but for what `exceptions` says.
CREATE TABLE cursors (
    store smallint NOT NULL,
    ns bigint NOT NULL,
    applied bigint NOT NULL,
    PRIMARY KEY (store, ns)
) WITH (fillfactor = 50);
CREATE TABLE exceptions (
    store smallint NOT NULL,
    key bigint NOT NULL,
    attempts bigint NOT NULL,
    due bigint NOT NULL,
    given_up boolean NOT NULL,
    error text COLLATE "C" NOT NULL,
    PRIMARY KEY (store, key)
);

CREATE TABLE models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    dimension bigint NOT NULL,
    asymmetry boolean NOT NULL,
    UNIQUE (name, version, dimension, asymmetry)
);
CREATE TABLE vectors (
    ns bigint NOT NULL,
    content_hash bytea NOT NULL,
    model bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (ns, content_hash, model)
);
-- Compressing floats costs time and saves nothing.
ALTER TABLE vectors ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE kept_facts (
    key bigint PRIMARY KEY,
    memory_id text COLLATE "C" NOT NULL,
    born bigint NOT NULL,
    facts bytea NOT NULL
);

CREATE TABLE resets (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ns bigint NOT NULL,
    reset_id text COLLATE "C" NOT NULL,
    state smallint NOT NULL,
    executed boolean NOT NULL,
    body bytea NOT NULL,
    UNIQUE (ns, reset_id)
);
CREATE INDEX resets_by_state ON resets (state);
CREATE TABLE reset_memories (
    reset bigint NOT NULL,
    memory_id text COLLATE "C" NOT NULL,
    born bigint NOT NULL,
    PRIMARY KEY (reset, memory_id, born)
);

-- How often a memory that exists was returned, and when last. Not part of the log.
CREATE TABLE accesses (
    ns bigint NOT NULL,
    memory_id text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (ns, memory_id)
);
"""


def upgrade() -> None:
    """Makes the tables."""
    run_script(_TABLES)
