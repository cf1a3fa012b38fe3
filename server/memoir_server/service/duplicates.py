"""The cosine guard: whether a memory's text is so near to that of a current one that it need not be stored.

Best effort, before the transaction: two writes at the same moment do not see each other here, and what is not indexed
yet is not found. The exact guard is the ledger's, inside the transaction, and has no such gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from opentelemetry import metrics

from memoir_server.domain.duplicate import Thresholds, stands_for
from memoir_server.domain.embedding import EmbedKind
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Memory
from memoir_server.domain.mutation import ReadyVectors
from memoir_server.domain.selection import Selection
from memoir_server.domain.store import BreakerState, StoreKind
from memoir_server.domain.time import Instant
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable
from memoir_server.ports.index import IndexQuery, MemoryIndex
from memoir_server.ports.ledger import Ledger
from memoir_server.service.call import Call
from memoir_server.service.projector import Projector

WAIT_SECONDS: Final = 1.0
"""Longest that a write waits for the guard, with WAIT_PER_TEXT_SECONDS more for each text, but no more than half of
what its deadline leaves."""
WAIT_PER_TEXT_SECONDS: Final = 0.05
DEPTH: Final = 64
"""Nearest entries of the owner that are looked at, of whatever kind."""

_meter = metrics.get_meter("memoir_server.duplicates")
_skipped_counter = _meter.create_counter(
    "memoir.duplicates.skipped", "{write}", "Writes that the cosine guard let pass because it could not look"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearby:
    """A memory near enough to another's text: a stored one, or the one at a position of the same batch."""

    cosine: float
    memory: Memory | None = None
    position: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """What the guard found, nearest first, by position in the batch; `skipped` when it could not look."""

    found: Mapping[int, Sequence[Nearby]] = field(default_factory=dict)
    vectors: ReadyVectors | None = None
    """The texts' vectors, which the projector need not compute again."""
    skipped: bool = False

    @property
    def memory_ids(self) -> list[str]:
        """Ids of the stored memories found."""
        return [near.memory.memory_id for each in self.found.values() for near in each if near.memory is not None]


class CosineGuard:
    """Compares new memories with the current ones of the same owner and kind, and with those of the same batch."""

    def __init__(
        self, *, ledger: Ledger, index: MemoryIndex, embedder: Embedder, projector: Projector, thresholds: Thresholds
    ) -> None:
        self._ledger = ledger
        self._index = index
        self._embedder = embedder
        self._projector = projector
        self._thresholds = thresholds

    def on(self, namespace: str) -> bool:
        """Whether the namespace has a guard."""
        return self._thresholds.of(namespace) > 0

    async def near(self, namespace: str, memories: Mapping[int, Memory], now: Instant, call: Call) -> Nearness:
        """Looks for memories near to these, given by position. Never raises: an embedder or index that is down or slow
        gives `skipped`."""
        if not memories or not self.on(namespace):
            return Nearness()
        try:
            if self._projector.breaker(StoreKind.INDEX).state is not BreakerState.CLOSED:
                raise StoreUnavailable("index", "it does not answer; its circuit breaker is open")
            limit = min(WAIT_SECONDS + WAIT_PER_TEXT_SECONDS * len(memories), call.remaining() / 2)
            async with asyncio.timeout(limit):
                return await self._near(namespace, memories, now)
        except (StoreUnavailable, EmbedderUnavailable, TimeoutError):
            _skipped_counter.add(1)
            return Nearness(skipped=True)

    async def _near(self, namespace: str, memories: Mapping[int, Memory], now: Instant) -> Nearness:
        positions = list(memories)
        rows = await self._embedder.embed([m.indexed_text for m in memories.values()], kind=EmbedKind.DOCUMENT)
        threshold = self._thresholds.of(namespace)
        found: dict[int, list[Nearby]] = {}
        for position, row in zip(positions, rows, strict=True):
            found[position] = await self._stored(namespace, memories[position], row, threshold, now)
        # Rounded as the index rounds.
        cosines = np.round((rows @ rows.T).astype(np.float64), 6)
        for later, earlier in zip(*np.nonzero(np.tril(cosines >= threshold, -1)), strict=True):
            if stands_for(memories[positions[earlier]], memories[positions[later]]):
                near = Nearby(cosine=float(cosines[later, earlier]), position=positions[earlier])
                found[positions[later]].append(near)
        for each in found.values():
            each.sort(key=_nearest_first)
        vectors = {m.content_hash: row for m, row in zip(memories.values(), rows, strict=True)}
        return Nearness(found=found, vectors=ReadyVectors(self._embedder.model, vectors))

    async def _stored(
        self, namespace: str, memory: Memory, vector: NDArray[np.float32], threshold: float, now: Instant
    ) -> list[Nearby]:
        selection = Selection(scope=memory.scope.owner, reference=now, now=now)
        query = IndexQuery(selection=selection, allowed=None, depth=DEPTH)
        candidates = await self._index.dense(namespace, vector, query)
        close = (candidates.cosine >= threshold) & (candidates.columns.kind == int(memory.kind))
        cosines = dict(zip(candidates.columns.revision[close].tolist(), candidates.cosine[close].tolist(), strict=True))
        if not cosines:
            return []
        # The ledger decides what exists, as in every read of the index.
        stored = await self._ledger.hydrate(namespace, list(cosines), selection)
        return [
            Nearby(cosine=cosines[revision], memory=known)
            for revision, known in stored.items()
            if stands_for(known, memory)
        ]


def _nearest_first(near: Nearby) -> tuple[float, int, str]:
    return (-near.cosine, near.position, near.memory.memory_id if near.memory else "")
