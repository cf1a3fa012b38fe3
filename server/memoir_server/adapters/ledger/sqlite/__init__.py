"""The ledger in one SQLite file."""

from memoir_server.adapters.ledger.sqlite.ledger import SqliteLedger

__all__ = ["SqliteLedger"]
