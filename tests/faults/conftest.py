"""One report for all tests of the folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.extent import ALL, SEED
from tests.faults.report import Report


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """Collects what the tests found; a full run writes it down."""
    found = Report()
    yield found
    if ALL:
        found.write("make faults", SEED)
