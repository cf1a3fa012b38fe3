"""The real stores, and a deployment with nothing in it for each test that asks for one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping

import pytest

from stores.deployment import deployment
from stores.fixtures import four_stores
from stores.four import Stores

__all__ = ["four_stores"]

_numbers = itertools.count(1)


@pytest.fixture
def new_deployment(four_stores: Stores) -> Callable[[], Mapping[str, str]]:
    """Makes settings, as "section.key" to text, of servers that share stores nobody else uses."""

    def make() -> Mapping[str, str]:
        name = f"move{os.getpid()}x{next(_numbers)}"
        address = four_stores.postgresql.create_database(name)
        ledger = {"ledger.adapter": "postgresql", "ledger.url": address.url}
        return {**deployment(four_stores, name).settings, **ledger, "embedder.model": "hash"}

    return make


@pytest.fixture
def there(new_deployment: Callable[[], Mapping[str, str]]) -> Mapping[str, str]:
    """One of them."""
    return new_deployment()
