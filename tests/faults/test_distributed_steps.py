"""kill -9 before and after every port call of every mutation, with the ledger in PostgreSQL, the index in Weaviate, the
graph in Neo4j and the cache in Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from stores.four import Stores
from tests.faults.distributed import Lane
from tests.faults.extent import ALL, DISTRIBUTED_KILLS
from tests.faults.matrix import kill_everywhere
from tests.faults.report import DISTRIBUTED_STEPS, Report

AT_ONCE = 4 if ALL else 3
"""Deployments side by side: most of the time, a case waits for the leases of the server that was killed."""
WRITES = 1
"""Kills at writes of each operation in a part run."""


@pytest.mark.timeout(7200)
async def test_a_kill_at_any_step_changes_nothing_in_real_stores(
    four_stores: Stores, tmp_path: Path, model: Mapping[str, str], report: Report, tell: Callable[[str], None]
) -> None:
    async with AsyncExitStack() as stack:
        lanes = [
            await stack.enter_async_context(Lane(four_stores, f"steps{n}", tmp_path / f"lane{n}", environment=model))
            for n in range(AT_ONCE)
        ]
        await kill_everywhere(lanes, DISTRIBUTED_STEPS, (WRITES, DISTRIBUTED_KILLS), report, tell)
