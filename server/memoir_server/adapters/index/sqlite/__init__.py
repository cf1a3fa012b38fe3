"""The embedded index: one SQLite file, with what is in use held in memory as columns."""

from memoir_server.adapters.index.sqlite.store import INDEX_FILE, SqliteIndex

__all__ = ["INDEX_FILE", "SqliteIndex"]
