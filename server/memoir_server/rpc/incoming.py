"""One call as the services see it, after the interceptors have looked at it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from memoir_server.domain.change import Actor
from memoir_server.domain.making import maker
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.store import Durability
from memoir_server.rpc.refusals import RequestInvalid
from memoir_server.service.call import Call, make_call


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """Who calls which method, in which namespace (already resolved and permitted), and until when.

    `deadline` is a reading of the event loop's clock, in seconds.
    """

    method: str
    namespace: str
    actor: Actor
    deadline: float
    permit: Callable[[str], str]
    """Resolves a namespace ("": the caller's default); raises PermissionDenied. For streams, which name theirs only
    after the call has begun; `namespace` is the default until then."""
    traceparent: str = ""
    refused_items: Mapping[int, RequestInvalid] = field(default_factory=dict)
    """Items of a partial batch that break the contract, by position."""

    def reading(self) -> Call:
        """The service's view of a read."""
        return make_call(deadline=self.deadline, actor=self.actor, traceparent=self.traceparent)

    def mutating(self, request: Any, durability: int = 0) -> Call:
        """The service's view of a mutation. `request` has a request_id, which is cleared: what is left is the payload
        that a duplicate must repeat (semantics 7). Reads of other fields are not affected."""
        request_id: str = request.request_id
        idempotency = None
        if request_id:
            request.request_id = ""
            # Spelling the default namespace out, or leaving it away, is the same request.
            request.namespace = self.namespace
            idempotency = IdempotencyKey(
                principal=self.actor.principal,
                namespace=self.namespace,
                method=self.method,
                request_id=request_id,
                fingerprint=hashlib.sha256(request.SerializeToString(deterministic=True)).digest(),
            )
        return Call(
            deadline=self.deadline,
            actor=self.actor,
            request_id=request_id,
            traceparent=self.traceparent,
            idempotency=idempotency,
            durability=Durability.ACCEPTED if durability == Durability.ACCEPTED else Durability.INDEXED,
        )


make_incoming = maker(Incoming)
"""`Incoming`, where many are made."""
