"""The real stores, and a deployment of its own for each test."""

from __future__ import annotations

import itertools

import pytest

from stores.deployment import Deployment, deployment
from stores.four import Stores

_numbers = itertools.count()


@pytest.fixture
def place(four_stores: Stores) -> Deployment:
    """Names in the four stores that nothing else uses. What an earlier test stopped is started again."""
    for store in four_stores.each:
        store.start()
    return deployment(four_stores, f"shared{next(_numbers)}")
