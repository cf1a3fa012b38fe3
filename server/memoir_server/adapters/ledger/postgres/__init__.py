"""The ledger on PostgreSQL."""

from memoir_server.adapters.ledger.postgres.ledger import PostgresLedger
from memoir_server.adapters.ledger.postgres.options import PostgresOptions

__all__ = ["PostgresLedger", "PostgresOptions"]
