"""OpenTelemetry: exporters and providers, only where the operator configured an endpoint.

Without one no provider is installed, every span is a no-op, and nothing leaves the machine.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from memoir_server.adapters.attempts import ATTEMPTS
from memoir_server.app.settings import TelemetrySettings
from memoir_server.domain.mutation import Committed, Mutation
from memoir_server.rpc.interceptors.trace import Tracing


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The providers in force; None: off. `close` flushes and ends the exporters."""

    tracers: TracerProvider | None = None
    meters: MeterProvider | None = None
    close: Callable[[], None] = lambda: None

    @property
    def tracing(self) -> Tracing:
        """What the RPC layer records with."""
        return Tracing(
            self.tracers.get_tracer("memoir.rpc") if self.tracers else None,
            self.meters.get_meter("memoir.rpc") if self.meters else None,
        )

    def watch_store(self, store: Any, name: str, methods: Sequence[str], *, system: str) -> None:
        """Makes calls of these async methods of a store appear as child spans. Does nothing while tracing is off.
        `system` is the product behind it."""
        if self.tracers is None:
            return
        tracer = self.tracers.get_tracer("memoir.stores")
        for method in methods:
            setattr(store, method, _traced(getattr(store, method), tracer, name, method, system))


def _traced(call: Callable[..., Any], tracer: trace.Tracer, store: str, method: str, system: str) -> Callable[..., Any]:
    if not inspect.iscoroutinefunction(call):
        raise TypeError(f"{store}.{method} is not a coroutine function and cannot be traced")
    span_name = f"{store} {method}"

    @functools.wraps(call)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        # An adapter that had to repeat the call sets the number itself (memoir_server.adapters.attempts).
        attributes: dict[str, str | int] = {"memoir.store": store, "db.system.name": system, ATTEMPTS: 1}
        if (given := _first_size((*args, *kwargs.values()))) is not None:
            attributes["memoir.items"] = given
        with tracer.start_as_current_span(span_name, attributes=attributes) as span:
            result = await call(*args, **kwargs)
            if (returned := _first_size((result,))) is not None:
                span.set_attribute("memoir.results", returned)
            return result

    return traced


def _first_size(values: Sequence[Any]) -> int | None:
    """How many things are in the first of the values that holds several; None where none does."""
    for value in values:
        if isinstance(value, Mutation):
            return len(value.memory_ids)
        if isinstance(value, Committed):
            return len(value.changes)
        if isinstance(value, Sized) and not isinstance(value, str | bytes):
            return len(value)
    return None


def configure(settings: TelemetrySettings, *, version: str) -> Telemetry:
    """Installs OTLP/HTTP exporters as the process's providers, when an endpoint is set."""
    if not settings.otlp_endpoint:
        return Telemetry()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    base = settings.otlp_endpoint.rstrip("/")
    resource = Resource.create({"service.name": settings.service_name, "service.version": version})
    tracers = SdkTracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{base}/v1/traces")))
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=f"{base}/v1/metrics"), export_interval_millis=settings.metrics_seconds * 1000
    )
    meters = SdkMeterProvider(metric_readers=[reader], resource=resource)
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)

    def close() -> None:
        tracers.shutdown()
        meters.shutdown()

    return Telemetry(tracers, meters, close)
