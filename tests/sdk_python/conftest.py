"""Fixtures of the client's tests."""

from collections.abc import AsyncIterator

import pytest

from memoir import AsyncMemoir
from tests.sdk_python.fake_server import FakeServer, fake_server


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        yield server


@pytest.fixture
async def client(fake: FakeServer) -> AsyncIterator[AsyncMemoir]:
    async with AsyncMemoir(fake.target, "tests", "secret", timeout=5.0) as memoir:
        yield memoir
