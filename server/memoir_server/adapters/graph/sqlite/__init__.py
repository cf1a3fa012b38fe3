"""The embedded graph: entities, relations and mentions in one SQLite file."""

from memoir_server.adapters.graph.sqlite.store import GRAPH_FILE, SqliteGraph

__all__ = ["GRAPH_FILE", "SqliteGraph"]
