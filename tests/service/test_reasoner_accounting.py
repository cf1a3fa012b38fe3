"""What a question is told to telemetry and to its caller: tokens, cost, attempts, and no contents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from memoir_conformance.reasoner_suite import ANSWER, PROMPT
from memoir_server.adapters.provider.key import ProviderKey
from memoir_server.adapters.reasoner.anthropic import AnthropicOptions, AnthropicReasoner
from memoir_server.adapters.reasoner.openai import OpenAIOptions, OpenAIReasoner
from memoir_server.domain.reasoning import Prices, TokenUsage
from memoir_server.domain.store import BreakerState
from memoir_server.ports.reasoner import ReasonerError, ReasonerOutput, ReasonerRefused, ReasonerUnavailable
from memoir_server.service.guard import GuardOptions
from memoir_server.service.reasoning import GuardedReasoner, ReasonerInstruments
from tests.provider_double import ProviderDouble, Refuses, Said, Usage

PRICES = Prices(input=3.0, output=15.0, cached_input=0.3, cache_write=3.75)
USAGE = Usage(input=10_000, output=200, cached=6_000, written=1_000)
COST = (3_000 * 3.0 + 6_000 * 0.3 + 1_000 * 3.75 + 200 * 15.0) / 1e6


@dataclass(frozen=True, slots=True)
class Watched:
    double: ProviderDouble
    spans: InMemorySpanExporter
    reader: InMemoryMetricReader
    instruments: ReasonerInstruments

    def reasoner(self, *, prices: Prices | None = PRICES) -> GuardedReasoner:
        key = ProviderKey(self.double.key, "file k")
        inner = AnthropicReasoner(AnthropicOptions(model="claude-double", url=self.double.url, key=key))
        options = GuardOptions(attempts=3, first_pause=0.001, longest_pause=0.01)
        return GuardedReasoner(inner, options, prices=prices, instruments=self.instruments)

    def span(self) -> ReadableSpan:
        (span,) = self.spans.get_finished_spans()
        return span

    def points(self, metric: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]


@pytest.fixture
def watched() -> Iterator[Watched]:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider(metric_readers=[reader])
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    instruments = ReasonerInstruments(tracers.get_tracer("t"), meters.get_meter("t"))
    with ProviderDouble() as double:
        yield Watched(double, spans, reader, instruments)


async def test_an_answer_is_counted_by_namespace_model_and_prompt(watched: Watched) -> None:
    watched.double.says(Refuses(status=529), Said(output=ANSWER, usage=USAGE, model="claude-double-20260101"))
    reasoner = watched.reasoner()
    reply = await reasoner.ask(PROMPT, namespace="tenant")
    await reasoner.close()
    assert reply.usage == TokenUsage(input=10_000, output=200, cached_input=6_000, cache_write=1_000)
    assert reply.cost == pytest.approx(COST)
    assert reply.attempts == 2

    tokens = {point.attributes["gen_ai.token.type"]: point for point in watched.points("gen_ai.client.token.usage")}
    assert {kind: point.sum for kind, point in tokens.items()} == {"input": 10_000, "output": 200}
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-double",
        "gen_ai.response.model": "claude-double-20260101",
        "memoir.namespace": "tenant",
        "memoir.prompt": "extract",
    }
    assert expected.items() <= dict(tokens["input"].attributes).items()
    (cost,) = watched.points("memoir.reasoner.cost")
    assert cost.value == pytest.approx(COST)
    (attempts,) = watched.points("memoir.reasoner.attempts")
    assert attempts.value == 2
    (duration,) = watched.points("gen_ai.client.operation.duration")
    assert duration.count == 1
    assert "error.type" not in duration.attributes


async def test_the_span_follows_the_conventions(watched: Watched) -> None:
    watched.double.says(Said(output=ANSWER, usage=USAGE))
    reasoner = watched.reasoner()
    await reasoner.ask(PROMPT, namespace="tenant")
    await reasoner.close()
    span = watched.span()
    assert span.name == "chat claude-double"
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-double",
        "gen_ai.request.max_tokens": 300,
        "gen_ai.response.model": "claude-double",
        "gen_ai.response.finish_reasons": ("tool_use",),
        "gen_ai.output.type": "json",
        "gen_ai.usage.input_tokens": 10_000,
        "gen_ai.usage.output_tokens": 200,
        "gen_ai.usage.cache_read.input_tokens": 6_000,
        "gen_ai.usage.cache_creation.input_tokens": 1_000,
        "memoir.prompt": "extract",
        "memoir.prompt.version": "7",
        "memoir.namespace": "tenant",
        "memoir.attempts": 1,
    }
    assert expected.items() <= dict(span.attributes or {}).items()


async def test_a_useless_answer_is_paid_for_too(watched: Watched) -> None:
    watched.double.says(Said(output="no json", usage=USAGE))
    reasoner = watched.reasoner()
    with pytest.raises(ReasonerOutput) as failure:
        await reasoner.ask(PROMPT, namespace="tenant")
    await reasoner.close()
    assert failure.value.cost == pytest.approx(COST)
    assert sum(point.sum for point in watched.points("gen_ai.client.token.usage")) == 10_200
    assert watched.span().status.status_code is StatusCode.ERROR
    assert (watched.span().attributes or {})["error.type"] == "ReasonerOutput"


async def test_nothing_said_appears_in_telemetry(watched: Watched) -> None:
    reasoner = watched.reasoner()
    outcomes: list[Said | Refuses] = [
        Said(output=ANSWER),
        Said(output="Anna lebt nicht in Köln"),
        Refuses(status=400, message="Ich lebe in Köln is not allowed"),
    ]
    for outcome in outcomes:
        watched.double.script.clear()
        watched.double.says(outcome)
        told = ""
        try:
            await reasoner.ask(PROMPT, namespace="tenant")
        except ReasonerError as failure:
            told = str(failure)
        assert "Köln" not in told
    await reasoner.close()
    spans = watched.spans.get_finished_spans()
    assert len(spans) == 3
    shown = "".join(str(span.to_json()) for span in spans) + str(watched.reader.get_metrics_data())
    assert "Köln" not in shown
    assert "You extract facts" not in shown
    assert watched.double.key not in shown


async def test_a_breaker_that_is_open_is_told_with_when_to_come_back(watched: Watched) -> None:
    watched.double.says(Refuses(status=500))
    key = ProviderKey(watched.double.key, "file k")
    inner = AnthropicReasoner(AnthropicOptions(model="claude-double", url=watched.double.url, key=key))
    options = GuardOptions(attempts=1, breaker_threshold=2, first_pause=1000.0, longest_pause=1000.0)
    reasoner = GuardedReasoner(inner, options, instruments=watched.instruments)
    for _ in range(2):
        with pytest.raises(ReasonerUnavailable, match="HTTP 500"):
            await reasoner.ask(PROMPT, namespace="n")
    with pytest.raises(ReasonerUnavailable, match="has not answered lately") as barred:
        await reasoner.ask(PROMPT, namespace="n")
    await reasoner.close()
    assert reasoner.breaker is not BreakerState.CLOSED
    assert barred.value.retry_after is not None
    assert not barred.value.busy
    assert barred.value.attempts == 0
    assert len(watched.double.calls) == 2


async def test_a_pace_without_a_place_is_told_with_the_settings_that_make_it(watched: Watched) -> None:
    watched.double.says(ANSWER)
    key = ProviderKey(watched.double.key, "file k")
    inner = AnthropicReasoner(AnthropicOptions(model="claude-double", url=watched.double.url, key=key))
    reasoner = GuardedReasoner(inner, GuardOptions(requests_per_minute=1), instruments=watched.instruments)
    soon = asyncio.get_running_loop().time() + 10
    await reasoner.ask(PROMPT, namespace="n", deadline=soon)
    with pytest.raises(ReasonerUnavailable, match=r"reasoner\.requests_per_minute") as barred:
        await reasoner.ask(PROMPT, namespace="n", deadline=soon)
    await reasoner.close()
    assert barred.value.busy
    assert len(watched.double.calls) == 1


async def test_without_prices_no_cost_is_made_up(watched: Watched) -> None:
    watched.double.says(ANSWER)
    reasoner = watched.reasoner(prices=None)
    assert (await reasoner.ask(PROMPT, namespace="n")).cost is None
    await reasoner.close()
    assert watched.points("memoir.reasoner.cost") == []


async def test_a_refusal_is_an_attempt_without_tokens(watched: Watched) -> None:
    watched.double.says(Refuses(status=401))
    reasoner = watched.reasoner()
    with pytest.raises(ReasonerRefused):
        await reasoner.ask(PROMPT, namespace="n")
    await reasoner.close()
    assert watched.points("gen_ai.client.token.usage") == []
    (attempts,) = watched.points("memoir.reasoner.attempts")
    assert attempts.value == 1
    (duration,) = watched.points("gen_ai.client.operation.duration")
    assert duration.attributes["error.type"] == "ReasonerRefused"


async def test_the_fixed_part_is_cached_by_the_provider(watched: Watched) -> None:
    long = "Rule: keep what was said. " * 400
    watched.double.says(ANSWER)
    reasoner = watched.reasoner()
    prompts = [
        type(PROMPT)(name="p", version="1", system=long, content=PROMPT.content[:n], schema=PROMPT.schema)
        for n in (1, 2)
    ]
    first, second = [(await reasoner.ask(prompt, namespace="n")).usage for prompt in prompts]
    await reasoner.close()
    assert first.cache_write > 1024
    assert first.cached_input == 0
    assert (second.cached_input, second.cache_write) == (first.cache_write, 0)
    plain = AnthropicReasoner(
        AnthropicOptions(
            model="claude-double", url=watched.double.url, key=ProviderKey(watched.double.key, "k"), cache=False
        )
    )
    assert (await plain.ask(prompts[0], namespace="n")).usage.cached_input == 0
    await plain.close()


async def test_cached_tokens_of_an_openai_server_are_part_of_the_input(watched: Watched) -> None:
    watched.double.says(Said(output=ANSWER, usage=Usage(input=3000, output=50, cached=2048)))
    key = ProviderKey(watched.double.key, "file k")
    reasoner = OpenAIReasoner(OpenAIOptions(model="gpt-double", url=f"{watched.double.url}/v1", key=key))
    usage = (await reasoner.ask(PROMPT, namespace="n")).usage
    await reasoner.close()
    assert usage == TokenUsage(input=3000, output=50, cached_input=2048)


def test_prices_of_what_is_not_priced_apart() -> None:
    usage = TokenUsage(input=1_000_000, output=0, cached_input=400_000, cache_write=100_000)
    assert Prices(input=2.0, output=8.0).cost(usage) == pytest.approx(2.0)
    assert usage + usage == TokenUsage(input=2_000_000, cached_input=800_000, cache_write=200_000)
