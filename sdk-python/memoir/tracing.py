"""W3C trace context of a call: the caller's when OpenTelemetry is in use, a fresh one otherwise."""

import random

try:
    from opentelemetry import propagate, trace
except ImportError:  # OpenTelemetry is optional
    _HAS_OPENTELEMETRY = False
else:
    _HAS_OPENTELEMETRY = True

# Ids need to be unique, not secret; SystemRandom would cost a system call per RPC.
_random = random.Random()


def fresh_traceparent() -> str:
    """Return a new sampled `traceparent`, so that a call without a span of its own still has a trace to look up."""
    trace_id = _random.getrandbits(128) or 1
    span_id = _random.getrandbits(64) or 1
    return f"00-{trace_id:032x}-{span_id:016x}-01"


def trace_headers() -> list[tuple[str, str]]:
    """Return the headers that carry the trace context of the current task."""
    if _HAS_OPENTELEMETRY and trace.get_current_span().get_span_context().is_valid:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        if "traceparent" in carrier:
            return [(key.lower(), value) for key, value in carrier.items()]
    return [("traceparent", fresh_traceparent())]
