"""What servers remember of statistics: several of them on one store, with batches that do not get to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_conformance.index_model import (
    MODEL,
    TERMS,
    Model,
    ask,
    entry,
    laws,
    lives,
    puts,
    queries,
    select,
)
from memoir_server.adapters.index.weaviate import WeaviateIndex
from memoir_server.adapters.index.weaviate.connection import Connection
from memoir_server.adapters.index.weaviate.wire import Wire
from memoir_server.domain.entry import KeywordCandidates
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import NEVER, Scope
from memoir_server.ports.index import IndexAction, IndexQuery
from memoir_server.ports.projection import Remove, Retire
from stores.weaviate import Weaviate
from tests.conformance.weaviate_model import new_prefix, opened, opened_anew, plain_client

pytestmark = [pytest.mark.timeout(400), pytest.mark.stores]

ALICE, BOB = Scope("alice"), Scope("bob")


class Line:
    """The line to the store, cut after so many questions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        for name in ("call", "ask"):
            monkeypatch.setattr(Connection, name, self._cut(getattr(Connection, name)))

    def _cut(self, question: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(connection: Connection, work: Any) -> Any:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise StoreUnavailable("index", "the line is cut")
            return await question(connection, work)

        return asked


@pytest.fixture
def no_counting(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, nothing is counted by the store any more."""

    async def refuse(wire: Wire, request: object) -> None:
        raise AssertionError(f"counted again: {request}")

    return lambda: monkeypatch.setattr(Wire, "aggregate", refuse)


async def words(index: WeaviateIndex, scope: Scope, *terms: str) -> KeywordCandidates:
    return await index.keyword("ns", terms or ("anna",), ask(select(scope)))


def numbers(found: KeywordCandidates) -> tuple[int, float, list[int]]:
    return found.document_count, found.mean_length, found.document_frequency.tolist()


@laws
@given(
    actions=lives(),
    query=queries(),
    steps=st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14), st.booleans(), st.integers(0, 12)), max_size=3),
)
def test_every_server_knows_of_every_change(
    store: Weaviate, actions: list[IndexAction], query: IndexQuery, steps: list[tuple[int, int, bool, int]]
) -> None:
    """One server applies a batch and is cut off somewhere; the other does it again. Both answer as a scan would."""
    prefix = new_prefix()
    present = replace(query, depth=1000, selection=replace(query.selection, revision=NEVER - 1))

    async def check(line: Line) -> None:
        model = Model()
        async with opened(store, prefix) as one, opened(store, prefix) as two:
            await one.set_model(MODEL)
            for start, end, swapped, cut in (*steps, (0, len(actions), False, 99)):
                first, second = (two, one) if swapped else (one, two)
                line.left = cut
                try:
                    await first.apply("ns", actions[start:end], applied=1)
                except StoreUnavailable:
                    line.left = None
                    await second.apply("ns", actions[start:end], applied=1)
                line.left = None
                for action in actions[start:end]:
                    model.apply(action)
                for server in (one, two):
                    await model.check_keyword(server, "ns", TERMS, present)
        async with plain_client(store) as client:
            for name in await client.collections.list_all():
                if name.startswith(f"{prefix}_"):
                    await client.collections.delete(name)

    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(check(Line(monkeypatch)))


async def test_nothing_is_counted_twice(store: Weaviate, no_counting: Callable[[], None]) -> None:
    async with opened_anew(store) as index:
        made = [entry(n, scope=ALICE, terms=("anna", "rome")[: n % 3]) for n in range(1, 20)]
        await index.apply("ns", [*puts(*made), *puts(entry(50, scope=BOB))], applied=50)
        first = [numbers(await words(index, scope, "anna", "rome", "absent")) for scope in (ALICE, Scope())]
        no_counting()
        again = [numbers(await words(index, scope, "absent", "rome", "anna")) for scope in (ALICE, Scope())]
        assert [frequency[::-1] for *_, frequency in again] == [frequency for *_, frequency in first]
        assert [known[:2] for known in again] == [known[:2] for known in first]


async def test_what_was_forgotten_is_counted_again(store: Weaviate, no_counting: Callable[[], None]) -> None:
    async with opened_anew(store) as index:
        await index.apply("ns", puts(entry(1, scope=ALICE), entry(2, scope=BOB)), applied=2)
        known = [numbers(await words(index, scope)) for scope in (ALICE, BOB)]
        index.forget()
        assert [numbers(await words(index, scope)) for scope in (ALICE, BOB)] == known
        index.forget()
        no_counting()
        for scope in (ALICE, BOB):
            with pytest.raises(AssertionError, match="counted again"):
                await words(index, scope)


async def test_a_server_counts_on_with_what_it_writes_itself(store: Weaviate, no_counting: Callable[[], None]) -> None:
    async with opened_anew(store) as index:
        await index.apply("ns", puts(*(entry(n, scope=ALICE, terms=("anna",)) for n in range(1, 5))), applied=4)
        for scope in (ALICE, Scope()):
            assert numbers(await words(index, scope, "anna", "rome")) == (4, 1.0, [4, 0])
        no_counting()
        replaced = entry(5, "m1", ALICE, terms=("anna", "rome", "rome"))
        await index.apply("ns", [Retire("m1", 1, 5), *puts(replaced, entry(6, scope=BOB, terms=("rome",)))], applied=6)
        assert numbers(await words(index, ALICE, "anna", "rome")) == (4, 1.5, [4, 1])
        assert numbers(await words(index, Scope(), "anna", "rome")) == (5, 1.4, [4, 2])
        await index.apply("ns", [Remove("m1", upto=5), Remove("m2", upto=2)], applied=8)
        assert numbers(await words(index, ALICE, "anna", "rome")) == (2, 1.0, [2, 0])
        assert numbers(await words(index, Scope(), "anna", "rome")) == (3, 1.0, [2, 1])


async def test_a_batch_that_is_repeated_counts_once(store: Weaviate) -> None:
    async with opened_anew(store) as index:
        first = puts(entry(1, scope=ALICE), entry(2, scope=ALICE))
        second = [Retire("m1", 1, 3), *puts(entry(3, "m1", ALICE))]
        for batch, expected in ((first, 2), (second, 2), ([Remove("m1", upto=3)], 1)):
            for _ in range(3):
                await index.apply("ns", batch, applied=1)
                assert numbers(await words(index, ALICE))[0] == numbers(await words(index, Scope()))[0] == expected


@pytest.mark.parametrize("cut", range(1, 12))
async def test_a_batch_that_another_server_did_not_finish(
    store: Weaviate, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """Wherever it is cut off, a server that knew the numbers of before does not go on with them."""
    prefix, line = new_prefix(), Line(monkeypatch)
    async with opened(store, prefix) as one, opened(store, prefix) as two:
        await one.apply("ns", puts(*(entry(n, scope=ALICE) for n in range(1, 5))), applied=4)
        for server in (one, two):
            assert numbers(await words(server, ALICE))[0] == 4
        batch = [Remove("m1", upto=4), Retire("m2", 2, 5), *puts(entry(5, scope=ALICE), entry(6, scope=ALICE))]
        line.left = cut
        with suppress(StoreUnavailable):
            await one.apply("ns", batch, applied=6)
        line.left = None
        await two.apply("ns", batch, applied=6)
        for server in (two, one):
            for scope in (ALICE, Scope()):
                assert numbers(await words(server, scope))[0] == 4


async def test_another_users_writes_touch_nothing_that_is_known(
    store: Weaviate, no_counting: Callable[[], None]
) -> None:
    prefix = new_prefix()
    async with opened(store, prefix) as one, opened(store, prefix) as two:
        await one.apply("ns", puts(entry(1, scope=ALICE), entry(2, scope=BOB)), applied=2)
        known = numbers(await words(two, ALICE))
        await one.apply("ns", puts(entry(3, scope=BOB)), applied=3)
        no_counting()
        assert numbers(await words(two, ALICE)) == known
        with pytest.raises(AssertionError, match="counted again"):
            await words(two, BOB)


async def test_refused_entries_and_those_taken_beside_them(store: Weaviate) -> None:
    async with opened_anew(store) as index:
        await index.apply("ns", puts(entry(1, scope=ALICE)), applied=1)
        assert numbers(await words(index, ALICE))[0] == 1
        with pytest.raises(Exception, match="'wrong' at revision 3"):
            await index.apply("ns", puts(entry(2, scope=ALICE), entry(3, "wrong", retired="never")), applied=3)
        assert numbers(await words(index, ALICE))[0] == 2


async def test_a_dropped_namespace_and_what_was_known_of_it(store: Weaviate) -> None:
    prefix = new_prefix()
    async with opened(store, prefix) as one, opened(store, prefix) as two:
        for _ in range(2):
            await one.apply("ns", puts(entry(1, scope=ALICE), entry(2, scope=ALICE)), applied=2)
            assert numbers(await words(two, ALICE))[0] == numbers(await words(one, ALICE))[0] == 2
            await one.drop("ns")
            assert numbers(await words(two, ALICE))[0] == numbers(await words(one, ALICE))[0] == 0


async def test_an_entry_that_cannot_be_read_says_not_whose_it_is(store: Weaviate) -> None:
    """It is removed all the same, and everything is counted again."""
    prefix = new_prefix()
    async with opened(store, prefix) as one, opened(store, prefix) as two, plain_client(store) as client:
        await one.apply("ns", puts(entry(1, scope=ALICE), entry(2, scope=ALICE), entry(3, scope=BOB)), applied=3)
        for server in (one, two):
            assert numbers(await words(server, ALICE))[0] == 2
        name = next(n for n in await client.collections.list_all() if n.startswith(f"{prefix}_Entries_"))
        tenant = client.collections.get(name).with_tenant("ns")
        for item in (await tenant.query.fetch_objects()).objects:
            if item.properties["memory_id"] == "=m2=":
                await tenant.data.update(uuid=item.uuid, properties={"columns": "[]"})
        await one.apply("ns", [Remove("m2", upto=2)], applied=4)
        for server in (one, two):
            assert numbers(await words(server, ALICE))[0] == 1
            assert numbers(await words(server, BOB))[0] == 1


async def test_after_an_outage_nothing_is_believed(store: Weaviate, no_counting: Callable[[], None]) -> None:
    async with opened(store, new_prefix(), seconds=1.0) as index:
        await index.apply("ns", puts(entry(1, scope=ALICE)), applied=1)
        assert numbers(await words(index, ALICE))[0] == 1
        store.suspend()
        try:
            with pytest.raises(StoreUnavailable):
                await words(index, ALICE)
        finally:
            store.resume()
        no_counting()
        with pytest.raises(AssertionError, match="counted again"):
            await words(index, ALICE)
