"""Mode INFER on the real stores: the same exchanges, the same changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from memoir.v1 import common_pb2, memory_pb2
from stores.deployment import Deployment
from tests.distributed.serving import serving
from tests.inference_corpus import CORPUS, Counts, differences, settings_of
from tests.integration.harness import ANA, TIMEOUT, Client
from tests.provider_double import ProviderDouble
from tests.service.inference import decisions, fact, facts

pytestmark = pytest.mark.stores

Change = memory_pb2.MemoryChange


@pytest.fixture
def double() -> Iterator[ProviderDouble]:
    with ProviderDouble() as double:
        yield double


@pytest.fixture
async def pair(double: ProviderDouble, tmp_path: Path, place: Deployment) -> AsyncIterator[list[Client]]:
    """Two servers over the same stores."""
    async with AsyncExitStack() as stack:
        servers = []
        for number in range(2):
            directory = tmp_path / f"server-{number}"
            directory.mkdir()
            settings = settings_of(double, directory)
            servers.append(await stack.enter_async_context(serving(directory, place, telemetry=None, **settings)))
        yield servers


@pytest.mark.timeout(600)
async def test_the_authored_exchanges_on_the_real_stores(
    double: ProviderDouble, tmp_path: Path, place: Deployment
) -> None:
    counts = Counts()
    async with serving(tmp_path, place, telemetry=None, **settings_of(double, tmp_path)) as client:
        wrong = {each.name: found for each in CORPUS if (found := await differences(each, client, double, counts))}
    assert wrong == {}
    assert double.unmatched == []
    assert max(counts.adds) == 3
    assert counts.adds[3] == 1


@pytest.mark.timeout(300)
async def test_many_adds_of_one_fact_through_two_servers_leave_one_memory(
    pair: list[Client], double: ProviderDouble
) -> None:
    double.says(facts(fact("Ana likes tea.", "I like tea")), form="remember")
    double.says(decisions((1, "ADD")), form="reconcile")

    async def add(client: Client) -> memory_pb2.AddMemoriesResponse:
        message = memory_pb2.Message(role=memory_pb2.ROLE_USER, content="Well, I like tea with milk.")
        request = memory_pb2.AddMemoriesRequest(
            scope=ANA,
            messages=[message],
            mode=memory_pb2.ADD_MODE_INFER,
            durability=common_pb2.DURABILITY_INDEXED,
        )
        return await client.memory.AddMemories(request, timeout=120)

    answers = await asyncio.gather(*(add(client) for client in pair * 50))
    assert sorted(answer.changes[0].action for answer in answers) == [
        Change.ACTION_ADDED,
        *[Change.ACTION_UNCHANGED] * 99,
    ]
    listed = await pair[0].memory.ListMemories(memory_pb2.ListMemoriesRequest(scope=ANA), timeout=TIMEOUT)
    assert [memory.text for memory in listed.memories] == ["Ana likes tea."]
