"""Every embedder, and every wrapper around one, keeps the same contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from memoir_conformance.embedder_suite import EmbedderSuite
from memoir_server.adapters.cache.memory import MemoryEmbeddingCache
from memoir_server.adapters.embedder.batching import BatchingEmbedder
from memoir_server.adapters.embedder.cached import CachedEmbedder
from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.adapters.embedder.onnx_minilm import OnnxEmbedder
from memoir_server.ports.embedder import Embedder
from tests.conformance.local_model import local_model


async def _until_closed(embedder: Embedder) -> AsyncIterator[Embedder]:
    yield embedder
    await embedder.close()


class TestHashEmbedder(EmbedderSuite):
    @pytest.fixture
    async def embedder(self) -> AsyncIterator[Embedder]:
        async for embedder in _until_closed(HashEmbedder()):
            yield embedder


class TestOnnxEmbedder(EmbedderSuite):
    @pytest.fixture(params=[1, 2], ids=["one-thread", "two-threads"])
    async def embedder(self, request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
        async for embedder in _until_closed(OnnxEmbedder(local_model(), threads=request.param)):
            yield embedder


class TestBatchingEmbedder(EmbedderSuite):
    @pytest.fixture(params=[1, 3, 32])
    async def embedder(self, request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
        async for embedder in _until_closed(BatchingEmbedder(HashEmbedder(), max_batch=request.param)):
            yield embedder


class TestCachedEmbedder(EmbedderSuite):
    @pytest.fixture(params=[0, 600, 1_000_000], ids=["keeps-nothing", "keeps-one", "keeps-all"])
    async def embedder(self, request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
        async for embedder in _until_closed(CachedEmbedder(HashEmbedder(), MemoryEmbeddingCache(request.param))):
            yield embedder


class TestTheWholeStack(EmbedderSuite):
    @pytest.fixture
    async def embedder(self) -> AsyncIterator[Embedder]:
        stack = CachedEmbedder(BatchingEmbedder(OnnxEmbedder(local_model())), MemoryEmbeddingCache())
        async for embedder in _until_closed(stack):
            yield embedder
