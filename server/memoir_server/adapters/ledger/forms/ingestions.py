"""Rows of ingestions, alike in both ledgers, and how long they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from memoir_server.domain.ingestion import Ingestion, IngestionState
from memoir_server.domain.memory import Scope

INGESTION_COLUMNS: Final = (
    "i.ingestion_id, i.user_id, i.agent_id, i.session_id, i.state, i.attempts, i.due, i.create_time, i.update_time, "
    "i.first, i.last, i.revision, i.error, i.work, i.outcome"
)
"""Of the table under the alias i, for `read_ingestion`."""

KEPT_US: Final = 30 * 24 * 3600 * 1_000_000
"""How long the record of work that is over is kept."""
FORGOTTEN_AT_ONCE: Final = 64
"""Old records that one acceptance lets go of, at most."""


def read_ingestion(namespace: str, row: Sequence[Any]) -> Ingestion:
    """An ingestion from INGESTION_COLUMNS."""
    ingestion_id, user_id, agent_id, session_id, state, attempts, due, created, updated, *rest = row
    first, last, revision, error, work, outcome = rest
    return Ingestion(
        namespace=namespace,
        ingestion_id=ingestion_id,
        scope=Scope(user_id, agent_id, session_id),
        state=IngestionState(state),
        attempts=attempts,
        due=due,
        create_time=created,
        update_time=updated,
        first=first,
        last=last,
        revision=revision,
        error=error,
        work=bytes(work),
        outcome=bytes(outcome),
    )


def values_of(ingestion: Ingestion) -> tuple[Any, ...]:
    """The values of INGESTION_COLUMNS, in their order."""
    scope = ingestion.scope
    return (
        ingestion.ingestion_id,
        scope.user_id,
        scope.agent_id,
        scope.session_id,
        int(ingestion.state),
        ingestion.attempts,
        ingestion.due,
        ingestion.create_time,
        ingestion.update_time,
        ingestion.first,
        ingestion.last,
        ingestion.revision,
        ingestion.error,
        ingestion.work,
        ingestion.outcome,
    )


def cancelled_by(reset_id: str) -> str:
    """Why an ingestion has failed that a reset has cancelled."""
    return f"cancelled by reset {reset_id} before it was done"
