"""Keeping the messages of an add as they are, because inference came to nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from opentelemetry import metrics

from memoir_server.domain.change import Draft, EventType
from memoir_server.domain.conversation import Message
from memoir_server.domain.inference.order import Order
from memoir_server.domain.inference.planning import Action
from memoir_server.domain.inference.usage import Usage
from memoir_server.domain.ingestion import IngestionEnd
from memoir_server.domain.memory import Memory
from memoir_server.domain.mutation import Decision, Mutation
from memoir_server.ports.clock import Clock, IdSource
from memoir_server.ports.ledger import Ledger
from memoir_server.service.answering import Answers, origin_of
from memoir_server.service.call import Call
from memoir_server.service.episodes import Episodes
from memoir_server.service.inferred import Inferred, ItemRecord, Record, decode_inferred, would_be

_kept = metrics.get_meter("memoir_server.keeping").create_counter(
    "memoir.inference.kept", "{add}", "Adds in mode INFER whose messages were kept as they are"
)


class Keeping:
    """Makes an EPISODE of each message; why, stands in the answer and in the history."""

    def __init__(self, ledger: Ledger, answers: Answers, clock: Clock, ids: IdSource) -> None:
        self._ledger = ledger
        self._answers = answers
        self._clock = clock
        self._ids = ids

    async def keep(
        self,
        order: Order,
        messages: Sequence[Message],
        call: Call,
        why: str,
        *,
        ending: IngestionEnd | None,
        usage: Usage | None,
        validate_only: bool,
    ) -> Inferred:
        """Keeps the messages, which are those of the order with what the policy hides masked.

        Raises IngestionLost, StoreUnavailable.
        """
        now = self._clock.now()
        episodes = Episodes(order.namespace, order.scope, messages, order.metadata, self._ids, order.accepted)
        reason = f"kept as it was said: {why}"
        # The history tells of accepted work that was given up.
        given_up = [_given_up(ending, why)] if ending is not None else []

        def decide(found: Mapping[str, Memory]) -> Decision:
            settled = episodes.settle(found, reason=reason)
            items = [
                ItemRecord(int(Action.ADDED), memory_id, reason, "")
                if duplicate is None
                else ItemRecord(int(Action.UNCHANGED), memory_id, "already known", "", exact=True)
                for memory_id, duplicate in zip(settled.ids, settled.duplicates, strict=True)
            ]
            record = Record(items=items, usage=usage or Usage(), kept=why)
            return Decision([*settled.drafts, *given_up], record.encoded(), settled.mentions)

        if validate_only:
            head = await self._ledger.head(order.namespace)
            stored = await self._ledger.twins(order.namespace, episodes.twins, now=now)
            decision = decide({memory.memory_id: memory for memory in stored})
            changes = would_be(order.namespace, decision.drafts, now)
            return replace(decode_inferred(decision.outcome, changes, episodes.known), revision=head.revision)
        _kept.add(1)
        committed = await self._ledger.commit(
            Mutation(
                namespace=order.namespace,
                memory_ids=[*episodes.memory_ids, *(draft.memory_id for draft in given_up)],
                decide=decide,
                now=now,
                origin=origin_of(call),
                idempotency=call.idempotency,
                twins=episodes.twins,
                ingestion=ending,
            )
        )
        return await self._answers.of(order.namespace, call, committed, episodes.known)


def _given_up(ending: IngestionEnd, why: str) -> Draft:
    return Draft(type=EventType.FAILED, memory_id="", reason=f"ingestion {ending.ingestion_id}: {why}")
