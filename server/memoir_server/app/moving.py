"""Builds a move: from a data directory of the embedded profile to the stores that settings name."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from memoir_server.adapters.embedder.cached import CachedEmbedder
from memoir_server.adapters.ledger.sqlite.copying import SqliteLedgerSource
from memoir_server.app.adapters import build_adapters
from memoir_server.app.clock import SystemClock, UuidV7
from memoir_server.app.composition import build_embedder
from memoir_server.app.settings import Settings, SettingsError
from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vector, Vectors
from memoir_server.domain.move import MoveItem
from memoir_server.domain.store import StoreKind
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.ledger_copy import MoveTarget
from memoir_server.service.doctor import Doctor
from memoir_server.service.moving import Destination, MoveOptions, Moving
from memoir_server.service.projector import Projector


class _Counting(Embedder):
    """Counts the documents that are embedded."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.texts = 0

    @property
    def model(self) -> EmbeddingModel:
        return self._inner.model

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        self.texts += len(texts)
        return await self._inner.embed(texts, kind=kind)

    def at_hand(self, text: str, *, kind: EmbedKind) -> Vector | None:
        return self._inner.at_hand(text, kind=kind)

    async def purge(self, texts: Sequence[str]) -> None:
        await self._inner.purge(texts)

    async def close(self) -> None:
        await self._inner.close()


async def move(directory: Path, settings: Settings, options: MoveOptions) -> AsyncGenerator[MoveItem, None]:
    """Moves what an embedded server keeps in a directory into the stores of the settings, and tells how far it is.

    Raises:
        SettingsError: The ledger of the settings is none that can be moved into.
        MoveRefused: See Moving.run.
        StoreUnavailable: See Moving.run.
        ModelError: The embedding model of the settings cannot be used.
    """
    adapters = build_adapters(settings, os.urandom)
    if not isinstance(adapters.ledger, MoveTarget):
        raise SettingsError(
            "ledger.adapter",
            settings.stores.adapters[0],
            "is not a store that can be moved into",
            'name the settings of the distributed profile, whose ledger is "postgresql"',
        )
    target = adapters.ledger.move_target()
    ledger, clock = target.ledger(), SystemClock()
    embedder = _Counting(build_embedder(settings))
    cached = CachedEmbedder(embedder, adapters.cache)
    projector = Projector(ledger=ledger, index=adapters.index, graph=adapters.graph, embedder=cached, clock=clock)
    projections = {StoreKind.INDEX: adapters.index, StoreKind.GRAPH: adapters.graph}
    destination = Destination(
        target=target,
        ledger=ledger,
        projections=projections,
        projector=projector,
        doctor=Doctor(ledger=ledger, projections=projections, embedder=cached, projector=projector, clock=clock),
        model=cached.model,
        embedded=lambda: embedder.texts,
    )
    moving = Moving(SqliteLedgerSource(directory), destination, clock, UuidV7(), options)
    try:
        async with aclosing(moving.run()) as items:
            async for item in items:
                yield item
    finally:
        await cached.close()
