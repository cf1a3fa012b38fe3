"""Pytest fixtures: the four real stores, started once for a whole run and gone with it.

Import what you need into a conftest: `from stores.fixtures import four_stores`.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

import pytest

from stores.four import Stores, bounded_stores

LIFE_SECONDS: Final = 3600.0
"""The longest a run may use them; also what bounds them should the run never end."""

_started: Final = pytest.StashKey[Stores]()


@pytest.fixture(scope="session")
def four_stores(pytestconfig: pytest.Config) -> Stores:
    """Weaviate, Neo4j, PostgreSQL and Redis, answering. `four_stores.addresses` says where.

    All folders that import the fixture share one set. A test that kills or stops one starts it again before it ends.
    """
    if _started not in pytestconfig.stash:
        life = ExitStack()
        # Ended with the run, not with the fixture: each importing folder has a fixture of its own.
        pytestconfig.add_cleanup(life.close)
        pytestconfig.stash[_started] = life.enter_context(bounded_stores(seconds=LIFE_SECONDS))
    return pytestconfig.stash[_started]
