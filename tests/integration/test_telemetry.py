"""One span per call, with the status the call really ended with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from memoir.v1 import history_pb2, memory_pb2
from memoir_server.app.settings import TelemetrySettings
from memoir_server.app.telemetry import Telemetry, configure
from tests.integration.harness import TIMEOUT, Client, refused, serving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass(frozen=True, slots=True)
class Watched:
    client: Client
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    async def span(self, method: str) -> ReadableSpan:
        """The one server span of a method, once it has ended."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                found = [s for s in self.exporter.get_finished_spans() if s.name.endswith(f"/{method}")]
                if found:
                    assert len(found) == 1
                    return found[0]
                await asyncio.sleep(0.01)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry(tracers, MeterProvider(metric_readers=[reader]))
    async with serving(tmp_path, telemetry=telemetry) as client:
        yield Watched(client, exporter, reader)


def hold(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Reads of the ledger hang from here on; the event is set when one does."""
    entered = asyncio.Event()

    async def held(*_: object, **__: object) -> None:
        entered.set()
        await asyncio.sleep(TIMEOUT)

    monkeypatch.setattr(watched.client.server.composition.ledger, "get", held)
    return entered


def outcome(span: ReadableSpan) -> tuple[object, StatusCode, object]:
    assert span.attributes is not None
    return span.attributes["rpc.grpc.status_code"], span.status.status_code, span.attributes.get("error.type")


async def test_success(watched: Watched) -> None:
    await watched.client.create("x", "m")
    request = memory_pb2.GetMemoryRequest(memory_id="m")
    header = [("traceparent", f"00-{TRACE}-{PARENT}-01")]
    await watched.client.memory.GetMemory(request, timeout=TIMEOUT, metadata=header)
    span = await watched.span("GetMemory")
    assert span.name == "memoir.v1.MemoryService/GetMemory"
    assert span.kind is SpanKind.SERVER
    assert outcome(span) == (0, StatusCode.UNSET, None)
    assert span.attributes is not None
    assert span.attributes["rpc.system"] == "grpc"
    assert span.attributes["rpc.service"] == "memoir.v1.MemoryService"
    assert span.attributes["memoir.namespace"] == "default"
    assert span.parent is not None
    assert trace.format_trace_id(span.parent.trace_id) == TRACE
    assert trace.format_span_id(span.parent.span_id) == PARENT
    children = [s for s in watched.exporter.get_finished_spans() if s.name == "ledger get" and s.parent is not None]
    assert [s.parent.span_id for s in children if s.parent] == [span.context.span_id]


async def test_a_rich_error_keeps_its_code(watched: Watched) -> None:
    await refused(watched.client.get("nothing"))
    assert outcome(await watched.span("GetMemory")) == (5, StatusCode.UNSET, "MEMORY_NOT_FOUND")


async def test_an_uncaught_exception_is_internal(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(watched.client.server.composition.ledger, "get", fail)
    problem = await refused(watched.client.get("m"))
    span = await watched.span("GetMemory")
    assert outcome(span) == (13, StatusCode.ERROR, "INTERNAL")
    assert trace.format_trace_id(span.context.trace_id) == problem.metadata["trace_id"]


async def test_a_passed_deadline(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(watched, monkeypatch)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watched.client.memory.GetMemory(memory_pb2.GetMemoryRequest(memory_id="m"), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert outcome(await watched.span("GetMemory")) == (4, StatusCode.ERROR, "DEADLINE_EXCEEDED")


async def test_a_client_that_cancels_a_unary_call(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = hold(watched, monkeypatch)
    call = watched.client.memory.GetMemory(memory_pb2.GetMemoryRequest(memory_id="m"), timeout=TIMEOUT)
    waiting = asyncio.ensure_future(call)
    await entered.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert outcome(await watched.span("GetMemory")) == (1, StatusCode.UNSET, "CANCELLED")


async def test_a_client_that_cancels_a_stream(watched: Watched) -> None:
    call = watched.client.history.WatchHistory(history_pb2.WatchHistoryRequest(), timeout=TIMEOUT)
    await call.read()
    call.cancel()
    assert outcome(await watched.span("WatchHistory")) == (1, StatusCode.UNSET, "CANCELLED")


async def test_a_stream_with_a_passed_deadline(watched: Watched) -> None:
    call = watched.client.history.WatchHistory(history_pb2.WatchHistoryRequest(), timeout=0.5)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert outcome(await watched.span("WatchHistory")) == (4, StatusCode.ERROR, "DEADLINE_EXCEEDED")


async def test_calls_are_counted_and_timed(watched: Watched) -> None:
    await watched.client.create("x", "m")
    await refused(watched.client.get("nothing"))
    await watched.span("GetMemory")
    data = watched.reader.get_metrics_data()
    assert data is not None
    found = {
        (metric.name, point.attributes["rpc.method"]): point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if point.attributes is not None
    }
    assert found["memoir.rpc.calls", "GetMemory"].value == 1  # type: ignore[union-attr]
    assert found["memoir.rpc.calls", "GetMemory"].attributes["rpc.grpc.status_code"] == 5  # type: ignore[index]
    assert found["memoir.rpc.duration", "CreateMemory"].count == 1  # type: ignore[union-attr]


async def test_the_history_leads_to_the_span_of_the_mutation(watched: Watched) -> None:
    await watched.client.create("x", "m")
    page = await watched.client.history.ListHistory(history_pb2.ListHistoryRequest(), timeout=TIMEOUT)
    span = await watched.span("CreateMemory")
    context = span.context
    ids = f"{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"
    assert page.events[0].traceparent == f"00-{ids}-{int(context.trace_flags):02x}"


def test_nothing_is_exported_unless_configured() -> None:
    telemetry = configure(TelemetrySettings(), version="0")
    assert telemetry.tracers is None
    assert telemetry.meters is None
