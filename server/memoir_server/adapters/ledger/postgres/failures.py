"""Naming what goes wrong with the database, without its secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors

from memoir_server.domain.errors import StoreUnavailable

LOST_RACES: Final = (errors.SerializationFailure, errors.DeadlockDetected)
"""The transaction is undone, and may be run again."""

_REASONS: Final[tuple[tuple[type[psycopg.Error], str], ...]] = (
    (errors.DiskFull, "its disk is full; free space and try again"),
    (errors.TooManyConnections, "it has no connection left; raise max_connections or lower most_connections"),
    (errors.QueryCanceled, "a statement took too long or was cancelled"),
    (errors.LockNotAvailable, "a lock was not to be had in time"),
    (errors.ReadOnlySqlTransaction, "it takes no writes; connect to the primary server"),
    (errors.InsufficientPrivilege, "the role lacks a privilege; let it own the ledger's schema"),
    (errors.InvalidPassword, "the login is refused; check user and password"),
    (errors.InvalidAuthorizationSpecification, "the login is refused; check user and password"),
    (errors.InvalidCatalogName, "the database does not exist; create it"),
    (errors.InvalidSchemaName, "the ledger's schema is gone; restore a backup"),
    (errors.UndefinedTable, "a table of the ledger is gone; restore a backup"),
    (errors.DataCorrupted, "its data is damaged; restore a backup"),
    (errors.IndexCorrupted, "an index is damaged; run REINDEX, or restore a backup"),
    (errors.ObjectNotInPrerequisiteState, "it is not ready for this statement"),
    (psycopg.OperationalError, "the connection failed"),
    (psycopg.InterfaceError, "the connection is closed"),
    (psycopg.InternalError, "it failed inside"),
)


def explain(error: psycopg.Error) -> StoreUnavailable | None:
    """The failure of the store behind an error of the client; None when the error is a defect of ours."""
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return StoreUnavailable("ledger", f"{reason} ({detail_of(error)})")
    return None


def detail_of(error: psycopg.Error) -> str:
    """The server's own words, or the client's, in one line. Neither holds the password."""
    said = error.diag.message_primary if error.diag.message_primary else str(error)
    words = " ".join(said.split()) or type(error).__name__
    return f"{error.sqlstate}: {words}" if error.sqlstate else words


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the client that mean an unusable store become StoreUnavailable."""
    try:
        yield
    except psycopg.Error as error:
        unavailable = explain(error)
        if unavailable is None:
            raise
        raise unavailable from error
    except TimeoutError as error:
        raise StoreUnavailable("ledger", "it does not answer in time") from error
