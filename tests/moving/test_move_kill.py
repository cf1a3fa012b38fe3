"""A move that is killed -9 at every step, and gone on with each time."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from memoir_server.ports.ledger_copy import Part
from tests.cli.command import environment
from tests.moving.answers import accesses, answers
from tests.moving.life import distributed, embedded, live
from tests.moving.test_move import variables

pytestmark = pytest.mark.timeout(600)

DRIVER = Path(__file__).with_name("killed_moves.py")
STEPS = (
    *("note moving", "begin", *(f"write {part}" for part in Part), "record building"),
    *("adopt index", "adopt graph", "apply", "complete", "examine", "record finished", "note moved"),
)
"""Calls of a move, in order. A part is written in several pages: killed after the first, it goes on with the second."""
ALSO_BEFORE = ("note moving", "begin", "write events", "apply", "record finished")
"""Elsewhere what stands before a call is what stands after the one before it."""


def killed_moves(data: Path, there: Mapping[str, str], points: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """What the driver says of each run."""
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(data)],
        input="".join(f"{json.dumps(point)}\n" for point in points),
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
        env=environment(variables(there)) | {"PYTHONPATH": str(DRIVER.parents[2])},
    )
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    expected = [f"{when} {step}" for step, when in [*points, ("nothing", "after")]]
    assert [run["point"] for run in runs] == expected, done.stderr[-4000:]
    return runs


async def test_killed_at_every_step_it_goes_on(tmp_path: Path, there: Mapping[str, str]) -> None:
    data = tmp_path / "data"
    held = await live(data)
    async with embedded(data) as client:
        before = await answers(client, held)
    async with embedded(data) as client:
        counted = await accesses(client)
    ledger = (data / "ledger.db").read_bytes()
    points = [(step, when) for step in STEPS for when in ("before", "after") if when == "after" or step in ALSO_BEFORE]
    runs = await asyncio.to_thread(killed_moves, data, there, points)
    *killed, last = runs
    spared = [run for run in killed if run["signal"] != signal.SIGKILL]
    assert spared == []
    begun = next(i for i, run in enumerate(killed) if run["point"] == "after begin")
    ended = next(i for i, run in enumerate(killed) if run["point"] == "after record finished")
    for number, run in enumerate(runs):
        assert ("is not finished" in run["there"]) == (begun <= number < ended), run
        assert ("is being moved" in run["here"]) == (0 < number < len(killed) - 1), run
    assert "was moved" in last["here"]
    result = json.loads(last["said"])
    assert (result["finished"], result["embedded"], result["findings"]) == (True, 0, 0)
    assert (data / "ledger.db").read_bytes() == ledger
    async with distributed(there, tmp_path) as client:
        assert await accesses(client) == counted
        after = await answers(client, held)
        assert [asked for asked, answer in before.items() if after[asked] != answer] == []
