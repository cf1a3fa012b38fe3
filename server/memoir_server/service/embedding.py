"""Asking an embedding service the way a server does: guarded."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vectors
from memoir_server.domain.store import BreakerState
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable
from memoir_server.service.guard import Barred, Guard, GuardOptions, OutOfTime, Passing, Tally

_BYTES_PER_TOKEN = 4

_tracer = trace.get_tracer("memoir.embedder")


class GuardedEmbedder(Embedder):
    """Keeps turns and pace at one embedding service, repeats what passes, and leaves it alone while it is down.

    Args:
        inner: Asks the service, with one request per call; closed together with this one.
        address: Where it is, for telemetry and errors.
    """

    def __init__(self, inner: Embedder, options: GuardOptions, *, address: str) -> None:
        self._inner = inner
        self._options = options
        self._address = address
        self._guard_in_use: Guard | None = None

    @property
    def model(self) -> EmbeddingModel:
        return self._inner.model

    @property
    def breaker(self) -> BreakerState:
        """State of the circuit breaker."""
        return BreakerState.CLOSED if self._guard_in_use is None else self._guard_in_use.breaker

    async def open(self) -> None:
        await self._inner.open()

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        if not texts:
            return await self._inner.embed(texts, kind=kind)
        if self._guard_in_use is None:
            # Made where the event loop runs.
            self._guard_in_use = Guard(self._options)
        tally = Tally()
        with _tracer.start_as_current_span("embeddings", kind=SpanKind.CLIENT, record_exception=False) as span:
            span.update_name(f"embeddings {self.model.name}")
            span.set_attributes(
                {
                    "gen_ai.operation.name": "embeddings",
                    "gen_ai.request.model": self.model.name,
                    "server.address": self._address,
                    "memoir.items": len(texts),
                }
            )
            try:
                return await self._guard_in_use.run(
                    lambda: self._inner.embed(texts, kind=kind),
                    passing=_passing,
                    tally=tally,
                    tokens=sum(len(text) for text in texts) / _BYTES_PER_TOKEN,
                )
            except Barred as barred:
                raise self._barred_error(barred) from None
            except OutOfTime:
                raise EmbedderUnavailable(
                    str(self.model), f"{self._address} did not answer in time", "raise embedder.seconds"
                ) from None
            except EmbedderUnavailable as failure:
                span.set_status(Status(StatusCode.ERROR, type(failure).__name__))
                raise
            finally:
                span.set_attribute("memoir.attempts", tally.attempts)

    async def close(self) -> None:
        await self._inner.close()

    def _barred_error(self, barred: Barred) -> EmbedderUnavailable:
        if barred.breaker:
            reason, fix = "has not answered lately, so it is not asked now", "see the errors before this one"
        else:
            reason, fix = "has been asked as often as embedder.requests_per_minute allows", "ask later, or raise it"
        return EmbedderUnavailable(
            str(self.model),
            f"{self._address} {reason}",
            fix,
            busy=not barred.breaker,
            retry_after=barred.retry_after,
        )


def _passing(error: Exception) -> Passing | None:
    if isinstance(error, EmbedderUnavailable) and not error.lasting:
        return Passing(error.retry_after, error.busy)
    return None
