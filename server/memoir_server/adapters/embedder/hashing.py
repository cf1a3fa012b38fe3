"""Deterministic embedder without a model: signed feature hashing of the analysed terms.

After Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009): every term adds or takes 1 at a
few fixed places of the vector. Texts that share words are similar, everything else is near orthogonal, and any language
can compute the same integers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from memoir_server.domain.analysis import ANALYSIS_VERSION, analyse
from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vectors
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable

PLACES_PER_TERM: Final = 4
"""Places a term touches: the cosine of two unrelated terms is then a small multiple of 1/4 instead of mostly 0, rarely
1."""


class HashEmbedder(Embedder):
    """Integer counts by term hashing, divided by their norm.

    ``counts(text)`` is integer-valued and exact in every language; ``embed`` returns ``counts / ||counts||`` as
    float32, so a cosine can be recomputed from the integers as ``a.b / (||a|| ||b||)``. For tests and demonstrations:
    no semantics beyond shared word stems.

    Args:
        dimension: Components per vector, at least 1.
    """

    def __init__(self, dimension: int = 64) -> None:
        self._model = EmbeddingModel("hash", f"1.{ANALYSIS_VERSION}", dimension)
        self._closed = False

    @property
    def model(self) -> EmbeddingModel:
        return self._model

    def counts(self, text: str) -> npt.NDArray[np.int32]:
        """Signed counts of a text, int32, shape ``(dimension,)``, never all zero.

        Place ``j`` of a term (``0 <= j < 4``) comes from bytes ``8j .. 8j+7`` of its SHA-256, read as one big-endian
        number ``h``: the index is ``(h >> 1) mod dimension``, the sign is + when ``h`` is even. A text without terms,
        or whose counts cancel, is hashed whole as one term behind a NUL byte (which no real term holds); if even that
        cancels, component 0 is 1.
        """
        counts = np.zeros(self._model.dimension, dtype=np.int32)
        for term in analyse(text):
            self._add(counts, term)
        if not counts.any():
            self._add(counts, "\x00" + text)
        if not counts.any():
            counts[0] = 1
        return counts

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        if self._closed:
            raise EmbedderUnavailable(str(self._model), "it was closed", "open a new embedder")
        vectors = np.empty((len(texts), self._model.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            counts = self.counts(text).astype(np.float64)
            vectors[row] = counts / np.sqrt(np.dot(counts, counts))
        return vectors

    async def close(self) -> None:
        self._closed = True

    def _add(self, counts: npt.NDArray[np.int32], term: str) -> None:
        digest = hashlib.sha256(term.encode("utf-8", "surrogatepass")).digest()
        for place in range(PLACES_PER_TERM):
            value = int.from_bytes(digest[8 * place : 8 * place + 8], "big")
            counts[(value >> 1) % self._model.dimension] += 1 if value % 2 == 0 else -1
