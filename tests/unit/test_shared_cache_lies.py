"""The shared cache in front of something that is no store, or one that answers nonsense: never more than a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memoir_server.adapters.cache.redis import CacheBounds, RedisEmbeddingCache
from memoir_server.adapters.cache.redis.envelope import PURGED, Unusable, run_tag, seal, unseal
from memoir_server.domain.store import BreakerState
from memoir_server.ports.cache import CacheUnavailable

KEY = b"k" * 32
BOUNDS = CacheBounds(read=0.2, write=0.2, purge=0.2, probe=0.2, first_retry=0.01, last_retry=0.02)
PATIENT = CacheBounds(read=10, write=10, purge=10, probe=10)


class Peer:
    """Listens on loopback and answers each command by its name; unknown ones get an error."""

    def __init__(self, answers: dict[bytes, bytes | None]) -> None:
        self.answers = answers
        self.asked: list[bytes] = []
        self.met = 0

    @asynccontextmanager
    async def cache(self, bounds: CacheBounds = BOUNDS) -> AsyncIterator[RedisEmbeddingCache]:
        """A cache that talks to it."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        cache = RedisEmbeddingCache(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", bounds=bounds)
        try:
            yield cache
        finally:
            await cache.close()
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.met += 1
        try:
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                self.asked.append(words[0])
                answer = self.answers.get(words[0], b"-ERR unknown command\r\n")
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def opened(cache: RedisEmbeddingCache) -> bool:
    return cache.breaker is not BreakerState.CLOSED


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0.005)


async def fails(cache: RedisEmbeddingCache) -> None:
    for call in (
        lambda: cache.get_many([KEY, KEY]),
        lambda: cache.put_many({KEY: b"value"}),
        lambda: cache.purge([KEY]),
    ):
        with pytest.raises(CacheUnavailable):
            await call()


