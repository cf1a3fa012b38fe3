"""The real stores, and one way to write and read something in each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError

import pytest

from stores.fixtures import four_stores
from stores.four import NAMES, Stores
from stores.store import Store

__all__ = ["four_stores"]


@dataclass(frozen=True, slots=True)
class Kept:
    """Writes and reads back a word under a name, the way the store's clients do."""

    write: Callable[[str, str], None]
    read: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Case:
    """One store of the run."""

    store: Store[Any]
    kept: Kept


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest, four_stores: Stores) -> Case:
    store = next(store for store in four_stores.each if store.name == request.param)
    store.start()
    return Case(store, _KEPT[request.param](four_stores))


def _weaviate(stores: Stores) -> Kept:
    def call(method: str, path: str, body: object = None) -> Any:
        return stores.weaviate.request(method, path, body)

    def write(name: str, word: str) -> None:
        with suppress(HTTPError):
            call("DELETE", f"/v1/schema/{name.capitalize()}")
        call("POST", "/v1/schema", {"class": name.capitalize(), "properties": [{"name": "word", "dataType": ["text"]}]})
        call("POST", "/v1/objects", {"class": name.capitalize(), "properties": {"word": word}, "vector": [0.5, 0.5]})

    def read(name: str) -> str:
        objects = call("GET", f"/v1/objects?class={name.capitalize()}")["objects"]
        return ",".join(sorted(found["properties"]["word"] for found in objects))

    return Kept(write, read)


def _neo4j(stores: Stores) -> Kept:
    def write(name: str, word: str) -> None:
        stores.neo4j.query("MERGE (n:Kept {name: $name}) SET n.word = $word", name=name, word=word)

    def read(name: str) -> str:
        rows = stores.neo4j.query("MATCH (n:Kept {name: $name}) RETURN n.word", name=name)
        return ",".join(str(row[0]) for row in rows)

    return Kept(write, read)


def _postgresql(stores: Stores) -> Kept:
    def write(name: str, word: str) -> None:
        stores.postgresql.query(f"DROP TABLE IF EXISTS {name}")
        stores.postgresql.query(f"CREATE TABLE {name} AS SELECT '{word}'::text AS word")

    return Kept(write, lambda name: stores.postgresql.query(f"SELECT word FROM {name}"))


def _redis(stores: Stores) -> Kept:
    def write(name: str, word: str) -> None:
        stores.redis.command("SET", name, word)
        # A cache owes nobody what came after its last snapshot.
        stores.redis.command("SAVE")

    return Kept(write, lambda name: stores.redis.command("GET", name))


_KEPT: dict[str, Callable[[Stores], Kept]] = {
    "weaviate": _weaviate,
    "neo4j": _neo4j,
    "postgresql": _postgresql,
    "redis": _redis,
}
