"""Asking a language model the way a server does: guarded, counted, and told to telemetry."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from memoir_server.domain.reasoning import ImagePart, Prices, Prompt, Reply, TokenUsage
from memoir_server.domain.store import BreakerState
from memoir_server.ports.reasoner import (
    Reasoner,
    ReasonerError,
    ReasonerOutput,
    ReasonerTimeout,
    ReasonerUnavailable,
)
from memoir_server.service.guard import Barred, Guard, GuardOptions, OutOfTime, Passing, Tally

_BYTES_PER_TOKEN: Final = 3.5
"""For the estimate that paces requests; the provider's own count corrects it."""
_TOKENS_PER_IMAGE: Final = 1500
"""About what providers count for an image of a megapixel."""


class ReasonerInstruments:
    """What is recorded of questions; by default with the process's own providers."""

    def __init__(self, tracer: Tracer | None = None, meter: Meter | None = None) -> None:
        self.tracer = tracer or trace.get_tracer("memoir.reasoner")
        meter = meter or metrics.get_meter("memoir.reasoner")
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens of requests to language models, by gen_ai.token.type"
        )
        self.duration = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "Time of a question to a language model, waiting included"
        )
        self.attempts = meter.create_counter(
            "memoir.reasoner.attempts", "{request}", "Requests made to language models, repeated ones included"
        )
        self.cost = meter.create_counter(
            "memoir.reasoner.cost", "{USD}", "What language models cost, by the prices set"
        )


class GuardedReasoner(Reasoner):
    """Keeps the promises of :class:`Reasoner` that no single request can: order, retries, breaker, accounting.

    Args:
        inner: Makes one request per question; closed together with this one.
        prices: For the cost of answers; None: not known.
    """

    def __init__(
        self,
        inner: Reasoner,
        options: GuardOptions,
        *,
        prices: Prices | None = None,
        instruments: ReasonerInstruments | None = None,
    ) -> None:
        self._instruments = instruments or ReasonerInstruments()
        self._inner = inner
        self._options = options
        self._prices = prices
        self._guard_in_use: Guard | None = None
        self._closed = False

    @property
    def model(self) -> str:
        return self._inner.model

    @property
    def provider(self) -> str:
        return self._inner.provider

    @property
    def address(self) -> str:
        return self._inner.address

    @property
    def breaker(self) -> BreakerState:
        """State of the circuit breaker."""
        return BreakerState.CLOSED if self._guard_in_use is None else self._guard_in_use.breaker

    async def ask(self, prompt: Prompt, *, namespace: str, deadline: float | None = None) -> Reply:
        if self._closed:
            raise self._closed_error()
        estimate, tally = _estimate(prompt), Tally()
        guard = self._guard
        with self._recorded(prompt, namespace, tally) as record:
            try:
                reply = await guard.run(
                    lambda: self._inner.ask(prompt, namespace=namespace, deadline=deadline),
                    passing=_passing,
                    tally=tally,
                    tokens=estimate,
                    deadline=deadline,
                )
            except Barred as barred:
                raise self._barred_error(barred, tally) from None
            except OutOfTime:
                raise ReasonerTimeout(
                    self.model,
                    "did not answer in time" if tally.attempts else "had no turn in time",
                    "give the call more time, or raise reasoner.seconds or reasoner.concurrency",
                    attempts=tally.attempts,
                ) from None
            except ReasonerOutput as useless:
                guard.used(useless.usage.input + useless.usage.output, estimate)
                useless.attempts = tally.attempts
                useless.cost = record.used(useless.usage)
                raise
            except ReasonerError as failure:
                failure.attempts = tally.attempts
                raise
            guard.used(reply.usage.input + reply.usage.output, estimate)
            return record.answered(reply, tally.attempts)

    async def close(self) -> None:
        self._closed = True
        await self._inner.close()

    @property
    def _guard(self) -> Guard:
        # Made where the event loop runs.
        if self._guard_in_use is None:
            self._guard_in_use = Guard(self._options)
        return self._guard_in_use

    @contextmanager
    def _recorded(self, prompt: Prompt, namespace: str, tally: Tally) -> Iterator[_Record]:
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self.provider,
            "gen_ai.request.model": self.model,
            "server.address": self.address,
            "memoir.namespace": namespace,
            "memoir.prompt": prompt.name,
        }
        with self._instruments.tracer.start_as_current_span(
            "chat", kind=SpanKind.CLIENT, record_exception=False
        ) as span:
            span.update_name(f"chat {self.model}")
            span.set_attributes(
                {
                    **attributes,
                    "memoir.prompt.version": prompt.version,
                    "gen_ai.request.max_tokens": prompt.max_output,
                    "gen_ai.output.type": "json" if prompt.schema else "text",
                }
            )
            record = _Record(span, attributes, self._prices, self._instruments)
            started = time.perf_counter()
            try:
                yield record
            except BaseException as failure:
                record.failed(failure)
                raise
            finally:
                if tally.attempts:
                    self._instruments.attempts.add(tally.attempts, attributes)
                span.set_attribute("memoir.attempts", tally.attempts)
                record.ended(time.perf_counter() - started)

    def _barred_error(self, barred: Barred, tally: Tally) -> ReasonerUnavailable:
        if barred.breaker:
            reason, fix = "has not answered lately, so it is not asked now", "see the errors before this one"
        else:
            reason = "has been asked as often as reasoner.requests_per_minute and reasoner.tokens_per_minute allow"
            fix = "ask later, or raise them"
        return ReasonerUnavailable(
            self.model, reason, fix, attempts=tally.attempts, retry_after=barred.retry_after, busy=not barred.breaker
        )

    def _closed_error(self) -> ReasonerUnavailable:
        return ReasonerUnavailable(self.model, "it was closed", "the server is ending; ask again once it is back")


