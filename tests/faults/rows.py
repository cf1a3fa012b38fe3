"""Rows, nodes and relationships of one namespace, counted in the stores themselves: an entry twice, or one that belongs
to nothing, is one too many."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from stores.neo4j import Neo4j
from stores.postgresql import Postgresql

_COLUMNS: Final = {
    "ns": "ns = {ns}",
    "key": "key >> 40 = {ns}",
    "namespace": "namespace = '{name}'",
    "reset": "reset IN (SELECT id FROM memoir.resets WHERE ns = {ns})",
}
"""Columns that say whose a row is, and how."""
_LEFT_OUT: Final = ("vectors",)
"""A crash may leave out vectors in the ledger: a rebuild computes them again."""
_ORPHANS_ONLY: Final = {
    "accesses": "NOT EXISTS (SELECT FROM memoir.versions v WHERE v.ns = accesses.ns "
    "AND v.memory_id = accesses.memory_id AND v.retired = 9007199254740991)"
}
"""Kept now and then, so that a crash may leave out some: but none of what does not exist."""
_NODES: Final = """
MATCH (s:MemoirNamespace {graph: $graph, name: $name}) MATCH (n) WHERE n.space = s.space
RETURN labels(n)[0] AS what, count(*) ORDER BY what
"""
_EDGES: Final = """
MATCH (s:MemoirNamespace {graph: $graph, name: $name}) MATCH (n)-[r]->() WHERE n.space = s.space
RETURN type(r) AS what, count(*) ORDER BY what
"""


def ledger_rows(server: Postgresql, url: str, namespace: str) -> dict[str, int]:
    """Rows of each table of the ledger by "ledger.TABLE". `namespace`: letters, digits and hyphens."""
    database = urlsplit(url).path.removeprefix("/")
    columns = ", ".join(f"'{name}'" for name in _COLUMNS)
    found = server.query(
        "SELECT table_name, min(column_name) FROM information_schema.columns "
        f"WHERE table_schema = 'memoir' AND column_name IN ({columns}) GROUP BY table_name ORDER BY table_name",
        database=database,
    )
    number = server.query(f"SELECT ns FROM memoir.namespaces WHERE name = '{namespace}'", database=database)
    counting = [
        f"SELECT '{table}', count(*) FROM memoir.{table} "
        f"WHERE {_COLUMNS[column].format(ns=number, name=namespace)} AND {_ORPHANS_ONLY.get(table, 'true')}"
        for table, column in (line.split("|") for line in found.splitlines())
        if table not in _LEFT_OUT
    ]
    counted = server.query(" UNION ALL ".join(counting), database=database)
    return {f"ledger.{table}": int(count) for table, count in (line.split("|") for line in counted.splitlines())}


def graph_rows(server: Neo4j, graph: str, namespace: str) -> dict[str, int]:
    """Nodes by "graph.LABEL" and relationships by "graph.TYPE"."""
    found = [row for query in (_NODES, _EDGES) for row in server.query(query, graph=graph, name=namespace)]
    return {f"graph.{what}": int(str(count)) for what, count in found}
