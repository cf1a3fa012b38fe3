"""What every test may use, and what a run takes in."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from stores.fixtures import four_stores

__all__ = ["four_stores"]

pytest.register_assert_rewrite("memoir_conformance")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell has it for what runs in the background; programs under test would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is, not whether the law holds.
settings.register_profile("memoir", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("memoir")

_OF_STORES = Path(__file__).parent / "tests/stores"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what starts the real stores, so that `-m "not stores"` leaves it out."""
    for item in items:
        if "four_stores" in getattr(item, "fixturenames", ()) or _OF_STORES in item.path.parents:
            item.add_marker(pytest.mark.stores)
