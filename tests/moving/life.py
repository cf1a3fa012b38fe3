"""A data directory with everything in it that a server can keep, and what its clients hold afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from memoir.v1 import common_pb2, graph_pb2, history_pb2, memory_pb2, reset_pb2
from memoir.v1 import transfer_pb2 as pb
from memoir_server.domain.memory import NEVER
from tests.integration.harness import ANA, TIMEOUT, Client, serving
from tests.integration.test_memory_rpcs import everything
from tests.integration.test_reset_rpcs import execute, finished, plan

NAMESPACES = ("default", "other", "z-9")
BEN = common_pb2.Scope(user_id="ben", agent_id="bot")
SESSION = common_pb2.Scope(user_id="ana", session_id="s1")
Event = history_pb2.HistoryEvent


@asynccontextmanager
async def embedded(data: Path) -> AsyncIterator[Client]:
    """A server on the data directory."""
    async with serving(data.parent, server__data=str(data)) as client:
        yield client


@asynccontextmanager
async def distributed(there: Mapping[str, str], directory: Path) -> AsyncIterator[Client]:
    """A server on the stores."""
    settings: dict[str, Any] = {key.replace(".", "__"): value for key, value in there.items()}
    async with serving(directory, **settings) as client:
        yield client


@dataclass(frozen=True, slots=True)
class Held:
    """What clients hold when the server stops: requests whose answers they may ask for again, a planned reset, and
    tokens."""

    created: memory_pb2.CreateMemoryRequest
    batch: memory_pb2.BatchCreateMemoriesRequest
    executed: reset_pb2.ExecuteResetRequest
    planned: reset_pb2.PlanResetResponse
    resets: tuple[str, ...]
    page: memory_pb2.ListMemoriesRequest
    events: history_pb2.ListHistoryRequest
    watch: str
    export: pb.ExportMemoriesRequest

    def calls(self, client: Client) -> dict[str, Any]:
        """Every call that must be answered the same wherever the server's data is."""
        return {
            "create again": client.memory.CreateMemory(self.created, timeout=TIMEOUT),
            "batch again": client.memory.BatchCreateMemories(self.batch, timeout=TIMEOUT),
            "execute again": client.reset.ExecuteReset(self.executed, timeout=TIMEOUT),
            "second page": client.memory.ListMemories(self.page, timeout=TIMEOUT),
            "second page of events": client.history.ListHistory(self.events, timeout=TIMEOUT),
        }


async def live(data: Path) -> Held:
    """Fills the directory."""
    async with embedded(data) as client:
        await _short_lives(client)
        created = memory_pb2.CreateMemoryRequest(
            memory_id="kept", memory=memory_pb2.Memory(text="Ana keeps bees", scope=ANA), request_id="create-1"
        )
        await client.memory.CreateMemory(created, timeout=TIMEOUT)
        batch = memory_pb2.BatchCreateMemoriesRequest(request_id="batch-1")
        for number in range(40):
            batch.items.add(
                memory_id=f"b-{number}",
                memory=memory_pb2.Memory(
                    text=f"note {number} about {('tea', 'rain', 'chess')[number % 3]} \x00\x01 ß",
                    scope=ANA if number % 2 else BEN,
                    metadata={"n": common_pb2.MetadataValue(int_value=number)},
                    **_facts(number),
                ),
            )
        # Says what is known already: the record names the memory that stood for it.
        batch.items.add(memory=created.memory)
        await client.memory.BatchCreateMemories(batch, timeout=TIMEOUT)
        await _turns(client, "first")
        await client.create("Wärme hilft", "rich", **everything())
        await client.create("Ana lives in Lisbon", "lisbon", valid_from=Timestamp(seconds=1000))
        await client.create("Ana lives in Porto", "porto", valid_from=Timestamp(seconds=2000), supersedes=["lisbon"])
        for text in ("Ana keeps more bees", "Ana keeps no bees"):
            request = memory_pb2.UpdateMemoryRequest(memory_id="b-1", memory=memory_pb2.Memory(text=text))
            await client.memory.UpdateMemory(request, timeout=TIMEOUT)
        for memory_id in ("b-2", "b-3"):
            await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id=memory_id), timeout=TIMEOUT)
        await client.create("note 3 is back", "b-3")
        resets, executed = await _resets(client)
        for namespace in NAMESPACES[1:]:
            for number in range(5):
                await client.memory.CreateMemory(
                    memory_pb2.CreateMemoryRequest(
                        namespace=namespace,
                        memory_id=f"b-{number}",
                        memory=memory_pb2.Memory(text=f"note {number} of {namespace} about tea", scope=ANA),
                    ),
                    timeout=TIMEOUT,
                )
        for memory_id in ("rich", "rich", "porto"):
            await client.get(memory_id)
        planned = await plan(client, reset_pb2.ResetTarget(scope=BEN), request_id="plan-1")
        return await _held(client, created, batch, executed, planned, (*resets, planned.reset.reset_id))


