"""Building contexts: a search, the turns around what it found, and the text made of both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry import trace

from memoir_server.domain.context import Context, Found, budget_of, build_context
from memoir_server.domain.memory import Memory
from memoir_server.domain.search import Hit, PhaseReport, SearchSpec
from memoir_server.domain.selection import Selection
from memoir_server.ports.ledger import Ledger
from memoir_server.service.accesses import Accesses
from memoir_server.service.call import Call
from memoir_server.service.recalling import Recalling
from memoir_server.service.tracing import child_span

tracer = trace.get_tracer("memoir.contexts")

_INLINE_CHARACTERS: Final = 50_000
"""Texts longer than this in sum are laid out in a thread, so that other calls need not wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltContext:
    """A context and the search it rests on."""

    context: Context
    phases: tuple[PhaseReport, ...]
    revision: int


class Contexts:
    """Cited contexts. What they show is what the search itself may show, neighbouring turns included."""

    def __init__(self, recalling: Recalling, ledger: Ledger, accesses: Accesses) -> None:
        self._recalling = recalling
        self._ledger = ledger
        self._accesses = accesses

    async def build(
        self, namespace: str, spec: SearchSpec, call: Call, *, max_tokens: int, neighbours: int
    ) -> BuiltContext:
        """The context for a search. `neighbours` turns are added before and after each turn found; `max_tokens` as the
        request has it. What the context cites counts as accessed.

        Raises what Recalling.search raises.
        """
        result = await self._recalling.search(namespace, spec, call, counted=False)
        with child_span(tracer, "build context"):
            around = await self._around(namespace, spec, result.hits, result.revision, neighbours)
            found = [Found(hit, around.get(hit.memory.memory_id, ())) for hit in result.hits]
            context = await _laid_out(found, budget_of(max_tokens), show_owner=spec.scope.user_id is None)
        cited = dict.fromkeys(memory_id for part in context.parts for memory_id in part.memory_ids)
        self._accesses.note(namespace, tuple(cited), result.revision)
        return BuiltContext(context=context, phases=result.phases, revision=result.revision)

    async def _around(
        self, namespace: str, spec: SearchSpec, hits: Sequence[Hit], revision: int, neighbours: int
    ) -> Mapping[str, tuple[Memory, ...]]:
        """The neighbouring turns of each hit that has some, by the hit's id."""
        turns = [hit.memory for hit in hits if hit.memory.turn]
        if not turns or not neighbours:
            return {}
        selection = await self._recalling.selection_at(namespace, spec, revision)
        rows = [
            await self._ledger.neighbours(namespace, turn, before=neighbours, after=neighbours, now=selection.now)
            for turn in turns
        ]
        shown = await self._shown(namespace, {memory.memory_id: memory for row in rows for memory in row}, selection)
        return {
            turn.memory_id: tuple(shown[memory.memory_id] for memory in row if memory.memory_id in shown)
            for turn, row in zip(turns, rows, strict=True)
        }

    async def _shown(self, namespace: str, current: Mapping[str, Memory], selection: Selection) -> Mapping[str, Memory]:
        """Of these memories the versions that the selection covers, by id. The ledger's neighbours are those of today;
        a search of the past shows them as they were."""
        versions = (
            await self._ledger.get(namespace, list(current), revision=selection.revision, now=selection.now)
            if selection.past
            else current
        )
        revisions = [memory.revision for memory in versions.values()]
        covered = await self._ledger.hydrate(namespace, revisions, selection)
        return {memory.memory_id: memory for memory in covered.values()}


async def _laid_out(found: Sequence[Found], max_tokens: int, *, show_owner: bool) -> Context:
    size = sum(len(memory.text) for each in found for memory in (each.hit.memory, *each.neighbours))
    if size <= _INLINE_CHARACTERS:
        return build_context(found, max_tokens=max_tokens, show_owner=show_owner)
    return await asyncio.to_thread(build_context, found, max_tokens=max_tokens, show_owner=show_owner)