class _Record:
    """What telemetry is told of one question."""

    def __init__(
        self, span: Span, attributes: dict[str, str], prices: Prices | None, instruments: ReasonerInstruments
    ) -> None:
        self._instruments = instruments
        self._span = span
        self._attributes = attributes
        self._prices = prices
        self._error = ""

    def answered(self, reply: Reply, attempts: int) -> Reply:
        """Counts the answer, and puts cost and attempts on it."""
        self._attributes["gen_ai.response.model"] = reply.model
        self._span.set_attribute("gen_ai.response.model", reply.model)
        self._span.set_attribute("gen_ai.response.finish_reasons", [reply.stop_reason])
        return replace(reply, attempts=attempts, cost=self.used(reply.usage))

    def used(self, usage: TokenUsage) -> float | None:
        """Counts tokens and cost; the cost in US dollars, if prices are set."""
        for kind, tokens in (("input", usage.input), ("output", usage.output)):
            self._instruments.tokens.record(tokens, {**self._attributes, "gen_ai.token.type": kind})
        self._span.set_attributes(
            {
                "gen_ai.usage.input_tokens": usage.input,
                "gen_ai.usage.output_tokens": usage.output,
                "gen_ai.usage.cache_read.input_tokens": usage.cached_input,
                "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
            }
        )
        if self._prices is None:
            return None
        cost = self._prices.cost(usage)
        self._instruments.cost.add(cost, self._attributes)
        return cost

    def failed(self, failure: BaseException) -> None:
        """Names the kind of failure; its text may hold more than telemetry should."""
        self._error = type(failure).__name__
        self._span.set_status(Status(StatusCode.ERROR, self._error))
        self._span.set_attribute("error.type", self._error)

    def ended(self, seconds: float) -> None:
        """Counts the time."""
        error = {"error.type": self._error} if self._error else {}
        self._instruments.duration.record(seconds, {**self._attributes, **error})


def _passing(error: Exception) -> Passing | None:
    if isinstance(error, ReasonerUnavailable):
        return Passing(error.retry_after, error.busy)
    return None


def _estimate(prompt: Prompt) -> float:
    """Tokens that a request will about take, its answer left out."""
    size = len(prompt.system.encode(errors="replace"))
    size += sum(len(part.text.encode(errors="replace")) for part in prompt.content if not isinstance(part, ImagePart))
    return size / _BYTES_PER_TOKEN + prompt.images * _TOKENS_PER_IMAGE
