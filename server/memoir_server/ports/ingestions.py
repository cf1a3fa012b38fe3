"""The part of the ledger that keeps accepted inference work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from memoir_server.domain.ingestion import Ingestion, IngestionState
from memoir_server.domain.memory import Scope
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.time import Instant


@dataclass(frozen=True, slots=True)
class IngestionPosition:
    """Place in a listing ordered by create_time descending, then ingestion_id ascending: after this one."""

    create_time: Instant
    ingestion_id: str


class Ingestions(ABC):
    """Accepted inference work, durable before `accept_ingestion` returns.

    Work on one owner (user and agent) is done in the order it was accepted: an ingestion that waits for its next
    attempt holds up the owner's later ones, and nobody else's. A reset cancels, in its own transaction, what was
    accepted of its target and is not done: FAILED, its work forgotten. An erasure takes the records themselves.
    Records of work that is over are kept for 30 days.
    """

    @abstractmethod
    async def accept_ingestion(self, ingestion: Ingestion, *, key: IdempotencyKey | None) -> Ingestion:
        """Keeps a PENDING ingestion. A duplicate request gets the ingestion accepted first, as it is by now; raises
        RequestIdReused for another payload, IngestionNotFound where the first was erased since."""

    @abstractmethod
    async def get_ingestion(self, namespace: str, ingestion_id: str) -> Ingestion:
        """Raises IngestionNotFound."""

    @abstractmethod
    async def list_ingestions(
        self,
        namespace: str,
        scope: Scope,
        states: Collection[IngestionState],
        *,
        after: IngestionPosition | None,
        limit: int,
    ) -> Sequence[Ingestion]:
        """One page in IngestionPosition order of those of the scope in one of the states (none given: all)."""

    @abstractmethod
    async def claim_ingestion(self, at_work: Collection[str], *, now: Instant) -> Ingestion | None:
        """Makes this server the one that works on an ingestion that is due, of those the one accepted first: PENDING,
        or RUNNING though nobody is at it, because its server does not live any more, or is this one and `at_work`,
        which names all that it is at, does not name it. Returns it as RUNNING, with one more attempt; None where there
        is none."""

    @abstractmethod
    async def postpone_ingestion(self, ingestion: Ingestion, *, until: Instant, error: str, now: Instant) -> None:
        """Gives a RUNNING ingestion back, to be tried again at `until`. Raises IngestionLost when it is not this
        attempt's any more."""

    @abstractmethod
    async def wait_for_ingestions(self, timeout: float) -> None:
        """Returns when an ingestion was accepted or has ended, after `timeout` seconds at most. Such news may be lost:
        look again after a while."""
