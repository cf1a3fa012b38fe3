"""The stores by their part in the service, whichever product stands behind each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class StoreKind(IntEnum):
    """A part that holds or computes data; the numbers are those of the contract."""

    LEDGER = 1
    INDEX = 2
    GRAPH = 3
    CACHE = 4
    EMBEDDER = 5


PROJECTIONS = (StoreKind.INDEX, StoreKind.GRAPH)
"""Stores that follow the ledger and can be rebuilt from it."""


class BreakerState(IntEnum):
    """State of a circuit breaker; the numbers are those of the contract."""

    CLOSED = 1
    OPEN = 2
    HALF_OPEN = 3


class Durability(IntEnum):
    """How far a write has got; the numbers are those of the contract."""

    ACCEPTED = 1
    INDEXED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """State of one store for one namespace. `latency_us` is the round trip of the last probe in microseconds."""

    store: StoreKind
    reachable: bool
    version: str = ""
    latency_us: int = 0
    applied_revision: int = 0
    lag: int = 0
    breaker: BreakerState | None = None
    degraded: int = 0
