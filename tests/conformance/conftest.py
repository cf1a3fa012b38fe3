"""A Weaviate for the tests of the index on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stores.four import bounded_stores
from stores.weaviate import Weaviate


@pytest.fixture(scope="session")
def store() -> Iterator[Weaviate]:
    with bounded_stores((), seconds=900) as stores:
        # Else an insert into a collection that another server has dropped makes one without tenants.
        stores.weaviate.settings = {"AUTOSCHEMA_ENABLED": "false"}
        stores.weaviate.start()
        yield stores.weaviate
