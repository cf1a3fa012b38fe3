"""Answers of adds in mode INFER: from what was committed, now or under the same request before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from memoir_server.domain.change import Actor, ActorKind, Origin
from memoir_server.domain.errors import MemoirError
from memoir_server.domain.memory import Memory
from memoir_server.domain.mutation import Committed, Decision, Mutation
from memoir_server.ports.clock import Clock
from memoir_server.ports.ledger import Ledger
from memoir_server.service.call import Call
from memoir_server.service.freshness import Freshness
from memoir_server.service.inferred import Inferred, decode_inferred, decode_record


class _NothingYet(MemoirError):
    """Nothing was committed under the key. Never leaves this file."""


class Answers:
    """Makes them."""

    def __init__(self, ledger: Ledger, freshness: Freshness, clock: Clock) -> None:
        self._ledger = ledger
        self._freshness = freshness
        self._clock = clock

    async def of(self, namespace: str, call: Call, committed: Committed, known: Mapping[str, Memory]) -> Inferred:
        """The answer to a commit, once the projections have it as the call's durability asks. `known` are the memories
        that were named and not changed."""
        durability = await self._freshness.after_write(namespace, committed.revision, call)
        there = dict(known)
        lacking = [i for i in decode_record(committed.outcome).unchanged if i not in there]
        if lacking:
            # The first answer showed them as they were then.
            now = self._clock.now()
            there.update(await self._ledger.get(namespace, lacking, revision=committed.revision, now=now))
        inferred = decode_inferred(committed.outcome, committed.changes, there)
        return replace(inferred, revision=committed.revision, durability=durability)

    async def replayed(self, namespace: str, call: Call) -> Inferred | None:
        """The answer to a request that was carried out before; None where it was not, or has no id. Raises
        RequestIdReused."""
        if call.idempotency is None:
            return None

        def decide(found: Mapping[str, Memory]) -> Decision:
            raise _NothingYet

        mutation = Mutation(
            namespace=namespace,
            memory_ids=(),
            decide=decide,
            now=self._clock.now(),
            origin=origin_of(call),
            idempotency=call.idempotency,
        )
        try:
            committed = await self._ledger.commit(mutation)
        except _NothingYet:
            return None
        return await self.of(namespace, call, committed, {})


def origin_of(call: Call) -> Origin:
    """As recorded with each change: the caller's principal, and that a model was between."""
    return replace(call.origin, actor=Actor(call.actor.principal, ActorKind.EXTRACTOR))
