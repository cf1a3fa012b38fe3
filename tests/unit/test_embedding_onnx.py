"""The local model: meaning, cutting, and vectors that do not depend on company or threads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memoir_server.adapters.embedder.model_files import ModelError
from memoir_server.adapters.embedder.onnx_minilm import MAX_ROWS_PER_RUN, OnnxEmbedder
from memoir_server.domain.embedding import EmbeddingModel, EmbedKind
from tests.conformance.local_model import local_model


@pytest.fixture
async def embedder() -> AsyncIterator[OnnxEmbedder]:
    opened = OnnxEmbedder(local_model())
    yield opened
    await opened.close()


async def test_identity(embedder: OnnxEmbedder) -> None:
    assert embedder.model.name == "all-MiniLM-L6-v2"
    assert embedder.model.dimension == 384


async def test_similar_sentences_are_closer(embedder: OnnxEmbedder) -> None:
    texts = ["A man is eating food.", "A man eats something.", "The stock market fell today."]
    vectors = await embedder.embed(texts, kind=EmbedKind.DOCUMENT)
    close, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    # Published weights give 0.875 and about 0; anything else means another graph.
    assert close == pytest.approx(0.8749389, abs=1e-5)
    assert abs(far) < 0.2


async def test_many_equal_lengths_alone_and_together_bit_for_bit(embedder: OnnxEmbedder) -> None:
    names = "anna bob carl dave eve frank gina hans ida john".split()
    texts = [f"yesterday {a} met {b} at the station and they talked" for a in names for b in names]
    texts += [f"{a} said {'very ' * n}little" for n, a in enumerate(names)]
    assert len(texts) > 2 * MAX_ROWS_PER_RUN
    together = await embedder.embed(texts, kind=EmbedKind.DOCUMENT)
    alone = np.vstack([await embedder.embed([text], kind=EmbedKind.DOCUMENT) for text in texts])
    assert np.array_equal(together, alone)
    other = OnnxEmbedder(local_model(), threads=2)
    assert np.array_equal(together, await other.embed(texts, kind=EmbedKind.QUERY))
    await other.close()


async def test_texts_are_cut_at_256_tokens_not_at_128(embedder: OnnxEmbedder) -> None:
    # One token per word; two special tokens leave room for 254 of them.
    stem = ["tea"] * 254
    longest, beyond = " ".join(stem), " ".join([*stem, "elephant", "thunder"])
    changed_late = " ".join([*stem[:-1], "elephant"])
    assert embedder.count_tokens("tea") == 3
    assert embedder.count_tokens(longest) == embedder.count_tokens(beyond) == 256
    vectors = await embedder.embed([longest, beyond, changed_late], kind=EmbedKind.DOCUMENT)
    assert np.array_equal(vectors[0], vectors[1])
    assert not np.array_equal(vectors[0], vectors[2])


def test_a_wrong_dimension_is_refused() -> None:
    files = local_model()
    wrong = replace(files, model=EmbeddingModel("all-MiniLM-L6-v2", files.model.version, 768))
    with pytest.raises(ModelError, match="384 components, not 768"):
        OnnxEmbedder(wrong)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(ModelError, match="cannot be loaded"):
        OnnxEmbedder(replace(local_model(), graph=broken))
    with pytest.raises(ModelError, match="tokenizer cannot be read"):
        OnnxEmbedder(replace(local_model(), tokenizer=broken))


def test_threads_are_checked() -> None:
    with pytest.raises(ValueError, match="threads=0"):
        OnnxEmbedder(local_model(), threads=0)
