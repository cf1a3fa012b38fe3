"""Keeps each request to an embedding service within what it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import numpy as np

from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vectors
from memoir_server.ports.embedder import Embedder

BYTES_PER_TOKEN = 3
"""Fewer than a token has on the average, so that a portion's real size is rarely above the estimate."""


class PortionedEmbedder(Embedder):
    """Splits calls into portions of at most `max_items` texts and about `max_tokens` tokens, which run side by side.

    Args:
        inner: Embeds a portion; closed together with this one.
        max_text_tokens: What a text counts at most: the model reads no more of it.

    Raises:
        ValueError: If an argument is below 1.
    """

    def __init__(self, inner: Embedder, *, max_items: int, max_tokens: int, max_text_tokens: int) -> None:
        for name, value in (("max_items", max_items), ("max_tokens", max_tokens), ("max_text_tokens", max_text_tokens)):
            if value < 1:
                raise ValueError(f"{name}={value}: give a number of at least 1")
        self._inner = inner
        self._max_items = max_items
        self._max_tokens = max_tokens
        self._max_text_tokens = max_text_tokens

    @property
    def model(self) -> EmbeddingModel:
        return self._inner.model

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        portions = list(self._portions(texts))
        if len(portions) <= 1:
            return await self._inner.embed(texts, kind=kind)
        tasks = [asyncio.ensure_future(self._inner.embed(portion, kind=kind)) for portion in portions]
        try:
            return np.concatenate(await asyncio.gather(*tasks))
        finally:
            # After a failure, or a cancellation: nobody wants the others any more.
            for task in tasks:
                task.cancel()

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        await self._inner.close()

    def _portions(self, texts: Sequence[str]) -> Iterator[list[str]]:
        portion: list[str] = []
        held = 0
        for text in texts:
            tokens = min(self._max_text_tokens, 1 + len(text.encode(errors="replace")) // BYTES_PER_TOKEN)
            if portion and (len(portion) == self._max_items or held + tokens > self._max_tokens):
                yield portion
                portion, held = [], 0
            portion.append(text)
            held += tokens
        if portion:
            yield portion
