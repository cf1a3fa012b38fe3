"""One span, one duration and one count per call, with the status the call really ended with.

Span status follows the OpenTelemetry conventions for RPC servers: codes that mean the server failed set ERROR, codes
that the caller brought about (NOT_FOUND, CANCELLED, ...) leave the status unset; `rpc.grpc.status_code` tells them all.
"""

from __future__ import annotations

import secrets
import time

import grpc
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from memoir_server.rpc.contract import Method
from memoir_server.rpc.interceptors.metadata import CallMetadata

SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes that set the span's status to ERROR."""


class CallRecord:
    """The trace of one call where no telemetry is configured: it only knows the caller's traceparent."""

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    @property
    def trace_id(self) -> str:
        """32 hex digits to find the call by: the caller's, or made up here."""
        return self.traceparent[3:35] if self.traceparent else secrets.token_hex(16)

    def locate(self, namespace: str, principal: str) -> None:
        """Notes what became known about the call."""

    def finish(self, code: grpc.StatusCode, reason: str = "", message: str = "") -> None:
        """Ends the record with the status the call ended with."""


class _Recorded(CallRecord):
    __slots__ = ("_attributes", "_owner", "_span", "_started")

    def __init__(self, owner: Tracing, method: Method, metadata: CallMetadata) -> None:
        self._owner = owner
        self._started = time.perf_counter()
        self._attributes: dict[str, str | int] = {
            "rpc.system": "grpc",
            "rpc.service": method.service,
            "rpc.method": method.name,
        }
        self._span: trace.Span = trace.INVALID_SPAN
        super().__init__(metadata.traceparent)
        if owner.tracer is not None:
            self._open_span(owner.tracer, method, metadata)

    def _open_span(self, tracer: Tracer, method: Method, metadata: CallMetadata) -> None:
        carrier = {"traceparent": metadata.traceparent, "tracestate": metadata.tracestate}
        parent = propagate.extract(carrier) if metadata.traceparent else otel_context.Context()
        self._span = tracer.start_span(
            f"{method.service}/{method.name}", context=parent, kind=SpanKind.SERVER, attributes=self._attributes
        )
        # Each call runs in a task of its own, whose context ends with it: there is nothing to detach.
        otel_context.attach(trace.set_span_in_context(self._span, parent))
        context = self._span.get_span_context()
        if context.is_valid:
            self.traceparent = (
                f"00-{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"
                f"-{int(context.trace_flags):02x}"
            )

    def locate(self, namespace: str, principal: str) -> None:
        self._span.set_attribute("memoir.namespace", namespace)
        self._span.set_attribute("memoir.principal", principal)

    def finish(self, code: grpc.StatusCode, reason: str = "", message: str = "") -> None:
        number: int = code.value[0]
        span = self._span
        span.set_attribute("rpc.grpc.status_code", number)
        if code is not grpc.StatusCode.OK:
            span.set_attribute("error.type", reason or code.name)
        if code in SERVER_FAULTS:
            span.set_status(Status(StatusCode.ERROR, message or code.name))
        span.end()
        self._owner.measure(self._attributes, number, time.perf_counter() - self._started)


class Tracing:
    """Makes the record of each call. Without a tracer and a meter it costs next to nothing."""

    def __init__(self, tracer: Tracer | None = None, meter: Meter | None = None) -> None:
        self.tracer = tracer
        self._on = tracer is not None or meter is not None
        self._duration = self._calls = None
        if meter is not None:
            self._duration = meter.create_histogram("memoir.rpc.duration", unit="s", description="Time to serve a call")
            self._calls = meter.create_counter("memoir.rpc.calls", unit="{call}", description="Calls served")

    def begin(self, method: Method, metadata: CallMetadata) -> CallRecord:
        """Opens the record, and makes its span the current one of this task."""
        return _Recorded(self, method, metadata) if self._on else CallRecord(metadata.traceparent)

    def measure(self, attributes: dict[str, str | int], code: int, seconds: float) -> None:
        """Counts a call that ended."""
        if self._duration is None or self._calls is None:
            return
        labels = {**attributes, "rpc.grpc.status_code": code}
        self._duration.record(seconds, labels)
        self._calls.add(1, labels)
