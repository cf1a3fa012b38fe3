"""Nodes, edges, constraints and indexes of the graph in Neo4j.

    (MemoirNamespace)      one for each namespace, with the cursor; its `space` is on every node of the namespace
    (MemoirVersion)        a version of a memory that mentions something
      -[:MENTIONS]->       (MemoirEntity)
      -[:SPELLS]->         (MemoirName) -[:NAMES]-> (MemoirEntity)
      -[:STATES]->         (MemoirRelation) -[:SUBJECT]-> and -[:OBJECT]-> (MemoirEntity)

What a version says hangs on the version and goes with it. Entities, names and relations without any are deleted.

The Community edition has one database and no node keys. So the namespace is a property of every node, `space`, and part
of every pattern, constraint and index. A space is a random id given to a namespace when it is first written to: a
namespace that is dropped and made again shares nothing with what is still being cleaned up, and no namespace's name is
compared in part with another's.
"""

from __future__ import annotations

from typing import Final

NODES: Final = ("MemoirVersion", "MemoirRelation", "MemoirName", "MemoirEntity")
"""Labels of what belongs to a namespace, in the order of deletion."""

KEY_CHARACTERS: Final = 128
"""Length of `MemoirName.key`, the indexed beginning of a name: an index takes about 8,000 bytes, and normalising can
make a name longer than that."""

LAWS: Final = {
    "memoir_graph": "CONSTRAINT memoir_graph IF NOT EXISTS FOR (n:MemoirGraph) REQUIRE n.name IS UNIQUE",
    "memoir_namespace": (
        "CONSTRAINT memoir_namespace IF NOT EXISTS FOR (n:MemoirNamespace) REQUIRE (n.graph, n.name) IS UNIQUE"
    ),
    "memoir_space": "CONSTRAINT memoir_space IF NOT EXISTS FOR (n:MemoirNamespace) REQUIRE n.space IS UNIQUE",
    "memoir_namespace_graph": "INDEX memoir_namespace_graph IF NOT EXISTS FOR (n:MemoirNamespace) ON (n.graph)",
    "memoir_version": (
        "CONSTRAINT memoir_version IF NOT EXISTS FOR (n:MemoirVersion) REQUIRE (n.space, n.revision) IS UNIQUE"
    ),
    "memoir_version_memory": (
        "INDEX memoir_version_memory IF NOT EXISTS FOR (n:MemoirVersion) ON (n.space, n.memory_id, n.revision)"
    ),
    "memoir_version_user": (
        "INDEX memoir_version_user IF NOT EXISTS FOR (n:MemoirVersion) ON (n.space, n.user, n.revision)"
    ),
    "memoir_entity": (
        "CONSTRAINT memoir_entity IF NOT EXISTS FOR (n:MemoirEntity) REQUIRE (n.space, n.entity_id) IS UNIQUE"
    ),
    "memoir_entity_sort": (
        "INDEX memoir_entity_sort IF NOT EXISTS FOR (n:MemoirEntity) ON (n.space, n.sort, n.entity_id)"
    ),
    "memoir_entity_user": (
        "INDEX memoir_entity_user IF NOT EXISTS FOR (n:MemoirEntity) ON (n.space, n.user, n.sort, n.entity_id)"
    ),
    "memoir_name": "INDEX memoir_name IF NOT EXISTS FOR (n:MemoirName) ON (n.space, n.key)",
    "memoir_name_user": "INDEX memoir_name_user IF NOT EXISTS FOR (n:MemoirName) ON (n.space, n.user, n.key)",
    "memoir_relation": (
        "CONSTRAINT memoir_relation IF NOT EXISTS FOR (n:MemoirRelation) REQUIRE (n.space, n.relation_id) IS UNIQUE"
    ),
}
"""What CREATE is followed by, by the name of the index that results."""


def id_key(value: str | None) -> str:
    """An id as a property that is compared: Neo4j has no property that is null. None is empty, "x" is "=x"."""
    return "" if value is None else f"={value}"


def key_id(key: str) -> str | None:
    """The id behind a key of `id_key`."""
    return key[1:] if key else None
