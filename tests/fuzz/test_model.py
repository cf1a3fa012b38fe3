"""A model of plain dictionaries predicts every answer of the ledger's reads, after any sequence of writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from memoir.v1 import memory_pb2, reset_pb2
from tests.fuzz.drawing import IDS, OWNERS, memories
from tests.fuzz.machine_core import RULES, step
from tests.fuzz.machine_reads import ReadRules
from tests.fuzz.machine_resets import ResetRules
from tests.fuzz.seeds import LONG, examples, told
from tests.fuzz.seeds import seed as chosen_seed
from tests.fuzz.steered_server import steered

ROUNDS = 20 if LONG else 2
MOST_ROUNDS = 2 * ROUNDS
"""Rounds that may be added until everything has come up that is to come up. Each starts from a seed of its own."""
EXAMPLES = 30
"""Sequences in a round."""
STEPS = 60 if LONG else 50


class Machine(ReadRules, ResetRules):
    """All rules together, and what each run starts from."""

    @step(
        first=True,
        several=st.lists(memories(), min_size=4, max_size=6),
        one=memories(),
        closing=st.booleans(),
        planned=st.sampled_from(OWNERS),
    )
    def begin(self, several: list[Any], one: Any, closing: bool, planned: Any) -> None:
        """A few memories, and listings and a reset to go on with."""
        for space, found in zip(self.spaces, (several, [one]), strict=True):
            request = memory_pb2.BatchCreateMemoriesRequest(
                allow_partial=True, durability="DURABILITY_ACCEPTED", request_id="begin"
            )
            for memory_id, memory in zip(IDS, found, strict=False):
                request.items.add(memory_id=memory_id, memory=memory)
            if closing and len(request.items) > 1:
                request.items[1].supersedes.append(IDS[0])
            self.write(space, "BatchCreateMemories", request)
            self.open_both(space)
        self.plan_for(self.spaces[0], reset_pb2.ResetTarget(scope=planned, include_history=True))


SITUATIONS = frozenset(
    f"{method} {outcome}"
    for method in (
        "AddMemories", "CreateMemory", "BatchCreateMemories", "UpdateMemory", "DeleteMemory", "BatchDeleteMemories",
        "GetMemory", "ListMemories", "PlanReset", "ExecuteReset",
    )
    for outcome in ("accepted", "refused")
) | {
    "ListHistory accepted", "WatchHistory accepted", "batch deletion of what is partly missing",
    "batch partly refused", "deletion of what is missing", "duplicate not stored", "duplicate removed since",
    "duplicate stored", "erasure", "erasure of facts that a reset had kept", "erasure of what had been removed",
    "etag mismatch", "expiry recorded by a sweep", "expiry recorded by a write", "get as of",
    "history continued after a change", "id used again", "list by as_of", "list by create_time_range",
    "list by filter", "list by valid_at", "listing continued after a change", "listing continued at once",
    "message sent before", "new memory stored closed", "page token of another listing", "request erased",
    "request forgotten after a day", "request partly erased", "request repeated", "request_id reused",
    "reset cancelled", "reset executed", "reset executed again", "reset in spite of drift", "reset of facts only",
    "reset refused as stale", "reset with a preserve filter", "superseded", "superseded within a batch",
    "update that changes nothing", "watch from a listing's resume token",
}  # fmt: skip
"""What has to come up beside the rules, so that none of it is only claimed."""


@pytest.mark.timeout(3600)
def test_a_model_predicts_what_the_ledger_answers(tmp_path: Path) -> None:
    bounds = settings(
        max_examples=examples(EXAMPLES),
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with steered(tmp_path) as server:

        class Run(Machine):
            pass

        Run.server, Run.tally = server, Counter()
        lacking = RULES | SITUATIONS
        for number in range(MOST_ROUNDS):
            if number >= ROUNDS and not lacking:
                break
            with told(f"the model run, round {number}"):
                run_state_machine_as_test(seed(chosen_seed() + number)(Run), settings=bounds)
            lacking = {name for name in RULES | SITUATIONS if not Run.tally[name]}
    assert not lacking, f"never came up: {sorted(lacking)}; what did: {dict(sorted(Run.tally.items()))}"
