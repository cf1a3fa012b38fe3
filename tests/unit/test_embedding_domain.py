"""Keys, bytes and identity of embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.embedding import (
    EmbeddingModel,
    EmbedKind,
    decode_vector,
    embedding_key,
    embedding_keys,
    encode_vector,
    keys_of_texts,
    stack_vectors,
    view_vector,
    view_vectors,
)

MODEL = EmbeddingModel("m", "1", 4)
names = st.text(min_size=1, max_size=4)


@given(names, names, st.text(), names, names, st.text())
def test_keys_differ_exactly_when_their_fields_do(n1: str, v1: str, t1: str, n2: str, v2: str, t2: str) -> None:
    one, two = embedding_key(EmbeddingModel(n1, v1, 4), t1), embedding_key(EmbeddingModel(n2, v2, 4), t2)
    assert len(one) == 32
    assert (one == two) == ((n1, v1, t1) == (n2, v2, t2))


def test_fields_do_not_run_into_each_other() -> None:
    assert embedding_key(EmbeddingModel("ab", "c", 4), "d") != embedding_key(EmbeddingModel("a", "bc", 4), "d")


def test_kind_matters_for_asymmetric_models_only() -> None:
    assert embedding_key(MODEL, "x", kind=EmbedKind.QUERY) == embedding_key(MODEL, "x", kind=EmbedKind.DOCUMENT)
    two_sided = EmbeddingModel("m", "1", 4, asymmetric=True)
    query, document = (embedding_key(two_sided, "x", kind=kind) for kind in EmbedKind)
    assert query != document
    assert set(embedding_keys(two_sided, "x")) == {query, document}
    assert embedding_keys(MODEL, "x") == (embedding_key(MODEL, "x"),)


def test_vectors_survive_their_bytes_and_damage_is_seen() -> None:
    vector = np.array([0.5, -0.5, 0.5, 0.5], dtype=np.float32)
    data = encode_vector(vector)
    assert data == bytes.fromhex("0000003f000000bf0000003f0000003f")
    decoded = decode_vector(data, 4)
    assert decoded is not None
    assert np.array_equal(decoded, vector)
    assert decoded.flags.writeable
    for damaged in (b"", data[:-1], data + data, bytes(16), np.full(4, np.nan, dtype="<f4").tobytes()):
        assert decode_vector(damaged, 4) is None


entries = st.sampled_from(
    [
        None,
        b"",
        bytes(16),
        bytes(15),
        encode_vector(np.array([0.5, -0.5, 0.5, 0.5], dtype=np.float32)),
        encode_vector(np.array([0, 1, 0, 0], dtype=np.float32)),
        encode_vector(np.array([1, 1, 0, 0], dtype=np.float32)),
        np.full(4, np.nan, dtype="<f4").tobytes(),
        np.full(4, 3e38, dtype="<f4").tobytes(),
    ]
)


@given(st.lists(entries, max_size=6))
def test_vectors_are_viewed_together_as_they_are_alone(data: list[bytes | None]) -> None:
    together = view_vectors(data, 4)
    alone = [None if entry is None else view_vector(entry, 4) for entry in data]
    assert [None if v is None else v.tolist() for v in together] == [None if v is None else v.tolist() for v in alone]
    assert all(vector is None or not vector.flags.writeable for vector in together)


@given(st.lists(st.text(), max_size=4), st.booleans(), st.sampled_from(EmbedKind))
def test_keys_of_texts_are_the_keys_of_each(texts: list[str], asymmetric: bool, kind: EmbedKind) -> None:
    model = EmbeddingModel("m", "1", 4, asymmetric)
    assert keys_of_texts(model, texts, kind=kind) == [embedding_key(model, text, kind=kind) for text in texts]


def test_stacking() -> None:
    row = np.array([1, 0, 0, 0], dtype=np.float32)
    assert stack_vectors([], 4).shape == (0, 4)
    assert stack_vectors([row, row], 4).flags.c_contiguous


@pytest.mark.parametrize(("name", "version", "dimension"), [("", "1", 4), ("m", "", 4), ("m", "1", 0)])
def test_identity_is_checked(name: str, version: str, dimension: int) -> None:
    with pytest.raises(ValueError, match="embedding model"):
        EmbeddingModel(name, version, dimension)
