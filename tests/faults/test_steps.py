"""kill -9 before and after every port call of every mutation, each against a run that nobody disturbed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import pytest

from tests.faults.extent import KILLS
from tests.faults.matrix import kill_everywhere
from tests.faults.operations import OPERATIONS
from tests.faults.report import STEPS, Report
from tests.faults.site import CopiedSite, Site

AT_ONCE = 4
WRITES = 3
"""Kills at writes of each operation in a part run."""


class PassingSite(CopiedSite):
    """Takes its directory away, unless its case failed."""

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, failure, trace)
        if failure is None:
            shutil.rmtree(self.journal.parent)


@pytest.mark.timeout(7200)
async def test_a_kill_at_any_step_changes_nothing(
    origin: Path, tmp_path: Path, model: Mapping[str, str], report: Report, tell: Callable[[str], None]
) -> None:
    def lane(name: str) -> Site:
        return PassingSite(origin, tmp_path / name, model)

    await kill_everywhere([lane] * AT_ONCE, STEPS, (WRITES, KILLS), report, tell)


def test_every_operation_is_recorded_down_to_the_stores() -> None:
    """The list of operations is the one the documentation promises."""
    names = [operation.name for operation in OPERATIONS]
    assert names == ["create", "add", "infer", "infer-later", "update", "supersede", "delete", "reset", "erasure"]
