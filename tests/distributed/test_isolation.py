"""Namespaces and users whose ids contain each other never meet, whatever is asked and whatever the filter."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from memoir import AsyncMemoir, ExportedMemory, HistoryEvent, Memory
from stores.deployment import Deployment, deployment
from stores.four import Stores
from tests.distributed.extent import EXAMPLES
from tests.distributed.serving import caught_up, processes

ROOTS = ("ana", "bo")
SUFFIXES = (
    "",
    "-2",
    "-2-3",
    "@x.com",
    " ana",
    "%",
    "_",
    "*",
    "?",
    "'",
    '"',
    "\\",
    "\\'; --",
    "/",
    ":",
    ",",
    ".",
    "a",
    "A",
    "|",
    "\u200b",
    "é",
    "e\u0301",
)
TOPICS = ("tea", "rain", "chess")
NUMBERS = itertools.count()

users = st.lists(
    st.builds(lambda root, one, two: root + one + two, st.sampled_from(ROOTS), *[st.sampled_from(SUFFIXES)] * 2),
    min_size=2,
    max_size=4,
    unique=True,
)
leaves = st.one_of(
    st.sampled_from(TOPICS).map(lambda topic: {"topic": topic}),
    st.sampled_from(TOPICS).map(lambda topic: {"topic": {"ne": topic}}),
    st.sampled_from(TOPICS).map(lambda topic: {"tags": {"contains": topic}}),
    st.sampled_from(TOPICS).map(lambda topic: {"text": {"gte": f"I like {topic}"}}),
    st.integers(0, 3).map(lambda number: {"number": {"gte": number}}),
    st.sampled_from(ROOTS).map(lambda root: {"user_id": root}),
    st.sampled_from(ROOTS).map(lambda root: {"user_id": {"ne": root}}),
    st.sampled_from(ROOTS).map(lambda root: {"session_id": {"in": [root, "-2"]}}),
    st.just({"missing": {"exists": False}}),
)
filters = st.none() | st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(lambda one: {"not": one}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"and": some}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"or": some}),
    ),
    max_leaves=4,
)


@dataclass(frozen=True, slots=True)
class Owner:
    """One user of one namespace, with what is its own."""

    client: AsyncMemoir
    user_id: str
    session_id: str

    def own(self, memory_id: str) -> bool:
        return memory_id.endswith(f"-{self.mark}")

    @property
    def mark(self) -> str:
        return f"{self.client.namespace}-{self.user_id.encode().hex()}"

    @property
    def scope(self) -> dict[str, Any]:
        return {"user_id": self.user_id}


@pytest.fixture
async def memoir(four_stores: Stores, tmp_path: Path) -> AsyncIterator[AsyncMemoir]:
    place: Deployment = deployment(four_stores, "isolation")
    async with processes(tmp_path, place, 1) as [server], AsyncMemoir(server.address) as client:
        yield client


async def write(owner: Owner) -> None:
    await owner.client.create_many(
        [
            {
                "text": f"I like {topic}",
                "memory_id": f"{topic}-{owner.mark}",
                "user_id": owner.user_id,
                "session_id": owner.session_id,
                "metadata": {"topic": topic, "number": number, "tags": [topic, owner.user_id]},
                "entities": [{"name": "Tea Club", "type": "club"}, {"name": topic, "type": "topic"}],
                "relations": [{"subject": "Tea Club", "predicate": "ABOUT", "object": topic}],
            }
            for number, topic in enumerate(TOPICS)
        ]
    )


def ids(memories: Iterable[Memory]) -> list[str]:
    return [memory.id for memory in memories]


async def everything(owner: Owner, chosen: dict[str, Any] | None) -> dict[str, list[str]]:
    """Ids of the memories behind every answer about one owner, by the way of asking."""
    client, scope = owner.client, owner.scope
    seen: dict[str, list[str]] = {}
    for recipe in ("balanced", "keyword", "semantic", "graph"):
        found = await client.search("Who likes tea in the Tea Club?", recipe=recipe, filter=chosen, limit=50, **scope)
        seen[f"search {recipe}"] = ids(hit.memory for hit in found.hits)
    streamed = [event async for event in client.search_stream("tea", filter=chosen, limit=50, **scope)]
    seen["stream"] = ids(hit.memory for event in streamed for hit in getattr(event, "new_hits", ()))
    seen["list"] = ids([memory async for memory in client.list(filter=chosen, **scope)])
    seen["list session"] = ids([memory async for memory in client.list(session_id=owner.session_id, **scope)])
    exported = [record async for record in client.export(filter=chosen, include_history=True, **scope)]
    seen["export"] = ids(record.memory for record in exported if isinstance(record, ExportedMemory))
    seen["export history"] = [record.memory_id for record in exported if isinstance(record, HistoryEvent)]
    seen["history"] = [event.memory_id async for event in client.history(**scope)]
    entities = [entity async for entity in client.entities(**scope)]
    assert {entity.owner.user_id for entity in entities} <= {owner.user_id}
    relations = [relation for entity in entities async for relation in client.relations(entity_id=entity.id)]
    seen["relations"] = [memory_id for relation in relations for memory_id in relation.memory_ids]
    if entities:
        around = await client.traverse([entity.id for entity in entities], depth=3)
        assert {entity.owner.user_id for entity in around.entities} <= {owner.user_id}
        seen["traverse"] = [memory_id for relation in around.relations for memory_id in relation.memory_ids]
    seen["watch"] = await watched(owner)
    return seen


async def watched(owner: Owner) -> list[str]:
    """Memories of all past events that a watch of the owner gives. Erased events name nobody and reach everybody."""
    found = []
    async for event in owner.client.watch(start_revision=1, bookmarks=True, **owner.scope):
        if isinstance(event, HistoryEvent):
            found += [event.memory_id] if event.memory_id else []
        elif event.caught_up:
            break
    return found


@pytest.mark.timeout(600)
async def test_nobody_meets(memoir: AsyncMemoir) -> None:
    loop = asyncio.get_running_loop()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(names=users, chosen=filters, removed=st.integers(0, 3), erase=st.booleans())
    def law(names: list[str], chosen: dict[str, Any] | None, removed: int, erase: bool) -> None:
        asyncio.run_coroutine_threadsafe(one_world(memoir, names, chosen, removed, erase), loop).result()

    await asyncio.to_thread(law)


async def one_world(
    memoir: AsyncMemoir, names: list[str], chosen: dict[str, Any] | None, removed: int, erase: bool
) -> None:
    base = f"n{next(NUMBERS)}"
    # Namespaces contain each other too, and every user is in each of them.
    clients = [memoir.in_namespace(name) for name in (base, f"{base}-2", f"{base}-2-3")]
    sessions = [*names[1:], names[0]]
    owners = [Owner(client, name, session) for client in clients for name, session in zip(names, sessions, strict=True)]
    for owner in owners:
        await write(owner)
    for client in clients:
        await caught_up(client)
    before = {}
    for owner in owners:
        before[owner] = await everything(owner, chosen)
        for way, found in before[owner].items():
            assert all(owner.own(memory_id) for memory_id in found), (way, owner.user_id, found)
        assert set(before[owner]["history"]) == {f"{topic}-{owner.mark}" for topic in TOPICS}
    gone = owners[removed % len(owners)]
    plan = await gone.client.plan_reset(include_history=erase, **gone.scope)
    executed = await gone.client.execute_reset(plan)
    async for _ in gone.client.watch_reset(executed.id):
        pass
    for owner in owners:
        after = await everything(owner, chosen)
        if owner is not gone:
            assert after == before[owner], owner.user_id
            continue
        for way in ("search balanced", "list", "export", "relations"):
            assert after[way] == []
