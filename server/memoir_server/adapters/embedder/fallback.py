"""Several places that run one embedding model, asked in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import numpy as np

from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vectors
from memoir_server.ports.embedder import Embedder, EmbedderMismatch, EmbedderUnavailable

logger = logging.getLogger(__name__)

PROBES: Final = ("Anna moved to Lisbon in March.", "The parser fails on nested quotes.", "猫が好きです")
"""Texts that tell models apart."""
LEAST_COSINE: Final = 0.98
"""Of one text's vectors from two places. Number formats and libraries cost less than 0.01; other weights give far
less."""


class FallbackEmbedder(Embedder):
    """Asks the first place that answers. Places that give other vectors than the first one checked are never used.

    Each place is checked before its first use: it embeds `PROBES`, and the vectors are compared.

    Args:
        places: In the order of preference; all of one model. Closed together with this one.
        names: What to call them in an error, one for each.

    Raises:
        ValueError: If there is no place, or their models differ.
    """

    def __init__(self, places: Sequence[Embedder], names: Sequence[str]) -> None:
        if not places:
            raise ValueError("places=(): give at least one")
        if any(place.model != places[0].model for place in places):
            raise ValueError(f"places: give places of one model, not of {', '.join(str(p.model) for p in places)}")
        self._places = tuple(places)
        self._names = tuple(names)
        self._reference: Vectors | None = None
        self._checked: dict[int, EmbedderMismatch | None] = {}
        self._checking = asyncio.Lock()

    @property
    def model(self) -> EmbeddingModel:
        return self._places[0].model

    async def open(self) -> None:
        for position, name in enumerate(self._names):
            try:
                await self._check(position)
            except EmbedderMismatch:
                raise
            except EmbedderUnavailable as outage:
                logger.warning("%s is not checked yet: %s", name, outage)

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        failures: list[EmbedderUnavailable] = []
        for position, place in enumerate(self._places):
            try:
                await self._check(position)
                return await place.embed(texts, kind=kind)
            except EmbedderUnavailable as failure:
                failures.append(failure)
        # One that may pass tells more about when to come back than one that will not.
        raise next((failure for failure in failures if not failure.lasting), failures[0])

    async def close(self) -> None:
        for place in self._places:
            await place.close()

    async def _check(self, position: int) -> None:
        if position not in self._checked:
            async with self._checking:
                if position not in self._checked:
                    await self._compare(position)
        if (mismatch := self._checked[position]) is not None:
            raise mismatch

    async def _compare(self, position: int) -> None:
        """Raises EmbedderUnavailable while the place does not answer; keeps the result otherwise."""
        try:
            vectors = await self._places[position].embed(PROBES, kind=EmbedKind.DOCUMENT)
        except EmbedderMismatch as mismatch:
            self._checked[position] = mismatch
            return
        if self._reference is None:
            self._reference = vectors
        cosines = np.einsum("ij,ij->i", self._reference, vectors)
        self._checked[position] = None
        if float(cosines.min()) < LEAST_COSINE:
            name = self._names[position]
            self._checked[position] = EmbedderMismatch(
                str(self.model),
                f"{name} gives other vectors than the place before it (cosine {float(cosines.min()):.2f})",
                "let every place run the same model, with the same prefixes and the same pooling",
                key="embedder.fallbacks",
                value=name,
            )
