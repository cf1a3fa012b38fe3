"""What every embedder owes its callers, as one suite: subclass it and give it an ``embedder`` fixture."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from memoir_server.domain.embedding import EmbedKind, Vectors
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable

TEXTS = [
    "Anna moved to Lisbon in March.",
    "The dentist is on Tuesday at nine.",
    "Anna moved to Lisbon in March.",
    "tea",
    "",
    "猫が好きです",
    "Она любит кошек",
    "tab\tnewline\nnul\x00end",
    "🙂",
    "a longer text about the garden, the tomatoes, and the neighbour who waters them every other evening in July",
]


class EmbedderSuite:
    """Contract of :class:`memoir_server.ports.embedder.Embedder`."""

    @pytest.fixture
    async def embedder(self) -> Embedder:
        raise NotImplementedError("the subclass gives the embedder")

    async def test_form(self, embedder: Embedder) -> None:
        vectors = await embedder.embed(TEXTS, kind=EmbedKind.DOCUMENT)
        assert vectors.shape == (len(TEXTS), embedder.model.dimension)
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
        assert np.allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1.0, atol=1e-6)

    async def test_no_texts(self, embedder: Embedder) -> None:
        vectors = await embedder.embed([], kind=EmbedKind.QUERY)
        assert vectors.shape == (0, embedder.model.dimension)
        assert vectors.dtype == np.float32

    async def test_equal_texts_get_equal_rows_and_others_differ(self, embedder: Embedder) -> None:
        vectors = await embedder.embed(TEXTS, kind=EmbedKind.DOCUMENT)
        assert np.array_equal(vectors[0], vectors[2])
        assert not np.array_equal(vectors[0], vectors[1])

    async def test_a_vector_does_not_depend_on_its_batch(self, embedder: Embedder) -> None:
        together = await embedder.embed(TEXTS, kind=EmbedKind.DOCUMENT)
        backwards = await embedder.embed(TEXTS[::-1], kind=EmbedKind.DOCUMENT)
        alone = [(await embedder.embed([text], kind=EmbedKind.DOCUMENT))[0] for text in TEXTS]
        assert np.array_equal(together, backwards[::-1])
        assert np.array_equal(together, np.stack(alone))

    async def test_concurrent_calls_do_not_mix(self, embedder: Embedder) -> None:
        expected = await embedder.embed(TEXTS, kind=EmbedKind.DOCUMENT)
        calls = [embedder.embed(TEXTS[start:], kind=EmbedKind.DOCUMENT) for start in range(len(TEXTS))]
        for start, vectors in enumerate(await asyncio.gather(*calls)):
            assert np.array_equal(vectors, expected[start:])

    async def test_the_result_belongs_to_the_caller(self, embedder: Embedder) -> None:
        first = await embedder.embed(TEXTS[:2], kind=EmbedKind.DOCUMENT)
        kept = first.copy()
        first[:] = 0
        assert np.array_equal(await embedder.embed(TEXTS[:2], kind=EmbedKind.DOCUMENT), kept)

    async def test_a_very_long_text_is_cut_not_refused(self, embedder: Embedder) -> None:
        vectors = await embedder.embed(["word " * 20_000], kind=EmbedKind.DOCUMENT)
        assert np.isfinite(vectors).all()

    async def test_a_lone_surrogate_embeds(self, embedder: Embedder) -> None:
        assert np.isfinite(await embedder.embed(["broken \ud800 text"], kind=EmbedKind.DOCUMENT)).all()

    async def test_cancelling_one_call_harms_no_other(self, embedder: Embedder) -> None:
        expected = await embedder.embed(TEXTS, kind=EmbedKind.DOCUMENT)
        doomed = asyncio.create_task(_embed(embedder, TEXTS * 5))
        kept = asyncio.create_task(_embed(embedder, TEXTS))
        await asyncio.sleep(0)
        doomed.cancel()
        assert np.array_equal(await kept, expected)
        results = await asyncio.gather(doomed, return_exceptions=True)
        # A quick embedder may have finished before the cancellation reached it.
        assert isinstance(results[0], asyncio.CancelledError | np.ndarray)

    async def test_after_close_it_says_so(self, embedder: Embedder) -> None:
        await embedder.close()
        await embedder.close()
        with pytest.raises(EmbedderUnavailable) as failure:
            await embedder.embed(["late"], kind=EmbedKind.QUERY)
        assert failure.value.fix
        assert str(embedder.model) in str(failure.value)


async def _embed(embedder: Embedder, texts: list[str]) -> Vectors:
    return await embedder.embed(texts, kind=EmbedKind.DOCUMENT)
