"""What a use case knows of the call it serves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from memoir_server.domain.change import Actor, Origin
from memoir_server.domain.making import maker
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.store import Durability

MAX_WAIT_SECONDS = 2.0
"""Longest that a committed write waits for the projections, unless the operator says otherwise (semantics 4)."""
RESPONSE_RESERVE_SECONDS = 0.2
"""Kept of the caller's deadline for the way back (semantics 4)."""
DEFAULT_DEADLINE_SECONDS = 30.0
"""For callers that set no deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: who, until when, and under which idempotency key.

    `deadline` is a reading of the event loop's clock, in seconds.
    """

    deadline: float
    actor: Actor = field(default_factory=Actor)
    request_id: str = ""
    traceparent: str = ""
    idempotency: IdempotencyKey | None = None
    durability: Durability = Durability.INDEXED

    @property
    def origin(self) -> Origin:
        """As recorded with each change."""
        return Origin(actor=self.actor, request_id=self.request_id, traceparent=self.traceparent)

    def remaining(self) -> float:
        """Seconds until the deadline; never negative."""
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    def write_wait(self, longest: float = MAX_WAIT_SECONDS) -> float:
        """Seconds that a committed write may wait for the projections: min(deadline - 200 ms, longest)."""
        return max(0.0, min(self.remaining() - RESPONSE_RESERVE_SECONDS, longest))

    def read_wait(self) -> float:
        """Seconds that a read may wait for freshness: what leaves time to answer."""
        return max(0.0, self.remaining() - RESPONSE_RESERVE_SECONDS)


make_call = maker(Call)
"""`Call`, where many are made."""
