"""Micro-batching: embedding requests that wait at the same time are answered by common runs of the model."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vectors
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable

DEFAULT_MAX_BATCH: Final = 32


@dataclass(slots=True, eq=False)
class _Request:
    """One call of ``embed``: its texts, how many have been handed to a batch, and where the vectors go."""

    texts: list[str]
    result: Vectors
    done: asyncio.Future[None]
    taken: int = 0
    filled: int = 0

    @property
    def remaining(self) -> int:
        return 0 if self.done.done() else len(self.texts) - self.taken


@dataclass(frozen=True, slots=True)
class _Share:
    """The part of a request that rides in one batch: rows ``start`` up to ``stop``."""

    request: _Request
    start: int
    stop: int

    @property
    def texts(self) -> list[str]:
        return self.request.texts[self.start : self.stop]


class BatchingEmbedder(Embedder):
    """Merges concurrent calls into batches for the embedder behind it.

    * ``parallel`` batches run at a time; what arrives meanwhile waits for the next. An idle embedder starts after
      ``window_seconds``, with 0 as soon as the event loop has run what is ready, so a lone query waits for nothing.
    * Queries and documents have lanes of their own that take turns: a query waits for one batch of documents at most,
      and documents never starve. Within a lane the callers share each batch evenly, so a bulk import does not hold up
      one small text.
    * A cancelled caller leaves its batch; when nobody is left, the batch is cancelled.
    * If a batch of several callers fails, each share is tried alone, so that only those concerned see the error. An
      EmbedderUnavailable is about the embedder, not about a text, and goes to the whole batch at once.

    Args:
        inner: The embedder that does the work; closed together with this one.
        max_batch: Most texts per batch, at least 1.
        parallel: Most batches at a time, at least 1. With as many as the embedder has threads, none of them idles while
            the last runs of a batch are on their way.
        window_seconds: How long an idle embedder waits for company, 0 or more.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        inner: Embedder,
        *,
        max_batch: int = DEFAULT_MAX_BATCH,
        parallel: int = 1,
        window_seconds: float = 0.0,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch={max_batch}: give a number of at least 1")
        if parallel < 1:
            raise ValueError(f"parallel={parallel}: give a number of at least 1")
        if window_seconds < 0:
            raise ValueError(f"window_seconds={window_seconds}: give 0 or more")
        self._inner = inner
        self._max_batch = max_batch
        self._parallel = parallel
        self._window_seconds = window_seconds
        self._lanes: dict[EmbedKind, deque[_Request]] = {kind: deque() for kind in EmbedKind}
        self._next_kind = EmbedKind.QUERY
        self._workers: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def model(self) -> EmbeddingModel:
        return self._inner.model

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        if self._closed:
            raise self._closed_error()
        result = np.empty((len(texts), self.model.dimension), dtype=np.float32)
        if not texts:
            return result
        request = _Request(list(texts), result, asyncio.get_running_loop().create_future())
        self._lanes[kind].append(request)
        batches = -(-len(texts) // self._max_batch)
        for _ in range(min(batches, self._parallel - len(self._workers))):
            # In a context of its own: the work belongs to no single caller's trace.
            worker = asyncio.create_task(self._work(), name="memoir-embed-batches", context=contextvars.Context())
            self._workers.add(worker)
        # Awaiting the future directly makes a caller's cancellation mark its request.
        await request.done
        return request.result

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)
        for lane in self._lanes.values():
            for request in lane:
                self._fail(request, self._closed_error())
            lane.clear()
        await self._inner.close()

    async def _work(self) -> None:
        """Runs batches until nobody waits; the next call of ``embed`` starts another worker."""
        try:
            await asyncio.sleep(self._window_seconds)
            while (kind := self._choose_lane()) is not None:
                shares = self._take(self._lanes[kind])
                if shares:
                    await self._run(shares, kind)
        finally:
            # No await between the last look at the lanes and this, so no request can slip in unseen.
            worker = asyncio.current_task()
            assert worker is not None
            self._workers.discard(worker)

    def _choose_lane(self) -> EmbedKind | None:
        waiting = [kind for kind, lane in self._lanes.items() if lane]
        if not waiting:
            return None
        kind = self._next_kind if self._next_kind in waiting else waiting[0]
        self._next_kind = EmbedKind.DOCUMENT if kind is EmbedKind.QUERY else EmbedKind.QUERY
        return kind

    def _take(self, lane: deque[_Request]) -> list[_Share]:
        """The next batch of a lane, in even shares; callers with texts left go to the end of the lane."""
        shares: list[_Share] = []
        room = self._max_batch
        waiting = len(lane)
        while lane and room and waiting:
            request = lane.popleft()
            share = min(request.remaining, max(1, room // waiting))
            waiting -= 1
            if not share:
                continue
            shares.append(_Share(request, request.taken, request.taken + share))
            request.taken += share
            room -= share
            if request.remaining:
                lane.append(request)
        return shares

    async def _run(self, shares: list[_Share], kind: EmbedKind) -> None:
        texts = [text for share in shares for text in share.texts]
        task = asyncio.ensure_future(self._inner.embed(texts, kind=kind))
        try:
            await self._wait_while_wanted(task, {share.request for share in shares})
        except asyncio.CancelledError:
            for share in shares:
                self._fail(share.request, self._closed_error())
            raise
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception):
            await self._share_failure(error, shares, kind)
            return
        vectors = task.result()
        row = 0
        for share in shares:
            count = share.stop - share.start
            self._deliver(share, vectors[row : row + count])
            row += count

    async def _wait_while_wanted(self, task: asyncio.Future[Vectors], requests: set[_Request]) -> None:
        """Waits for ``task`` to end; cancels it once every caller of the batch is gone."""

        def left(_: asyncio.Future[None]) -> None:
            if all(request.done.done() for request in requests):
                task.cancel()

        for request in requests:
            request.done.add_done_callback(left)
        try:
            await asyncio.wait([task])
        finally:
            for request in requests:
                request.done.remove_done_callback(left)
            # Only still running when this worker itself is being ended.
            task.cancel()

    async def _share_failure(self, error: Exception, shares: list[_Share], kind: EmbedKind) -> None:
        if len(shares) == 1 or isinstance(error, EmbedderUnavailable):
            for share in shares:
                self._fail(share.request, error)
            return
        for share in shares:
            if not share.request.done.done():
                await self._run([share], kind)

    @staticmethod
    def _deliver(share: _Share, vectors: Vectors) -> None:
        request = share.request
        if request.done.done():
            return
        request.result[share.start : share.stop] = vectors
        request.filled += len(vectors)
        if request.filled == len(request.texts):
            request.done.set_result(None)

    @staticmethod
    def _fail(request: _Request, error: Exception) -> None:
        if not request.done.done():
            request.done.set_exception(error)

    def _closed_error(self) -> EmbedderUnavailable:
        return EmbedderUnavailable(str(self.model), "it was closed", "the server is ending; ask again once it is back")
