"""The embedded graph: entities, relations and mentions in one SQLite file."""

from memoir_server.adapters.graph.sqlite.store import SqliteGraph

__all__ = ["SqliteGraph"]
