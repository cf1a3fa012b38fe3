"""Who has memories."""

from __future__ import annotations

from collections.abc import Sequence

from memoir_server.domain.memory import Scope
from memoir_server.domain.scopes import ScopeCount, ScopeDimension
from memoir_server.ports.clock import Clock
from memoir_server.ports.ledger import Ledger


class Scopes:
    """Users, agents and sessions, with counts. Answered by the ledger alone."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def page(
        self, namespace: str, dimension: ScopeDimension, within: Scope, *, after: str, limit: int
    ) -> Sequence[ScopeCount]:
        """One page, by id in code point order, after an id ("": from the beginning)."""
        return await self._ledger.scopes(namespace, dimension, within, after=after, limit=limit, now=self._clock.now())
