"""How often a call of a store was tried, said on the call's span."""

from __future__ import annotations

from typing import Final

from opentelemetry import trace

ATTEMPTS: Final = "memoir.attempts"
"""Attribute of the span of a call of a store."""


def note_attempts(attempts: int) -> None:
    """Says on the span of the call in hand, if there is one, that it took more than one attempt."""
    if attempts > 1:
        trace.get_current_span().set_attribute(ATTEMPTS, attempts)
