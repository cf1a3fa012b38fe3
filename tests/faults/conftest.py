"""One report for all tests of the folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from stores.fixtures import four_stores
from stores.four import Stores, bounded_stores
from tests.faults.extent import ALL, SEED
from tests.faults.model import language_model
from tests.faults.report import PAGE, Report
from tests.faults.site import prepared

ALL_SECONDS = 4 * 3600.0
__all__ = ["four_stores"]


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a stopped server as every case finds it: with the data of `prepare`. To be copied."""
    return asyncio.run(prepared(tmp_path_factory.mktemp("origin")))


if ALL:
    # More than the time that a run of everything else has.
    @pytest.fixture(scope="session")
    def four_stores() -> Iterator[Stores]:
        """The real stores."""
        with bounded_stores(seconds=ALL_SECONDS) as stores:
            yield stores


@pytest.fixture(scope="session")
def model() -> Iterator[Mapping[str, str]]:
    """Variables of servers with a language model."""
    with language_model() as environment:
        yield environment


@pytest.fixture(scope="session")
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Shows a line at once, whatever is captured."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    writer = request.config.get_terminal_writer()

    def show(line: str) -> None:
        with capture.global_and_fixture_disabled():
            writer.line()
            writer.write(line, flush=True)

    return show


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    """Collects what the tests found. A run of all tests writes it down, outcome by outcome, and in the end, when nothing
    failed, as a page."""
    journal = tmp_path_factory.getbasetemp() / "faults.jsonl" if ALL else None
    if journal is not None:
        request.config.get_terminal_writer().line(f"outcomes go to {journal}")
    found = Report(journal)
    yield found
    if ALL and found.complete and not request.session.testsfailed:
        PAGE.write_text(found.page("make faults", SEED), encoding="utf-8")
