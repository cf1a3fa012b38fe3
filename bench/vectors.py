"""Ready vectors of a corpus: random ones, of unit length.

A search costs the same whatever their values, and embedding a hundred thousand texts would take longer than all the
rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.corpus import Corpus


def vectors_of(corpus: Corpus, number: int, dimension: int) -> NDArray[np.float32]:
    """Vectors of one user's memories, shape (memories_per_user, dimension), the same on every run."""
    chance = np.random.default_rng([corpus.seed, number])
    vectors = chance.standard_normal((corpus.memories_per_user, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
