"""How the ledger finds its database, and how long it waits for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,47}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresOptions:
    """Settings of one ledger.

    Attributes:
        url: A libpq connection URL or string, with the credentials. Never shown. Several hosts with
            target_session_attrs=read-write follow a primary; a pooler in between must pool sessions.
        schema: The schema that holds the tables; made when it does not exist. Lower-case letters, digits, underscores.
        most_connections: Connections of this server at most, without the one that listens.
        fewest_connections: Connections that are kept open when nothing is asked.
        most_waiting: Calls that may wait for a connection; one more fails at once.
        connect_seconds: Longest that one attempt to connect takes.
        wait_seconds: Longest that a call waits for a connection.
        statement_seconds: Longest that one statement runs, its wait for locks included.
        poll_seconds: How often the heads of namespaces that are waited for are read, whatever was notified.
        lease_seconds: For how long a server that is not heard of keeps its leases; equal on all servers.
        attempts: How often a transaction is run that loses against another (deadlock, serialisation failure).

    Raises ValueError for values that cannot work.
    """

    url: str = field(repr=False)
    schema: str = "memoir"
    most_connections: int = 16
    fewest_connections: int = 2
    most_waiting: int = 1000
    connect_seconds: float = 5.0
    wait_seconds: float = 5.0
    statement_seconds: float = 30.0
    poll_seconds: float = 0.1
    lease_seconds: float = 10.0
    attempts: int = 8

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.schema) is None or self.schema.startswith("pg_"):
            raise ValueError(
                f"schema {self.schema!r} cannot be used; take up to 48 lower-case letters, digits and underscores, "
                "not beginning with a digit or pg_"
            )
        if not 0 <= self.fewest_connections <= self.most_connections or self.most_connections < 1:
            raise ValueError(
                f"fewest_connections is {self.fewest_connections} and most_connections {self.most_connections}; "
                "give 0 <= fewest <= most, and at least 1 as the most"
            )
        for name in ("connect_seconds", "wait_seconds", "statement_seconds", "poll_seconds", "lease_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give more than 0 seconds")
        if self.attempts < 1 or self.most_waiting < 1:
            raise ValueError("attempts and most_waiting are at least 1")
