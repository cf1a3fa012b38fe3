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
from memoir_server.app.providers import build_remote_embedder
from memoir_server.app.settings_models import EmbedderSettings, FallbackSettings
from memoir_server.ports.embedder import Embedder
from tests.conformance.local_model import local_model
from tests.provider_double import ProviderDouble
from tests.provider_double.embeddings_api import EmbeddingLimits


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


class TestRemoteEmbedder(EmbedderSuite):
    """A model elsewhere, as a server has it: portions, fallback, guard, the vendor's client, the wire."""

    @pytest.fixture(params=["base64", "float", "numbers-only", "short-texts", "fallback", "portions", "prefixes"])
    async def embedder(self, request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
        limits = EmbeddingLimits(
            base64=request.param != "numbers-only", text_tokens=500 if request.param == "short-texts" else 8192
        )
        with ProviderDouble(embeddings=limits) as double, ProviderDouble(embeddings=limits) as gone:
            if request.param == "fallback":
                gone.stop()
            settings = EmbedderSettings(
                adapter="openai",
                model="embed-double",
                dimension=96,
                url=f"{gone.url if request.param == 'fallback' else double.url}/v1",
                fallbacks=(FallbackSettings(url=f"{double.url}/v1"),),
                key_variable="KEY",
                encoding="float" if request.param == "float" else "base64",
                max_items=2 if request.param == "portions" else 256,
                query_prefix="query: " if request.param == "prefixes" else "",
                attempts=2,
            )
            async for embedder in _until_closed(build_remote_embedder(settings, {"KEY": double.key})):
                yield embedder


class TestTheWholeStack(EmbedderSuite):
    @pytest.fixture
    async def embedder(self) -> AsyncIterator[Embedder]:
        stack = CachedEmbedder(BatchingEmbedder(OnnxEmbedder(local_model())), MemoryEmbeddingCache())
        async for embedder in _until_closed(stack):
            yield embedder
