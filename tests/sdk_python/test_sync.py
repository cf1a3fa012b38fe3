"""The synchronous face: from many threads, inside a running loop, after a fork, in a process that just ends."""

import asyncio
import inspect
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from memoir import AsyncMemoir, Bookmark, DeadlineExceeded, Memoir, MemoryNotFound, fold
from memoir.background import BackgroundLoop
from memoir.v1 import memory_pb2
from tests.sdk_python.fake_server import FakeServer, rich_status
from tests.sdk_python.test_streams import EVENTS, bookmark, streaming


@pytest.fixture
def served() -> Iterator[FakeServer]:
    """A fake server in a thread of its own, as a synchronous caller needs it."""
    fake, loop = FakeServer(), BackgroundLoop()
    loop.run(fake.start())
    yield fake
    loop.run(fake.stop())
    loop.stop()


@pytest.fixture
def client(served: FakeServer) -> Iterator[Memoir]:
    with Memoir(served.target, "tests") as memoir:
        yield memoir


def by_id(request: memory_pb2.GetMemoryRequest) -> memory_pb2.GetMemoryResponse:
    return memory_pb2.GetMemoryResponse(memory=memory_pb2.Memory(memory_id=request.memory_id))


def test_both_clients_have_the_same_methods() -> None:
    def surface(cls: type[Any]) -> dict[str, Any]:
        return {
            name: [(item.name, item.kind, item.default) for item in inspect.signature(value).parameters.values()]
            for name, value in inspect.getmembers(cls, inspect.isfunction)
            if not name.startswith("_")
        }

    assert surface(Memoir) == surface(AsyncMemoir)
    assert inspect.signature(Memoir) == inspect.signature(AsyncMemoir)
    assert len(surface(Memoir)) >= 31


def test_calls_from_many_threads(served: FakeServer, client: Memoir) -> None:
    served.answers["GetMemory"] = by_id
    ids = [f"m{index}" for index in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert [memory.id for memory in pool.map(client.get, ids)] == ids


def test_pages_and_streams(served: FakeServer, client: Memoir) -> None:
    def page(request: memory_pb2.ListMemoriesRequest) -> memory_pb2.ListMemoriesResponse:
        token = "" if request.page_token else "2"
        return memory_pb2.ListMemoriesResponse(
            memories=[memory_pb2.Memory(memory_id=f"{request.page_token}x")], next_page_token=token
        )

    served.answers["ListMemories"] = page
    assert [memory.id for memory in client.list()] == ["x", "2x"]
    assert [len(item.items) for item in client.list().pages()] == [1, 1]
    served.answers["StreamSearchMemories"] = streaming(*EVENTS)
    assert [hit.memory.id for hit in fold(client.search_stream("query")).hits] == ["c", "b"]
    served.answers["WatchHistory"] = streaming(*[bookmark(index) for index in range(1, 4)])
    with client.watch(bookmarks=True) as items:
        first = next(items)
        assert isinstance(first, Bookmark)
        assert first.revision == 1
    assert list(items) == []


def test_a_stream_closed_from_another_thread_ends_for_the_one_that_reads_it(served: FakeServer, client: Memoir) -> None:
    cancelled = threading.Event()

    async def silent(_: Any) -> Any:
        yield bookmark(1)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    served.answers["WatchHistory"] = silent
    items = client.watch(bookmarks=True)
    assert isinstance(next(items), Bookmark)
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, items)
        # Closed while it is being read, not before.
        while items._reading is None:
            time.sleep(0.001)
        items.close()
        assert rest.result(10) == []
    assert cancelled.wait(10), "the server sees the cancel"
    assert list(items) == []
    items.close()


def test_errors_and_deadlines(served: FakeServer, client: Memoir) -> None:
    served.script("GetMemory", rich_status(5, "MEMORY_NOT_FOUND"))
    with pytest.raises(MemoryNotFound):
        client.get("m1")
    served.answers["GetMemory"] = lambda _: asyncio.sleep(5)
    with pytest.raises(DeadlineExceeded):
        client.get("m1", timeout=0.2)
    with pytest.raises(DeadlineExceeded):
        list(Memoir(served.target, timeout=1e-9).list())


async def test_inside_a_running_loop(served: FakeServer, client: Memoir) -> None:
    """A notebook runs cells inside a loop; a synchronous call must work there."""
    served.answers["GetMemory"] = by_id
    assert client.get("m1").id == "m1"
    async with AsyncMemoir(served.target) as other:
        assert (await other.get("m2")).id == "m2"


SCRIPT = """
    import os, sys
    from memoir import Memoir
    client = Memoir(sys.argv[1])
    assert client.get("m1").id == "m1"
    events = client.watch(bookmarks=True)
    next(events)
"""
FORK = """
    import os, sys
    from memoir import Memoir
    client = Memoir(sys.argv[1])
    child = os.fork()
    if child == 0:
        try:
            client.get("m1")
        except RuntimeError as error:
            assert "fork" in str(error)
            with Memoir(sys.argv[1]) as fresh:
                os._exit(0 if fresh.get("m2").id == "m2" else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.get("m1").id == "m1"
"""


@pytest.mark.parametrize("script", [SCRIPT, FORK], ids=["open watch at exit", "fork"])
def test_processes_end_cleanly(served: FakeServer, script: str) -> None:
    async def endless(_: Any) -> Any:
        while True:
            yield bookmark(1)
            await asyncio.sleep(0.05)

    served.answers["GetMemory"] = by_id
    served.answers["WatchHistory"] = endless
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script), served.target],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    # Development mode says so, too, when the machine is slow.
    said = [line for line in result.stderr.splitlines() if not line.startswith("Executing <")]
    assert (result.returncode, said) == (0, [])
