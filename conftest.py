"""What every test may use, and what a run takes in."""

from __future__ import annotations

from pathlib import Path

import pytest

from stores.fixtures import four_stores

__all__ = ["four_stores"]

pytest.register_assert_rewrite("memoir_conformance")

_OF_STORES = Path(__file__).parent / "tests/stores"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what starts the real stores, so that `-m "not stores"` leaves it out."""
    for item in items:
        if "four_stores" in getattr(item, "fixturenames", ()) or _OF_STORES in item.path.parents:
            item.add_marker(pytest.mark.stores)
