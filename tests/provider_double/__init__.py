"""A double of the model providers' HTTP APIs, for tests: it says what a script tells it, in the real ones' words.

The vendors' own clients talk to it unmodified. What is real here is the wire: paths, headers, bodies, checks of
requests, error bodies, streaming, counts of tokens. What is not is the model: the script's exchanges answer for it.
"""

from tests.provider_double.exchange import (
    Breaks,
    Call,
    Exchange,
    Hangs,
    Match,
    Page,
    Refuses,
    Said,
    Stop,
    Usage,
)
from tests.provider_double.server import ProviderDouble

__all__ = [
    "Breaks",
    "Call",
    "Exchange",
    "Hangs",
    "Match",
    "Page",
    "ProviderDouble",
    "Refuses",
    "Said",
    "Stop",
    "Usage",
]