INFO = b"$16\r\nrun_id:012345678\r\n"
NONSENSE: dict[str, bytes | None] = {
    "hangs-up": None,
    "silent": b"",
    "another-protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a-status": b"+OK\r\n",
    "too-few": b"*1\r\n$1\r\na\r\n",
    "too-many": b"*3\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n",
    "numbers": b"*2\r\n:1\r\n:2\r\n",
    "nested": b"*2\r\n*1\r\n:1\r\n$1\r\na\r\n",
    "cut": b"*2\r\n$5\r\nab",
    "no-length": b"*x\r\n",
    "below-zero": b"*2\r\n$-7\r\n$-9\r\n",
    "an-error-within": b"*2\r\n-ERR a\r\n$1\r\na\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "redirected": b"-MOVED 1 127.0.0.1:1\r\n",
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_a_failure(answer: bytes | None) -> None:
    peer = Peer({b"INFO": INFO, b"MGET": answer})
    async with peer.cache() as cache:
        with pytest.raises(CacheUnavailable):
            await cache.get_many([KEY, KEY])


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_from_the_first_word_is_a_failure_of_every_call(answer: bytes | None) -> None:
    async with Peer({b"INFO": answer, b"CLIENT": answer}).cache() as cache:
        await fails(cache)


async def test_a_store_that_does_not_name_its_run_is_not_used() -> None:
    peer = Peer({b"INFO": b"$15\r\nredis_version:1\r\n"})
    async with peer.cache(PATIENT) as cache:
        with pytest.raises(CacheUnavailable, match="neither run_id nor master_replid"):
            await cache.get_many([KEY])
        assert b"MGET" not in peer.asked


async def test_a_replication_history_names_a_run_too() -> None:
    name = b"master_replid:99"
    peer = Peer({b"INFO": b"$%d\r\n%s\r\n" % (len(name), name), b"MGET": b""})
    entry = seal(KEY, b"value", run_tag(name.decode()), b"")
    peer.answers[b"MGET"] = b"*1\r\n$%d\r\n%s\r\n" % (len(entry), entry)
    async with peer.cache(PATIENT) as cache:
        assert await cache.get_many([KEY]) == [b"value"]


async def test_an_answer_that_comes_late_is_not_taken_for_the_next() -> None:
    peer = Peer({b"INFO": INFO, b"MGET": b""})
    async with peer.cache() as cache:
        with pytest.raises(CacheUnavailable, match="no answer within"):
            await cache.get_many([KEY])
        peer.answers[b"MGET"] = b"*1\r\n$-1\r\n"
        met = peer.met
        async with asyncio.timeout(30):
            found: list[bytes | None] = []
            while not found:
                try:
                    found = await cache.get_many([KEY])
                except CacheUnavailable:
                    await asyncio.sleep(0.01)
        assert found == [None]
        assert peer.met > met


async def test_an_open_breaker_asks_nothing_and_closes_by_itself() -> None:
    peer = Peer({b"INFO": INFO, b"MGET": None, b"PING": None})
    async with peer.cache() as cache:
        for _ in range(BOUNDS.failures):
            assert not opened(cache)
            with pytest.raises(CacheUnavailable):
                await cache.get_many([KEY])
        assert opened(cache)
        peer.asked.clear()
        for _ in range(100):
            with pytest.raises(CacheUnavailable, match="tried again in the background"):
                await cache.get_many([KEY])
            with pytest.raises(CacheUnavailable):
                await cache.put_many({KEY: b"value"})
            with pytest.raises(CacheUnavailable):
                await cache.get_many([])
        assert not {b"MGET", b"EVAL"} & set(peer.asked)
        await until(lambda: peer.asked.count(b"PING") >= 2)
        assert opened(cache)
        peer.answers |= {b"PING": b"+PONG\r\n", b"MGET": b"*1\r\n$-1\r\n"}
        await until(lambda: not opened(cache))
        assert await cache.get_many([KEY]) == [None]


async def test_it_holds_no_more_connections_than_it_may() -> None:
    peer = Peer({b"INFO": INFO, b"MGET": b"*1\r\n$-1\r\n"})
    async with peer.cache(CacheBounds(read=30, connections=2)) as cache:
        await asyncio.gather(*(cache.get_many([KEY]) for _ in range(50)))
        doomed = [asyncio.ensure_future(cache.get_many([KEY])) for _ in range(10)]
        await asyncio.sleep(0)
        for call in doomed:
            call.cancel()
        await asyncio.wait(doomed)
        assert await cache.get_many([KEY]) == [None]
    assert peer.met <= 4  # two, and two in place of those cancelled with an answer on its way


async def test_closed_it_says_so_and_stays_closed() -> None:
    peer = Peer({b"INFO": INFO, b"MGET": b""})
    async with peer.cache() as cache:
        asking = asyncio.ensure_future(cache.get_many([KEY]))
        await until(lambda: b"MGET" in peer.asked)
        await cache.close()
        with pytest.raises(CacheUnavailable):
            await asking
        for call in (cache.get_many([]), cache.get_many([KEY]), cache.put_many({KEY: b""}), cache.purge([KEY])):
            with pytest.raises(CacheUnavailable, match="closed"):
                await call
        assert not opened(cache)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RedisEmbeddingCache("http://x"), "cache address: .*give redis://"),
        (lambda: RedisEmbeddingCache("redis://x", prefix=""), "cache prefix='': give a word"),
        (lambda: RedisEmbeddingCache("redis://x", secret=bytes(65)), "65 bytes: give at most 64"),
        (lambda: CacheBounds(read=0), "cache bound read=0: give a number above 0"),
        (lambda: CacheBounds(barrier=float("nan")), "cache bound barrier=nan: give"),
        (lambda: CacheBounds(connections=-1), "cache bound connections=-1: give"),
    ],
)
def test_wrong_settings_are_named(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


RUN = run_tag("a")


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=64))
def test_a_sealed_value_opens_as_it_was_sealed_only(key: bytes, value: bytes, secret: bytes) -> None:
    entry = seal(key, value, RUN, secret)
    assert unseal(key, entry, RUN, secret) == value
    assert unseal(key, entry, run_tag("b"), secret) is Unusable.EARLIER_RUN
    assert unseal(key + b"\x00", entry, RUN, secret) is Unusable.DAMAGED
    assert unseal(key, PURGED, RUN, secret) is Unusable.PURGED


@given(st.binary(max_size=80))
@example(b"")
@settings(max_examples=200)
def test_no_other_bytes_open(entry: bytes) -> None:
    assert isinstance(unseal(KEY, entry, RUN, b""), Unusable)
