"""What is stored near to new facts: what they may repeat, complete or contradict."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from memoir_server.domain.embedding import EmbedKind, Vectors
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.filter import NOT_SAID
from memoir_server.domain.inference.reconciliation import MAX_OFFERED
from memoir_server.domain.memory import Memory, MemoryKind, Scope
from memoir_server.domain.mutation import ReadyVectors
from memoir_server.domain.selection import Selection
from memoir_server.domain.store import BreakerState, StoreKind
from memoir_server.domain.time import Instant
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable
from memoir_server.ports.index import IndexQuery, MemoryIndex
from memoir_server.ports.ledger import Ledger
from memoir_server.service.projector import Projector

COSINE: Final = 0.35
"""From which two texts may be about the same thing. Low: a contradiction missed is stored as a second truth, one that
is none costs a line of a question."""
NEAREST: Final = 6
"""Memories looked at for each fact."""
FORGET_NEAREST: Final = 16
"""Memories looked at for each request to forget, whatever their cosine: "forget my ex" is near to little."""
DEPTH: Final = 64
"""Entries of the owner that the index is asked for; episodes are among them."""
WAIT_SECONDS: Final = 1.0
"""Longest wait for the index to have what was written before."""
_UNAPPLIED: Final = 512
"""Memories that the index does not have yet, looked at one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is stored near to new facts, nearest first, as of `revision` or later; nothing written up to then is
    missing. `vectors` are those of the new memories, which the projector need not compute again."""

    revision: int
    memories: tuple[Memory, ...] = ()
    vectors: ReadyVectors | None = None


class Similar:
    """Looks among the current memories of one owner.

    Where the index or the embedder does not answer, the owner's newest memories stand for the nearest: the question to
    the model gets longer, no fact gets lost.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        index: MemoryIndex,
        embedder: Embedder,
        projector: Projector,
        cosine: float = COSINE,
        nearest: int = NEAREST,
    ) -> None:
        self._ledger = ledger
        self._index = index
        self._embedder = embedder
        self._projector = projector
        self._cosine = cosine
        self._nearest = nearest

    async def around(
        self, namespace: str, owner: Scope, memories: Sequence[Memory], forget: Sequence[str], now: Instant
    ) -> Surroundings:
        """Looks around new memories and around what is to be forgotten. Raises StoreUnavailable for the ledger."""
        head = await self._ledger.head(namespace)
        if not memories and not forget:
            return Surroundings(revision=head.revision)
        selection = Selection(scope=owner, reference=now, now=now)
        try:
            rows = await self._embed(memories, forget)
        except EmbedderUnavailable:
            return Surroundings(revision=head.revision, memories=await self._newest(namespace, selection))
        by_content = {memory.content_hash: row for memory, row in zip(memories, rows, strict=False)}
        vectors = ReadyVectors(self._embedder.model, by_content)
        try:
            found = await self._found(namespace, selection, rows, len(memories), head.revision)
        except StoreUnavailable as outage:
            if outage.store == "ledger":
                raise
            found = await self._newest(namespace, selection)
        return Surroundings(revision=head.revision, memories=found, vectors=vectors)

    async def _embed(self, memories: Sequence[Memory], forget: Sequence[str]) -> Vectors:
        # A request names what it is about as a statement would: both are compared with statements.
        texts = [memory.indexed_text for memory in memories] + list(forget)
        return await self._embedder.embed(texts, kind=EmbedKind.DOCUMENT)

    async def _found(
        self, namespace: str, selection: Selection, rows: Vectors, facts: int, revision: int
    ) -> tuple[Memory, ...]:
        if self._projector.breaker(StoreKind.INDEX).state is not BreakerState.CLOSED:
            raise StoreUnavailable("index", "it does not answer; its circuit breaker is open")
        level = await self._projector.wait_applied(StoreKind.INDEX, namespace, revision, WAIT_SECONDS)
        cosines: dict[int, float] = {}
        for each in await asyncio.gather(
            *(self._near(namespace, selection, row, forget=at >= facts) for at, row in enumerate(rows))
        ):
            for version, cosine in each.items():
                cosines[version] = max(cosine, cosines.get(version, -1.0))
        stored = await self._ledger.hydrate(namespace, list(cosines), selection)
        near = [(cosines[version], memory) for version, memory in stored.items()]
        if not level:
            near += await self._unapplied(namespace, selection, rows)
        return _nearest_first(near)

    async def _near(
        self, namespace: str, selection: Selection, vector: Vectors, *, forget: bool
    ) -> Mapping[int, float]:
        """Cosines of the nearest, by the version's revision."""
        query = IndexQuery(selection=selection, allowed=None, depth=DEPTH)
        candidates = await self._index.dense(namespace, vector, query)
        wanted = candidates.columns.kind != int(MemoryKind.EPISODE)
        if not forget:
            wanted &= candidates.cosine >= self._cosine
        revisions, cosines = candidates.columns.revision[wanted], candidates.cosine[wanted]
        order = np.argsort(-cosines, kind="stable")[: FORGET_NEAREST if forget else self._nearest]
        return dict(zip(revisions[order].tolist(), cosines[order].tolist(), strict=True))

    async def _unapplied(self, namespace: str, selection: Selection, rows: Vectors) -> list[tuple[float, Memory]]:
        """What the index does not have yet, compared here."""
        applied = await self._ledger.watermark(StoreKind.INDEX, namespace)
        born = await self._ledger.list_born(namespace, selection, after=applied, limit=_UNAPPLIED)
        fresh = [each.memory for each in born if each.memory.kind is not MemoryKind.EPISODE]
        if not fresh:
            return []
        vectors = await self._embedder.embed([memory.indexed_text for memory in fresh], kind=EmbedKind.DOCUMENT)
        best = (vectors @ rows.T).max(axis=1)
        return [(cosine, memory) for cosine, memory in zip(best.tolist(), fresh, strict=True) if cosine >= self._cosine]

    async def _newest(self, namespace: str, selection: Selection) -> tuple[Memory, ...]:
        known = Selection(scope=selection.scope, filter=NOT_SAID, reference=selection.reference, now=selection.now)
        return tuple(await self._ledger.list_memories(namespace, known, after=None, limit=MAX_OFFERED))


def _nearest_first(near: Iterable[tuple[float, Memory]]) -> tuple[Memory, ...]:
    ordered = sorted(near, key=lambda pair: (-round(pair[0], 6), pair[1].memory_id))
    return tuple({memory.memory_id: memory for _, memory in ordered}.values())
