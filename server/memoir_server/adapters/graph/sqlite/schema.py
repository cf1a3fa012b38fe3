"""Tables of the embedded graph."""

from __future__ import annotations

from typing import Final

VERSION: Final = 2

TABLES: Final = """
CREATE TABLE IF NOT EXISTS versions (
    id INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, memory_id TEXT NOT NULL, revision INTEGER NOT NULL,
    retired INTEGER NOT NULL, user TEXT NOT NULL, agent TEXT NOT NULL, session TEXT NOT NULL,
    source_removed INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS versions_revision ON versions (namespace, revision);
CREATE INDEX IF NOT EXISTS versions_memory ON versions (namespace, memory_id, revision);
CREATE INDEX IF NOT EXISTS versions_owner ON versions (namespace, user, agent, session);

CREATE TABLE IF NOT EXISTS entities (
    id INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, entity_id TEXT NOT NULL, user TEXT NOT NULL,
    agent TEXT NOT NULL, type TEXT NOT NULL, name TEXT NOT NULL, sort TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS entities_identity ON entities (namespace, entity_id);
CREATE INDEX IF NOT EXISTS entities_sorted ON entities (namespace, sort, entity_id);
CREATE INDEX IF NOT EXISTS entities_owner ON entities (namespace, user, sort, entity_id);

CREATE TABLE IF NOT EXISTS mentions (
    entity INTEGER NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (entity, version)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mentions_version ON mentions (version);

CREATE TABLE IF NOT EXISTS names (
    id INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, user TEXT NOT NULL, name TEXT NOT NULL, agent TEXT NOT NULL,
    entity INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS names_owner ON names (namespace, user, name, agent, entity);
CREATE INDEX IF NOT EXISTS names_namespace ON names (namespace, name);
CREATE INDEX IF NOT EXISTS names_entity ON names (entity);
CREATE TABLE IF NOT EXISTS name_sources (
    name INTEGER NOT NULL, version INTEGER NOT NULL, written TEXT NOT NULL, PRIMARY KEY (name, version)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS name_sources_version ON name_sources (version);

CREATE TABLE IF NOT EXISTS relations (
    id INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, relation_id TEXT NOT NULL, subject INTEGER NOT NULL,
    predicate TEXT NOT NULL, object INTEGER NOT NULL, valid_from INTEGER
);
CREATE UNIQUE INDEX IF NOT EXISTS relations_identity ON relations (namespace, relation_id);
CREATE INDEX IF NOT EXISTS relations_subject ON relations (subject);
CREATE INDEX IF NOT EXISTS relations_object ON relations (object);
CREATE TABLE IF NOT EXISTS relation_sources (
    relation INTEGER NOT NULL, version INTEGER NOT NULL, confidence REAL NOT NULL, valid_until INTEGER,
    subject_name TEXT NOT NULL, object_name TEXT NOT NULL, PRIMARY KEY (relation, version)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS relation_sources_version ON relation_sources (version);
"""
# Rows of names come and go and never change: names.py counts on it.
# entities.name is the normalised name that the id is made of, `sort` what listings are ordered by.
# What a version says hangs on the version: names, mentions and sources come and go with it, at any moment of the
# ledger, in whatever order versions are applied. Entities, names and relations without any are deleted.
