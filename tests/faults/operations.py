"""The mutations whose every step is interrupted, and the memories they meet.

All ids and request ids are fixed, so that two runs can be compared. Ann's memories are changed, Bob's must stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from memoir import AsyncMemoir, IngestionState, Reset

CALL_SECONDS = 30.0
RESET_SECONDS = 60.0
INGESTION_SECONDS = 60.0
"""Generous: a slow machine must not look like a lost answer."""

WORDS = ("falcon", "kettle", "glacier", "cello", "harbour", "walnut", "saffron", "lantern", "meadow")
"""Each is in one text of one version only, so that a search for it finds that version or nothing."""


_UNDER_WAY = (IngestionState.PENDING, IngestionState.RUNNING)


@dataclass(frozen=True, slots=True)
class Operation:
    """One mutation: as a table names it, and how a client brings it about. Repeating it must change nothing."""

    name: str
    run: Callable[[AsyncMemoir], Coroutine[Any, Any, None]]


async def prepare(client: AsyncMemoir) -> None:
    """What is there before: three memories of Ann, one of them updated, and one of Bob."""
    await client.create(
        "Ann keeps a falcon in Oslo",
        user_id="ann",
        memory_id="ann-1",
        entities=["Ann", "Oslo"],
        relations=[("Ann", "LIVES_IN", "Oslo")],
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        request_id="prepare-1",
    )
    await client.create("Ann owns a copper pot", user_id="ann", memory_id="ann-2", request_id="prepare-2")
    await client.update("ann-2", text="Ann owns a copper kettle", request_id="prepare-3")
    await client.create(
        "Ann saw the glacier with Bob",
        user_id="ann",
        memory_id="ann-3",
        entities=["Ann", "Bob"],
        request_id="prepare-4",
    )
    await client.create(
        "Bob plays the cello in Oslo",
        user_id="bob",
        memory_id="bob-1",
        entities=["Bob", "Oslo"],
        request_id="prepare-5",
    )


async def _create(client: AsyncMemoir) -> None:
    await client.create(
        "Ann rows in the harbour of Bergen",
        user_id="ann",
        memory_id="new-1",
        entities=["Ann", "Bergen"],
        relations=[("Ann", "ROWS_IN", "Bergen")],
        request_id="operation",
        timeout=CALL_SECONDS,
    )


_SAID = datetime(2024, 5, 5, tzinfo=UTC)
CONVERSATION = (
    {"role": "user", "content": "I planted a walnut tree", "message_id": "m1", "create_time": _SAID},
    {"role": "user", "content": "I cook with saffron", "message_id": "m2", "create_time": _SAID},
)


async def _add(client: AsyncMemoir) -> None:
    await client.add(
        CONVERSATION, user_id="ann", session_id="s", mode="VERBATIM", request_id="operation", timeout=CALL_SECONDS
    )


async def _infer(client: AsyncMemoir) -> None:
    await client.add(CONVERSATION, user_id="ann", mode="INFER", request_id="operation", timeout=CALL_SECONDS)


async def _infer_later(client: AsyncMemoir) -> None:
    """Waits for the end: the work behind the answer is a part of the operation."""
    added = await client.add(
        CONVERSATION,
        user_id="ann",
        mode="INFER",
        durability="ACCEPTED",
        request_id="operation",
        timeout=CALL_SECONDS,
    )
    async with asyncio.timeout(INGESTION_SECONDS):
        while (ingestion := await client.get_ingestion(added.ingestion_id)).state in _UNDER_WAY:
            await asyncio.sleep(0.02)
    assert ingestion.state is IngestionState.SUCCEEDED, f"the ingestion ended as {ingestion.state.name}"
    assert len(ingestion.changes) == 3, f"the ingestion tells of {ingestion.changes}"


async def _update(client: AsyncMemoir) -> None:
    await client.update("ann-1", text="Ann keeps a lantern in Oslo", request_id="operation", timeout=CALL_SECONDS)


async def _supersede(client: AsyncMemoir) -> None:
    await client.create(
        "Ann lives by a meadow in Rome",
        user_id="ann",
        memory_id="new-1",
        entities=["Ann", "Rome"],
        relations=[("Ann", "LIVES_IN", "Rome")],
        valid_from=datetime(2022, 1, 1, tzinfo=UTC),
        supersedes=["ann-1"],
        request_id="operation",
        timeout=CALL_SECONDS,
    )


async def _delete(client: AsyncMemoir) -> None:
    await client.delete("ann-1", request_id="operation", timeout=CALL_SECONDS)


async def _reset(client: AsyncMemoir) -> None:
    await _remove_ann(client, erase=False)


async def _erase(client: AsyncMemoir) -> None:
    await _remove_ann(client, erase=True)


async def _remove_ann(client: AsyncMemoir, *, erase: bool) -> None:
    """Waits for the receipt: the clean-up behind the answer is a part of the operation."""
    plan = await client.plan_reset(
        user_id="ann", include_history=erase, request_id="operation-plan", timeout=CALL_SECONDS
    )
    reset: Reset = await client.execute_reset(plan, request_id="operation", timeout=CALL_SECONDS)
    if not reset.done:
        async for state in client.watch_reset(reset, timeout=RESET_SECONDS):
            reset = state
    receipt = reset.receipt
    assert receipt is not None, f"the reset ended as {reset.state.name}: {reset.error}"
    assert not any(store.remaining for store in receipt.stores), f"the receipt admits to leftovers: {receipt}"
    # Four revisions of Ann's memories, and the events of their removal.
    events = 7 if erase else 0
    assert (receipt.memories, receipt.events_erased) == (3, events), f"the receipt counts wrong: {receipt}"


OPERATIONS = (
    Operation("create", _create),
    Operation("add", _add),
    Operation("infer", _infer),
    Operation("infer-later", _infer_later),
    Operation("update", _update),
    Operation("supersede", _supersede),
    Operation("delete", _delete),
    Operation("reset", _reset),
    Operation("erasure", _erase),
)
