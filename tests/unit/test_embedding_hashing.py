"""The hash embedder: integers first, similarity by shared words."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.domain.analysis import analyse
from memoir_server.domain.embedding import EmbedKind

EMBEDDER = HashEmbedder()


def test_known_counts() -> None:
    """The documented rule, written out by hand for one term."""
    digest = hashlib.sha256(b"lisbon").digest()
    expected = np.zeros(64, dtype=np.int32)
    for place in range(4):
        value = int.from_bytes(digest[8 * place : 8 * place + 8], "big")
        expected[(value >> 1) % 64] += -1 if value % 2 else 1
    assert np.array_equal(EMBEDDER.counts("Lisbon"), expected)


@given(st.text())
async def test_vectors_are_integers_over_their_norm(text: str) -> None:
    counts = EMBEDDER.counts(text)
    assert counts.dtype == np.int32
    assert counts.any()
    (vector,) = await EMBEDDER.embed([text], kind=EmbedKind.DOCUMENT)
    assert np.array_equal(vector, (counts / np.sqrt(float(counts @ counts))).astype(np.float32))


@given(st.lists(st.sampled_from("garden tomato rain ferry lisbon piano".split()), min_size=1))
def test_counts_add_up_over_terms(words: list[str]) -> None:
    total = sum((EMBEDDER.counts(word) for word in words), np.zeros(64, dtype=np.int32))
    assert np.array_equal(EMBEDDER.counts(" ".join(words)), total)


def test_shared_words_are_similar_and_word_forms_too() -> None:
    def cosine(one: str, two: str) -> float:
        a, b = EMBEDDER.counts(one).astype(float), EMBEDDER.counts(two).astype(float)
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    assert cosine("Anna plants tomatoes", "planting a tomato, Anna") == pytest.approx(1.0)
    assert cosine("Anna plants tomatoes", "Anna plants roses") > 0.5
    assert cosine("Anna plants tomatoes", "the ferry leaves early") < 0.4


def test_texts_without_terms_differ() -> None:
    assert analyse("!!!") == analyse("???") == ()
    assert not np.array_equal(EMBEDDER.counts("!!!"), EMBEDDER.counts("???"))


def test_dimension_is_checked() -> None:
    assert HashEmbedder(8).counts("tea").shape == (8,)
    with pytest.raises(ValueError, match="dimension=0"):
        HashEmbedder(0)