def _facts(number: int) -> dict[str, Any]:
    if number % 4:
        return {}
    return {
        "entities": [graph_pb2.EntityMention(name=f"Topic {number % 8}", type="topic")],
        "relations": [graph_pb2.RelationStatement(subject="Ana", predicate="LIKES", object=f"Topic {number % 8}")],
    }


async def _turns(client: Client, label: str) -> memory_pb2.AddMemoriesResponse:
    messages = [
        memory_pb2.Message(role=memory_pb2.ROLE_USER, content=f"{label} turn {i}", actor_id=("Ana", "Bo")[i % 2])
        for i in range(4)
    ]
    return await client.memory.AddMemories(
        memory_pb2.AddMemoriesRequest(scope=SESSION, messages=messages, mode=memory_pb2.ADD_MODE_VERBATIM),
        timeout=TIMEOUT,
    )


async def _short_lives(client: Client) -> None:
    """A memory that expires, and waits for the record of it."""
    soon = Timestamp()
    soon.FromMicroseconds(time.time_ns() // 1000 + 300_000)
    await client.create("Ana waits for a bus", "bus", expire_time=soon)
    async with asyncio.timeout(60):
        async for item in client.history.WatchHistory(history_pb2.WatchHistoryRequest(start_revision=1)):
            if item.event.type == Event.EVENT_TYPE_EXPIRED:
                return


async def _resets(client: Client) -> tuple[tuple[str, ...], reset_pb2.ExecuteResetRequest]:
    """One that keeps the relations, and one that erases; the request of the latter."""
    for user in ("carl", "dora"):
        for number in range(3):
            await client.create(
                f"{user} knows {number}",
                f"{user}-{number}",
                scope=common_pb2.Scope(user_id=user),
                relations=[graph_pb2.RelationStatement(subject=user, predicate="KNOWS", object=f"Nr {number}")],
            )
    carl = await plan(client, reset_pb2.ResetTarget(scope=common_pb2.Scope(user_id="carl"), keep_graph=True))
    await execute(client, carl)
    await finished(client, carl.reset.reset_id)
    dora = await plan(client, reset_pb2.ResetTarget(scope=common_pb2.Scope(user_id="dora"), include_history=True))
    executed = reset_pb2.ExecuteResetRequest(
        reset_id=dora.reset.reset_id, confirm_token=dora.confirm_token, request_id="execute-1"
    )
    await client.reset.ExecuteReset(executed, timeout=TIMEOUT)
    await finished(client, dora.reset.reset_id)
    return (carl.reset.reset_id, dora.reset.reset_id), executed


async def _held(
    client: Client,
    created: memory_pb2.CreateMemoryRequest,
    batch: memory_pb2.BatchCreateMemoriesRequest,
    executed: reset_pb2.ExecuteResetRequest,
    planned: reset_pb2.PlanResetResponse,
    resets: tuple[str, ...],
) -> Held:
    page = memory_pb2.ListMemoriesRequest(page_size=7)
    page.page_token = (await client.memory.ListMemories(page, timeout=TIMEOUT)).next_page_token
    events = history_pb2.ListHistoryRequest(page_size=9)
    events.page_token = (await client.history.ListHistory(events, timeout=TIMEOUT)).next_page_token
    watching = client.history.WatchHistory(history_pb2.WatchHistoryRequest(start_revision=1), timeout=TIMEOUT)
    seen: list[Any] = [await watching.read() for _ in range(6)]
    watching.cancel()
    export = pb.ExportMemoriesRequest(include_history=True, include_embeddings=True)
    exporting = client.transfer.ExportMemories(export, timeout=TIMEOUT)
    begun: list[Any] = [await exporting.read() for _ in range(6)]
    exporting.cancel()
    export.resume_token = begun[-1].resume_token
    assert page.page_token
    assert events.page_token
    assert export.resume_token
    return Held(created, batch, executed, planned, resets, page, events, seen[-1].resume_token, export)


async def more_turns(client: Client) -> list[int]:
    """Goes on in the session of the life, and returns the turns it was given."""
    added = await _turns(client, "later")
    ids = [change.memory.memory_id for change in added.changes]
    found = await client.server.composition.ledger.get("default", ids, revision=NEVER - 1, now=0)
    return [found[memory_id].turn for memory_id in ids]


def told(message: Message) -> bytes:
    """A message as bytes that are equal for equal messages."""
    return message.SerializeToString(deterministic=True)
