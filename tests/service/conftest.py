"""Fixtures of the service tests: quick retries, a world in a temporary directory, a running service in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from memoir_server.service import clearing, projector, resets
from memoir_server.service.breaker import Breaker
from tests.service.harness import Memoir, World


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules, with delays that suit a test."""
    monkeypatch.setattr(projector, "Breaker", partial(Breaker, first_delay=0.02, max_delay=0.1))
    monkeypatch.setattr(projector, "IDLE_SECONDS", 0.02)
    monkeypatch.setattr(projector, "LEDGER_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(clearing, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(resets, "Breaker", partial(Breaker, first_delay=0.02, max_delay=0.1))
    monkeypatch.setattr(resets, "TAKE_UP_SECONDS", 0.05)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def memoir(world: World) -> AsyncIterator[Memoir]:
    async with world.running() as running:
        yield running
