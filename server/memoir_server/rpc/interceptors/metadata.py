"""What the chain reads from a call's metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class CallMetadata:
    """The metadata of one call; empty strings for what was not sent. A malformed traceparent reads as not sent."""

    authorization: str = ""
    traceparent: str = ""
    tracestate: str = ""


NOTHING = CallMetadata()


def read_metadata(pairs: Iterable[tuple[str, str | bytes]] | None) -> CallMetadata:
    """Picks out the three headers."""
    authorization = traceparent = tracestate = ""
    for key, value in pairs or ():
        if isinstance(value, bytes):
            continue
        if key == "authorization":
            authorization = value
        elif key == "traceparent":
            traceparent = value if _TRACEPARENT.fullmatch(value) else ""
        elif key == "tracestate":
            tracestate = value
    if not authorization and not traceparent:
        return NOTHING
    return CallMetadata(authorization, traceparent, tracestate)
