"""Who waits for what other servers, or this one, may commit.

What a transaction has moved is told to the waiters of this server at once, and to the other servers by NOTIFY after the
commit: inside a writing transaction NOTIFY takes a lock of the whole database until the commit. One statement tells of
all that was committed while the last one was under way. NOTIFY may be lost with its connection, so heads that are
waited for are also read again and again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import psycopg
from psycopg import AsyncConnection, sql

from memoir_server.adapters.ledger.postgres.adaptation import Texts
from memoir_server.adapters.ledger.postgres.database import Database, connection_string
from memoir_server.adapters.ledger.postgres.failures import detail_of
from memoir_server.domain.errors import StoreUnavailable

logger = logging.getLogger(__name__)

_PAYLOAD_BYTES: Final = 7_900
"""PostgreSQL takes payloads of less than 8,000 bytes."""
_RECONNECT_SECONDS: Final = 0.5


class _News(msgspec.Struct, array_like=True, frozen=True):
    """What one notification tells: heads by namespace, and topics; and who tells it."""

    heads: dict[str, int]
    topics: list[str]
    teller: str = ""


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_News).decode


@dataclass(slots=True)
class Moves:
    """What one follower has not looked at yet: namespaces that this server has moved, or any server those `minded`; or
    `everything`."""

    names: set[str] = field(default_factory=set)
    minded: set[str] = field(default_factory=set)
    everything: bool = True


class Watch:
    """Waiters of one server. Lives on the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._channel = f"{database.options.schema}_moves"
        self._beyond: dict[str, dict[asyncio.Future[int], int]] = {}
        self._topics: dict[str, set[asyncio.Future[None]]] = {}
        self._work: set[asyncio.Future[None]] = set()
        self._heads_to_tell: dict[str, int] = {}
        self._topics_to_tell: set[str] = set()
        self._to_tell = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._followers: list[Moves] = []
        self._name = secrets.token_hex(4)
        self.listening = False
        """Whether other servers are heard at this moment."""
        self.news = 0
        """Rises whenever there may be work that was not there before."""

    def start(self) -> None:
        """Begins to listen, to tell and to look."""
        self._tasks = [asyncio.create_task(each) for each in (self._listen(), self._tell(), self._look())]

    async def stop(self) -> None:
        """Ends it, and wakes everybody who waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for waiting in self._beyond.values():
            for future in waiting:
                _settle(future, 0)
        for topic in list(self._topics):
            self._ring(topic)
        self._ring_work()

    def committed(self, heads: Mapping[str, int], topics: Iterable[str]) -> None:
        """A transaction of this server has moved heads, and announced topics."""
        for moves in self._followers:
            moves.names.update(heads)
        if heads:
            self._ring_work()
        self._hear(heads, topics)
        self._heads_to_tell.update(heads)
        self._topics_to_tell.update(topics)
        if self._heads_to_tell or self._topics_to_tell:
            self._to_tell.set()

    async def wait_beyond(self, namespace: str, revision: int, timeout: float) -> None:
        """Returns when the head is heard to lie beyond the revision, or after `timeout` seconds at most."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._beyond.setdefault(namespace, {})[future] = revision
        try:
            await asyncio.wait({future}, timeout=max(0.0, timeout))
        finally:
            waiting = self._beyond.get(namespace)
            if waiting is not None:
                waiting.pop(future, None)
                if not waiting:
                    del self._beyond[namespace]

    async def wait_topic(self, topic: str, timeout: float) -> None:
        """Returns when the topic is announced somewhere, or after `timeout` seconds at most. An announcement may be
        lost: ask again after a while."""
        waiting = self._topics.setdefault(topic, set())
        await _wait_in(waiting, timeout)
        if not waiting and self._topics.get(topic) is waiting:
            del self._topics[topic]

    async def wait_for_work(self, timeout: float) -> None:
        """Returns when a follower has something to look at, or after `timeout` seconds at most."""
        await _wait_in(self._work, timeout)

    def follow(self) -> Moves:
        """From now on notes there which namespaces have moved. Whoever looks at them takes them out."""
        moves = Moves()
        self._followers.append(moves)
        return moves

    def _look_at_everything(self) -> None:
        for moves in self._followers:
            moves.everything = True
        self._ring_work()

    def _hear(self, heads: Mapping[str, int], topics: Iterable[str]) -> None:
        for name, head in heads.items():
            for future, revision in self._beyond.get(name, {}).items():
                if revision < head:
                    _settle(future, head)
        for topic in topics:
            self._ring(topic)
        if "work" in topics:
            self._look_at_everything()

    def _ring(self, topic: str) -> None:
        for future in self._topics.pop(topic, ()):
            _settle(future, None)

    def _ring_work(self) -> None:
        self.news += 1
        for future in self._work:
            _settle(future, None)

    async def _tell(self) -> None:
        """Tells the other servers, one statement at a time."""
        while True:
            await self._to_tell.wait()
            self._to_tell.clear()
            heads, self._heads_to_tell = self._heads_to_tell, {}
            topics, self._topics_to_tell = self._topics_to_tell, set()
            payloads = Texts(_payloads(heads, topics, self._name))
            try:
                await self._database.fetch("SELECT pg_notify(%s, p) FROM unnest(%s) AS p", (self._channel, payloads))
            except (StoreUnavailable, psycopg.Error) as failure:
                logger.info("other servers were not told of a commit and find it by themselves: %s", failure)

    async def _listen(self) -> None:
        """Hears the other servers, as long as there is a connection."""
        conninfo = connection_string(self._database.options, "memoir listener")
        while True:
            try:
                async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
                    self.listening = True
                    # Whatever was told before was not heard.
                    self._look_at_everything()
                    async for news in connection.notifies():
                        self._read(news.payload)
            except psycopg.Error as error:
                logger.info("other servers are not heard, so their commits are looked for: %s", detail_of(error))
            finally:
                self.listening = False
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _read(self, payload: str) -> None:
        try:
            news = _decode(payload)
        except msgspec.MsgspecError:
            logger.warning("somebody else notifies on the channel %s", self._channel)
            return
        if news.teller == self._name:
            return
        self._hear(news.heads, news.topics)
        for moves in self._followers:
            # The others do what they have committed themselves, unless it is this server that has the lease.
            minded = moves.minded.intersection(news.heads)
            if minded:
                moves.names |= minded
                self._ring_work()

    async def _look(self) -> None:
        """Reads the heads that are waited for."""
        while True:
            await asyncio.sleep(self._database.options.poll_seconds)
            if not self._beyond:
                continue
            with suppress(StoreUnavailable, psycopg.Error):
                rows = await self._database.fetch(
                    "SELECT name, revision FROM namespaces WHERE name = ANY(%s)", (Texts(self._beyond),)
                )
                heads: dict[str, int] = dict(rows)
                for name, head in heads.items():
                    for future, revision in self._beyond.get(name, {}).items():
                        if revision < head:
                            _settle(future, head)


def _payloads(heads: Mapping[str, int], topics: Iterable[str], teller: str) -> list[str]:
    """The news in as few payloads as they fit into. A topic that fits into none is left out: it is asked for again."""
    news = [_News({name: revision}, [], teller) for name, revision in heads.items()]
    news.extend(_News({}, [topic], teller) for topic in topics)
    together: list[_News] = []
    room = 0
    for each in news:
        size = len(_encode(each))
        if size > _PAYLOAD_BYTES:
            continue
        if size > room:
            together.append(_News({}, [], teller))
            room = _PAYLOAD_BYTES
        together[-1].heads.update(each.heads)
        together[-1].topics.extend(each.topics)
        room -= size
    return [_encode(each).decode() for each in together]


async def _wait_in(waiting: set[asyncio.Future[None]], timeout: float) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.add(future)
    try:
        await asyncio.wait({future}, timeout=max(0.0, timeout))
    finally:
        waiting.discard(future)


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)
