"""ListScopes, through the Python SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from memoir import AsyncMemoir
from memoir.v1 import admin_pb2, common_pb2, memory_pb2
from tests.integration.harness import TIMEOUT, Client, refused


@pytest.fixture
async def memoir(client: Client) -> AsyncIterator[AsyncMemoir]:
    async with AsyncMemoir(client.server.address) as memoir:
        yield memoir


async def some_users(client: Client) -> None:
    for i in range(7):
        scope = common_pb2.Scope(user_id=f"user-{i}", agent_id="bot", session_id=f"s{i % 2}")
        for k in range(i + 1):
            await client.create(f"{i} {k}", f"{i}-{k}", scope=scope, create_time=Timestamp(seconds=1000 + k))


async def test_users_agents_and_sessions_with_counts(client: Client, memoir: AsyncMemoir) -> None:
    assert [s async for s in memoir.scopes()] == []
    await some_users(client)
    await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id="6-6"), timeout=TIMEOUT)
    users = [s async for s in memoir.scopes(page_size=2)]
    assert [
        (s.scope.user_id, s.memory_count, s.last_create_time and s.last_create_time.timestamp()) for s in users
    ] == [
        *((f"user-{i}", i + 1, 1000 + i) for i in range(6)),
        ("user-6", 6, 1005),
    ]
    assert all(s.scope.session_id is None for s in users)
    agents = [s async for s in memoir.scopes("AGENT")]
    assert [(s.scope.agent_id, s.memory_count) for s in agents] == [("bot", 27)]
    sessions = [s async for s in memoir.scopes("SESSION", user_id="user-3")]
    assert [(s.scope.user_id, s.scope.session_id, s.memory_count) for s in sessions] == [("user-3", "s1", 4)]
    assert [s async for s in memoir.scopes("SESSION", user_id="nobody")] == []
    assert [s async for s in memoir.in_namespace("nowhere").scopes()] == []


async def test_pages_belong_to_their_listing(client: Client) -> None:
    await some_users(client)

    async def page(**fields: object) -> memory_pb2.ListScopesResponse:
        request = memory_pb2.ListScopesRequest(**{"dimension": memory_pb2.SCOPE_DIMENSION_USER, **fields})  # type: ignore[arg-type]
        return await client.memory.ListScopes(request, timeout=TIMEOUT)

    first = await page(page_size=3)
    assert [s.scope.user_id for s in first.scopes] == ["user-0", "user-1", "user-2"]
    rest = await page(page_size=4, page_token=first.next_page_token)
    assert [s.scope.user_id for s in rest.scopes] == ["user-3", "user-4", "user-5", "user-6"]
    assert rest.next_page_token == ""
    for changed in (
        {"dimension": memory_pb2.SCOPE_DIMENSION_SESSION},
        {"within": common_pb2.Scope(agent_id="bot")},
        {"namespace": "other"},
    ):
        problem = await refused(page(page_token=first.next_page_token, **changed))
        assert (problem.reason, problem.metadata["field"]) == ("TOKEN_INVALID", "page_token")
    assert (await refused(page(dimension=0))).fields == ["dimension"]
    assert (await refused(page(page_size=-1))).fields == ["page_size"]


async def test_the_features_are_on(client: Client) -> None:
    info = await client.admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=TIMEOUT)
    assert {"scopes", "transfer"} <= set(info.features)
