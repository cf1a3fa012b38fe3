"""One trace per call, from the SDK through the server into every store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from memoir import AsyncMemoir
from memoir_server.app.telemetry import Telemetry
from stores.deployment import Deployment
from tests.distributed.serving import caught_up, serving

FACTS = {
    "entities": [{"name": "Ana", "type": "person"}, {"name": "Leeds", "type": "place"}],
    "relations": [{"subject": "Ana", "predicate": "LIVES_IN", "object": "Leeds"}],
}


class Traces:
    """Spans by trace."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    def of(self, span: trace.Span) -> Sequence[ReadableSpan]:
        """All spans of a span's trace."""
        wanted = span.get_span_context().trace_id
        return [found for found in self.exporter.get_finished_spans() if found.context.trace_id == wanted]

    async def until(self, span: trace.Span, *names: str) -> dict[str, ReadableSpan]:
        """The spans of a span's trace by name, once all of these have ended."""
        found: dict[str, ReadableSpan] = {}
        for _ in range(1000):
            found = {each.name: each for each in self.of(span)}
            if set(names) <= found.keys():
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"only these have ended: {', '.join(sorted(found))}")


# One for all tests: a tracer that a module keeps belongs to the first provider it sees.
_TRACES = Traces()


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Traces:
    """The provider of this process: the SDK and the projector take theirs from there."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", _TRACES.tracers)
    _TRACES.exporter.clear()
    return _TRACES


def sizes(span: ReadableSpan) -> tuple[object, object, object]:
    assert span.attributes is not None
    return (
        span.attributes.get("memoir.items"),
        span.attributes.get("memoir.results"),
        span.attributes["memoir.attempts"],
    )


async def test_a_write_and_a_search_cross_every_store(tmp_path: Path, place: Deployment, traces: Traces) -> None:
    ours = traces.tracers.get_tracer("test")
    async with (
        serving(tmp_path, place, telemetry=Telemetry(traces.tracers)) as client,
        AsyncMemoir(client.server.address) as memoir,
    ):
        with ours.start_as_current_span("a chat turn") as turn:
            await memoir.create_many(
                [{"text": f"Ana lives in Leeds, note {n}", "user_id": "ana", **FACTS} for n in range(3)]
            )
        written = await traces.until(turn, "memoir.v1.MemoryService/BatchCreateMemories", "ledger commit")
        assert sizes(written["ledger commit"])[1:] == (3, 1)
        await caught_up(memoir)
        with ours.start_as_current_span("a question") as question:
            found = await memoir.search("Where does Ana live?", user_id="ana")
        assert len(found.hits) == 3
        searched = await traces.until(
            question,
            "memoir.v1.SearchService/SearchMemories",
            "index keyword",
            "index dense",
            "graph match",
            "cache get_many",
        )
        call = searched["memoir.v1.SearchService/SearchMemories"]
        assert call.parent is not None
        assert call.parent.span_id == question.get_span_context().span_id
        assert sizes(searched["index keyword"])[1:] == (3, 1)
        systems = {
            span.attributes["db.system.name"]
            for span in searched.values()
            if span.attributes and "db.system.name" in span.attributes
        }
        assert {"weaviate", "neo4j", "postgresql", "redis"} <= systems
        assert {span.resource for span in searched.values()} == {call.resource}
        known = {span.context.span_id for span in traces.of(question)} | {question.get_span_context().span_id}
        assert {span.parent.span_id for span in traces.of(question) if span.parent} <= known, "a span hangs in the air"


async def test_the_projector_has_a_trace_of_its_own(tmp_path: Path, place: Deployment, traces: Traces) -> None:
    async with (
        serving(tmp_path, place, telemetry=Telemetry(traces.tracers)) as client,
        AsyncMemoir(client.server.address) as memoir,
    ):
        await client.create("Ana lives in Leeds")
        await caught_up(memoir)
        finished = traces.exporter.get_finished_spans()
        batches = [span for span in finished if span.name in ("project index", "project graph")]
        assert {span.name for span in batches} == {"project index", "project graph"}
        applied = [span for span in finished if span.name in ("index apply", "graph apply")]
        parents = {span.context.span_id for span in batches}
        assert {span.parent.span_id for span in applied if span.parent} <= parents
        assert all(sizes(span)[2] == 1 for span in applied)
