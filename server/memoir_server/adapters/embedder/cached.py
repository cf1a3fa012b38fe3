"""Embedder behind a cache: a text is embedded once per model, however often it is said or asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from opentelemetry import metrics

from memoir_server.domain.embedding import (
    EmbeddingModel,
    EmbedKind,
    Vector,
    Vectors,
    embedding_key,
    embedding_keys,
    encode_vector,
    keys_of_texts,
    view_vector,
    view_vectors,
)
from memoir_server.ports.cache import CacheUnavailable, EmbeddingCache
from memoir_server.ports.embedder import Embedder


class CachedEmbedder(Embedder):
    """Looks into an :class:`EmbeddingCache` before it asks the embedder behind it.

    A cache that is down, or answers with bytes that are no unit vector of the right size, counts as a miss: it changes
    the time of an answer, never the answer. Closing closes the embedder and the cache.

    Attributes:
        hits: Texts answered from the cache so far.
        misses: Texts that had to be embedded so far; a text repeated within one call counts once.
        cache_failures: Calls of the cache that failed and entries that were unusable so far.
    """

    def __init__(self, inner: Embedder, cache: EmbeddingCache) -> None:
        self._inner = inner
        self._model = inner.model
        self._cache = cache
        self.hits = 0
        self.misses = 0
        self.cache_failures = 0
        # Keys purged while calls are on their way: what those calls computed must not be put back.
        self._revoked_in_flight: list[set[bytes]] = []
        self._times_forgotten = 0
        meter = metrics.get_meter("memoir_server.embedding")
        self._hit_counter = meter.create_counter(
            "memoir.embedding.cache.hits", "{text}", "Texts whose vector came from the cache"
        )
        self._miss_counter = meter.create_counter(
            "memoir.embedding.cache.misses", "{text}", "Texts that had to be embedded"
        )
        self._failure_counter = meter.create_counter(
            "memoir.embedding.cache.failures", "{failure}", "Failed cache calls and unusable entries"
        )
        self._attributes = {"memoir.embedding.model": str(inner.model)}

    @property
    def model(self) -> EmbeddingModel:
        return self._model

    def at_hand(self, text: str, *, kind: EmbedKind) -> Vector | None:
        entry = self._cache.at_hand(embedding_key(self._model, text, kind=kind))
        if entry is None:
            return None
        vector = view_vector(entry, self._model.dimension)
        self._count(hits=int(vector is not None), failures=int(vector is None))
        return vector

    def all_at_hand(self, texts: Sequence[str], *, kind: EmbedKind) -> list[Vector | None]:
        entries = [self._cache.at_hand(key) for key in keys_of_texts(self._model, texts, kind=kind)]
        vectors = view_vectors(entries, self._model.dimension)
        there = sum(entry is not None for entry in entries)
        hits = sum(vector is not None for vector in vectors)
        self._count(hits=hits, failures=there - hits)
        return vectors

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        keys = keys_of_texts(self._model, texts, kind=kind)
        text_by_key = dict(zip(keys, texts, strict=True))
        times_forgotten = self._times_forgotten
        revoked: set[bytes] = set()
        self._revoked_in_flight.append(revoked)
        try:
            vectors = await self._look_up(list(text_by_key))
            missing = [key for key in text_by_key if key not in vectors]
            self._count(hits=sum(key in vectors for key in keys), misses=len(missing))
            if missing:
                computed = await self._inner.embed([text_by_key[key] for key in missing], kind=kind)
                fresh: dict[bytes, Vector] = dict(zip(missing, computed, strict=True))
                vectors |= fresh
                if times_forgotten == self._times_forgotten:
                    await self._keep(fresh, revoked)
        finally:
            # By identity: equal sets of other calls stay.
            self._revoked_in_flight = [other for other in self._revoked_in_flight if other is not revoked]
        result = np.empty((len(keys), self.model.dimension), dtype=np.float32)
        for row, key in enumerate(keys):
            result[row] = vectors[key]
        return result

    async def purge(self, texts: Sequence[str]) -> None:
        """Forget the vectors of ``texts`` for good, also those that calls in flight are about to keep. Used by erasure.

        Raises:
            CacheUnavailable: If they may still be cached; the erasure tries again.
        """
        keys = [key for text in texts for key in embedding_keys(self.model, text)]
        for revoked in self._revoked_in_flight:
            revoked.update(keys)
        await self._cache.purge(keys)

    def forget(self) -> None:
        self._times_forgotten += 1
        self._cache.forget()

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        try:
            await self._inner.close()
        finally:
            await self._cache.close()

    async def _look_up(self, keys: list[bytes]) -> dict[bytes, Vector]:
        if not keys:
            return {}
        try:
            entries = await self._cache.get_many(keys)
        except CacheUnavailable:
            self._count(failures=1)
            return {}
        if len(entries) != len(keys):
            # Which entry belongs to which key is anyone's guess, so none is used.
            self._count(failures=1)
            return {}
        found: dict[bytes, Vector] = {}
        for key, entry in zip(keys, entries, strict=True):
            if entry is None:
                continue
            vector = view_vector(entry, self.model.dimension)
            if vector is None:
                self._count(failures=1)
            else:
                found[key] = vector
        return found

    async def _keep(self, fresh: dict[bytes, Vector], revoked: set[bytes]) -> None:
        try:
            await self._cache.put_many(
                {key: encode_vector(vector) for key, vector in fresh.items() if key not in revoked}
            )
            # A purge may have come between the filter and the cache's own work.
            late = [key for key in fresh if key in revoked]
            if late:
                await self._cache.purge(late)
        except CacheUnavailable:
            self._count(failures=1)

    def _count(self, *, hits: int = 0, misses: int = 0, failures: int = 0) -> None:
        if hits:
            self.hits += hits
            self._hit_counter.add(hits, self._attributes)
        if misses:
            self.misses += misses
            self._miss_counter.add(misses, self._attributes)
        if failures:
            self.cache_failures += failures
            self._failure_counter.add(failures, self._attributes)
