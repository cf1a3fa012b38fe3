"""The index in Weaviate: the suite of every index on the real store, and what only Weaviate can suffer."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import numpy as np
import pytest
from weaviate.classes.data import DataObject
from weaviate.classes.query import MetadataQuery

from memoir_conformance.index_model import DIMENSION, MODEL, VECTORS, OpenIndex, ask, cosine, entry, puts, select
from memoir_conformance.index_suite import IndexSuite
from memoir_server.adapters.index.weaviate import WeaviateAddress, WeaviateIndex, WeaviateRefused
from memoir_server.domain.consistency import Portion
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Scope
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.projection import Remove, Retire
from stores.weaviate import Weaviate
from tests.conformance.weaviate_model import collections_of, new_prefix, opened, opened_anew, plain_client, where

# A law makes collections and tenants for each of its examples.
pytestmark = [pytest.mark.timeout(400), pytest.mark.stores]


class TestWeaviateIndex(IndexSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def open_index(cls, store: Weaviate) -> OpenIndex:
        def open_index() -> AbstractAsyncContextManager[MemoryIndex]:
            return opened_anew(store)

        return open_index


def found_by(index: MemoryIndex, scope: Scope) -> Any:
    return index.keyword("ns", ["anna"], ask(select(scope)))


async def test_while_it_starts_it_is_not_believed(store: Weaviate) -> None:
    """A store that was killed takes calls again before it has loaded its collections and tenants."""
    async with opened_anew(store) as index:
        await index.adopt("ledger")
        await index.set_model(MODEL)
        for _ in range(2):
            answers = 0
            await index.apply("ns", puts(entry(1), entry(2)), applied=2)
            await asyncio.to_thread(store.kill)
            starting = asyncio.create_task(asyncio.to_thread(store.start))
            outages = 0
            while not starting.done() or not answers:
                try:
                    assert await index.ledger_id() == "ledger"
                    assert await index.applied("ns") == 2
                    assert await index.find("ns", ["m1", "m2"]) == [("m1", 1), ("m2", 2)]
                    assert await index.count("ns", Scope()) == 2
                    await index.apply("ns", [Retire("m1", 1, 2)], applied=2)
                    answers += 1
                except StoreUnavailable:
                    outages += 1
                await asyncio.sleep(0.005)
            await starting
            assert outages


async def test_killed_and_back_it_has_what_it_acknowledged(store: Weaviate) -> None:
    """Killed while it writes; the same adapter goes on when the store is back, and a replay makes it whole."""
    prefix = new_prefix()
    async with opened(store, prefix, seconds=5.0) as index:
        await index.adopt("ledger")
        await index.set_model(MODEL)
        acknowledged, begun = 0, asyncio.Event()

        async def write() -> None:
            nonlocal acknowledged
            for n in range(1, 1_000):
                actions = [*puts(*(entry(10 * n + i) for i in range(10))), Retire(f"m{10 * n - 1}", 10 * n - 1, 10 * n)]
                await index.apply("ns", actions, applied=10 * n + 9)
                acknowledged = 10 * n + 9
                if n == 10:
                    begun.set()

        writing = asyncio.create_task(write())
        await begun.wait()
        await asyncio.to_thread(store.kill)
        try:
            with pytest.raises(StoreUnavailable, match="index"):
                await writing
            for call in (
                index.ping(),
                index.applied("ns"),
                found_by(index, Scope()),
                index.dense("ns", VECTORS[0], ask()),
                index.scan("ns", Portion(), after=0, limit=5),
                index.apply("ns", puts(entry(1)), applied=1),
                index.apply("ns", [Remove("m10", upto=99)], applied=1),
                index.apply("ns", [Retire("m10", 10, 99)], applied=1),
                index.set_model(EmbeddingModel("other", "1", 3)),
                index.adopt("other"),
                index.drop("ns"),
            ):
                with pytest.raises(StoreUnavailable, match="index"):
                    await call
            late = WeaviateIndex(where(store), prefix=prefix, seconds=5.0)
            with pytest.raises(StoreUnavailable, match="cannot connect"):
                await late.open()
        finally:
            await asyncio.to_thread(store.start)
        assert await late.ledger_id() == await index.ledger_id() == "ledger"
        await late.close()
        applied = await index.applied("ns")
        assert applied >= acknowledged
        held = await index.find("ns", [f"m{r}" for r in range(10, applied + 1)])
        assert len(held) == applied - 9
        # Weaviate buffers the log of its vector graph: what it took just before a kill may be found by words only.
        before = await index.dense("ns", VECTORS[0], ask(select(revision=applied), depth=9_000))
        words = await index.keyword("ns", ["anna"], ask(select(revision=applied), depth=9_000))
        assert set(before.columns.revision.tolist()) <= set(words.columns.revision.tolist())
        assert len(words) == len(held) - (applied // 10 - 1), "all but those that were replaced"
        for n in range(applied // 10, applied // 10 + 3):
            await index.apply("ns", puts(*(entry(10 * n + i) for i in range(10))), applied=10 * n + 9)
        count = await index.count("ns", Scope())
        current = await index.dense("ns", VECTORS[0], ask(depth=9_000))
        words = await index.keyword("ns", ["anna"], ask(depth=9_000))
        assert set(current.columns.revision.tolist()) <= set(words.columns.revision.tolist())
        last = range(10 * (applied // 10), 10 * (applied // 10) + 30)
        assert set(last) <= set(current.columns.revision.tolist())
        assert count == last[-1] - 9


async def test_a_store_that_does_not_answer_is_unavailable(store: Weaviate) -> None:
    async with opened(store, new_prefix(), seconds=1.0) as index:
        store.suspend()
        try:
            with pytest.raises(StoreUnavailable, match="index"):
                await index.count("ns", Scope())
            with pytest.raises(StoreUnavailable, match="index"):
                await index.apply("ns", puts(entry(1)), applied=1)
        finally:
            store.resume()
        await index.apply("ns", puts(entry(1)), applied=1)
        assert await index.count("ns", Scope()) == 1


async def test_refused_objects_are_named_and_the_others_stay(store: Weaviate) -> None:
    async with opened_anew(store) as index:
        await index.set_model(MODEL)
        wrong = entry(2, "wrong", retired="never")
        with pytest.raises(WeaviateRefused, match=r"1 of 3 entries.*'wrong' at revision 2"):
            await index.apply("ns", puts(entry(1), wrong, entry(3)), applied=3)
        assert await index.applied("ns") == 0
        assert await index.find("ns", ["m1", "wrong", "m3"]) == [("m1", 1), ("m3", 3)]
        with pytest.raises(WeaviateRefused, match=r"1 of 1 entries.*'wrong' at revision 2"):
            await index.apply("ns", puts(wrong), applied=3)
        await index.apply("ns", puts(entry(1), entry(2, "wrong"), entry(3)), applied=3)
        assert await index.applied("ns") == await index.count("ns", Scope()) == 3


async def test_tenants_that_contain_each_other_never_mix(store: Weaviate) -> None:
    names = ["ns", "ns-1", "ns_1", "NS", "n", "ns.1", "ns/1", "ns 1", "_ns", "é", "n" * 64, "n" * 65, "n" * 66]
    async with opened_anew(store) as index:
        for n, name in enumerate(names):
            await index.apply(name, puts(entry(n + 1)), applied=n + 1)
        for n, name in enumerate(names):
            assert (await index.keyword(name, ["anna"], ask())).columns.revision.tolist() == [n + 1]
            assert (await index.dense(name, VECTORS[0], ask())).columns.revision.tolist() == [n + 1]
            assert await index.applied(name) == n + 1
        await index.drop("ns")
        await index.drop("ns.1")
        await index.drop("never there")
        assert [await index.count(name, Scope()) for name in names] == [int(n not in ("ns", "ns.1")) for n in names]


async def test_ids_are_whole_tokens(store: Weaviate) -> None:
    """FIELD tokens lose white space at their ends, stop words and patterns are a matter of filters: not here."""
    ids = ["alice", "alice-2", "alice@x.com", "Alice", " alice", "alice ", "the", "a", "*", "ali*", "?", "-", "=", ""]
    async with opened_anew(store) as index:
        await index.apply("ns", puts(*(entry(n + 1, user, Scope(user)) for n, user in enumerate(ids))), applied=1)
        await index.apply("ns", puts(entry(99, "nobody's", Scope())), applied=99)
        for n, user in enumerate(ids):
            found = await found_by(index, Scope(user))
            assert (found.columns.memory_id, found.document_count) == ([user], 1)
            assert await index.find("ns", [user]) == [(user, n + 1)]
        await index.apply("ns", [Remove("ali*", 99), Remove("*", 99), Retire("alice", 2, 3)], applied=100)
        assert await index.count("ns", Scope()) == len(ids) - 1
        assert len(await found_by(index, Scope())) == len(ids) - 1


async def test_terms_are_indexed_as_they_are(store: Weaviate) -> None:
    terms = ["the", "The", "a", "and", "x-y", "x", "京都", "t.co"]
    async with opened_anew(store) as index:
        await index.apply("ns", puts(*(entry(n + 1, terms=(t,)) for n, t in enumerate(terms))), applied=1)
        for n, term in enumerate(terms):
            found = await index.keyword("ns", [term], ask())
            assert found.columns.revision.tolist() == [n + 1]
            assert found.document_frequency.tolist() == [1]


async def test_beyond_the_depth_the_nearest_stay_and_those_named(store: Weaviate) -> None:
    generator = np.random.default_rng(5)
    vectors = generator.normal(size=(1000, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1)[:, np.newaxis]
    near = [cosine(v, VECTORS[0]) for v in vectors]
    async with opened_anew(store) as index:
        made = [entry(n + 1, scope=Scope(f"u{n % 2}"), vector=v) for n, v in enumerate(vectors)]
        await index.apply("ns", puts(*made), applied=1000)
        best = sorted(range(1000), key=lambda n: -near[n])
        ours = [n for n in best if n % 2]
        query = ask(select(Scope("u1")), depth=20)
        found = await index.dense("ns", VECTORS[0], query)
        assert found.columns.revision.tolist() == sorted(n + 1 for n in ours[:20])
        assert found.nearest == 20
        far, others = ours[-3:], best[-1] if best[-1] % 2 == 0 else best[-2] - best[-2] % 2
        also = np.array(sorted([*(n + 1 for n in far), others + 1, ours[0] + 1, 5_000]), dtype=np.int64)
        found = await index.dense("ns", VECTORS[0], query, also=also)
        assert found.nearest == 20
        assert found.columns.revision.tolist() == sorted(n + 1 for n in [*ours[:20], *far])
        assert found.cosine == pytest.approx([near[r - 1] for r in found.columns.revision.tolist()], abs=1.5e-6)
        allowed = ask(select(Scope("u1")), depth=20, allowed=[far[0] + 1, ours[1] + 1])
        found = await index.dense("ns", VECTORS[0], allowed, also=also)
        assert found.columns.revision.tolist() == sorted([far[0] + 1, ours[1] + 1])
        none = await index.dense("ns", VECTORS[0], ask(depth=0), also=also)
        assert (none.nearest, len(none)) == (0, 5)


async def test_more_revisions_allowed_than_one_filter_names(store: Weaviate) -> None:
    async with opened_anew(store) as index:
        made = [entry(n, terms=("anna",) * (1 + n % 3)) for n in (*range(1, 40), *range(4_000, 4_040))]
        await index.apply("ns", puts(*made), applied=9_000)
        for depth in (1000, 7):
            told = []
            for allowed in (range(1, 9_000), None):
                query = ask(depth=depth, allowed=allowed)
                keyword = await index.keyword("ns", ["anna"], query)
                dense = await index.dense("ns", VECTORS[0], query)
                assert len(keyword) == len(dense) == min(depth, 79)
                told.append((sorted(keyword.frequency.ravel().tolist()), sorted(dense.cosine.tolist())))
            assert told[0] == told[1]


async def test_world_time_is_exact_in_any_year(store: Weaviate) -> None:
    end = 253_402_300_799_999_999
    """The last microsecond of the year 9999."""
    async with opened_anew(store) as index:
        made = entry(1, valid_from=end - 2, valid_until=end, create_time=end, speaker="Anna")
        await index.apply("ns", puts(made, entry(2, valid_from=-5, valid_until=-2)), applied=2)
        seen = {end - 3: [], end - 2: [1], end - 1: [1], end: [], -6: [], -5: [2], -3: [2], -2: []}
        for instant, expected in seen.items():
            found = await index.keyword("ns", ["anna"], ask(select(valid_at=instant)))
            assert found.columns.revision.tolist() == expected
        assert (await index.keyword("ns", ["anna"], ask())).columns.create_time.tolist() == [end]


async def test_one_collection_per_model_and_ledger(store: Weaviate) -> None:
    prefix = new_prefix()
    async with opened(store, prefix) as one, opened(store, prefix) as two:
        await one.set_model(MODEL)
        await two.set_model(MODEL)
        first = await collections_of(store, prefix)
        assert len(first) == 1
        await two.apply("ns", puts(entry(1)), applied=4)
        await two.apply("ns", [], applied=3)
        assert await one.applied("ns") == 4
        assert await one.count("ns", Scope()) == 1
        await one.drop("ns")
        await one.set_model(EmbeddingModel("other", "1", 3))
        second = await collections_of(store, prefix)
        assert len(second) == 1
        assert second != first
        assert await two.model() == EmbeddingModel("other", "1", 3)
        await one.adopt("ledger")
        assert await collections_of(store, prefix) == []
        await one.set_model(MODEL)
        await one.apply("ns", puts(entry(7)), applied=7)
        # The other server finds out by itself, reading or writing first.
        assert len(await found_by(two, Scope())) == 1
        await one.adopt("ledger-2")
        await two.apply("ns", puts(entry(8)), applied=8)
        assert await one.find("ns", ["m7", "m8"]) == [("m8", 8)]
        assert await one.applied("ns") == 8
    async with opened(store, prefix) as again:
        assert await again.ledger_id() == "ledger-2"
        assert await again.applied("ns") == 8
        with pytest.raises(ValueError, match="3 components"):
            await again.set_model(EmbeddingModel("other", "1", 3))
        await again.set_model(MODEL)
        with pytest.raises(ValueError, match="holds vectors of test@1"):
            await again.set_model(EmbeddingModel("other", "1", DIMENSION))
        assert await again.count("ns", Scope()) == 1


async def test_a_store_that_lost_everything_begins_anew(store: Weaviate) -> None:
    prefix = new_prefix()
    async with opened(store, prefix) as index, plain_client(store) as client:
        await index.adopt("ledger")
        await index.apply("ns", puts(entry(1)), applied=1)
        for name in await client.collections.list_all():
            if name.startswith(f"{prefix}_"):
                await client.collections.delete(name)
        assert len(await found_by(index, Scope())) == 0
        assert await index.ledger_id() == ""
        assert await index.applied("ns") == 0
        await index.apply("ns", puts(entry(1)), applied=1)
        assert await index.applied("ns") == await index.count("ns", Scope()) == 1


async def test_a_lost_collection_is_made_anew(store: Weaviate) -> None:
    """Its notes are still there: the doctor finds what is missing, and writes go on."""
    prefix = new_prefix()
    async with opened(store, prefix) as index, plain_client(store) as client:
        await index.set_model(MODEL)
        await index.apply("ns", puts(entry(1)), applied=1)
        await client.collections.delete((await collections_of(store, prefix))[0])
        assert await index.scan("ns", Portion(), after=0, limit=9) == []
        await index.apply("ns", puts(entry(2)), applied=2)
        assert await index.find("ns", ["m1", "m2"]) == [("m2", 2)]


async def test_damage_is_seen_and_strays_are_deleted(store: Weaviate) -> None:
    prefix = new_prefix()
    async with opened(store, prefix) as index, plain_client(store) as client:
        await index.apply("ns", puts(entry(1), entry(2)), applied=2)
        tenant = client.collections.get((await collections_of(store, prefix))[0]).with_tenant("ns")
        whole = (await tenant.query.fetch_objects(limit=1)).objects[0]
        copied: DataObject[Any, None] = DataObject(properties=whole.properties, vector=VECTORS[1].tolist())
        strange: DataObject[Any, None] = DataObject(properties={"terms": "anna"}, vector=VECTORS[1].tolist())
        assert not (await tenant.data.insert_many([copied, strange])).errors
        await index.settle("ns")
        assert await index.count("ns", Scope()) == 2
        assert len(await found_by(index, Scope())) == 2
        await tenant.data.update(uuid=whole.uuid, properties={"terms": ""})
        held = await index.scan("ns", Portion(), after=0, limit=9)
        assert sorted(h.searchable for h in held) == [False, True]


async def test_a_replay_mends_what_is_not_whole(store: Weaviate) -> None:
    """And leaves the rest where it is."""
    prefix = new_prefix()
    entries = [entry(r, terms=("anna", f"t{r}")) for r in range(1, 8)]
    entries.append(entry(8, terms=()))
    async with opened(store, prefix) as index, plain_client(store) as client:
        await index.apply("ns", puts(*entries), applied=8)
        tenant = client.collections.get((await collections_of(store, prefix))[0]).with_tenant("ns")
        found = (await tenant.query.fetch_objects(include_vector=True)).objects
        held = {int(str(each.properties["revision"])): each for each in found}
        written = {each.uuid: each.metadata.last_update_time for each in await _timed(tenant)}
        await tenant.data.update(uuid=held[1].uuid, properties={"terms": "anna"})
        await tenant.data.update(uuid=held[2].uuid, properties={"valid_until": 3})
        await tenant.data.update(uuid=held[3].uuid, properties={"retired": 4})
        await tenant.data.update(uuid=held[4].uuid, properties={"user": "=bob="})
        await tenant.data.update(uuid=held[5].uuid, vector=VECTORS[2].tolist())
        await tenant.data.delete_by_id(held[6].uuid)
        await tenant.data.insert(uuid=held[6].uuid, properties=held[6].properties)
        await index.apply("ns", puts(*entries), applied=8)
        words = await index.keyword("ns", ["anna", "t1"], ask(select(Scope("alice"))))
        near = await index.dense("ns", VECTORS[0], ask(select(Scope("alice"))))
        assert words.columns.revision.tolist() == list(range(1, 8))
        assert words.document_frequency.tolist() == [7, 1]
        assert near.columns.revision.tolist() == list(range(1, 9))
        assert near.cosine == pytest.approx([cosine(e.vector, VECTORS[0]) for e in entries], abs=1.5e-6)
        now = {each.uuid: each.metadata.last_update_time for each in await _timed(tenant)}
        assert sorted(r for r, each in held.items() if now[each.uuid] == written[each.uuid]) == [7, 8]


async def _timed(tenant: Any) -> Any:
    return (await tenant.query.fetch_objects(return_metadata=MetadataQuery(last_update_time=True))).objects


async def test_a_closed_index_and_a_wrong_key_say_so(store: Weaviate) -> None:
    async with opened(store, new_prefix()) as index:
        with pytest.raises(ValueError, match=r"depth=10000.*at most 9968"):
            await index.keyword("ns", ["anna"], ask(depth=10_000))
    with pytest.raises(StoreUnavailable, match="closed"):
        await index.count("ns", Scope())
    await index.close()
    address = where(store)
    wrong = WeaviateIndex(WeaviateAddress(address.host, address.http_port, address.grpc_port, "not the key"))
    with pytest.raises(StoreUnavailable, match="index"):
        await wrong.open()
    await wrong.close()


@pytest.mark.parametrize("prefix", ["", "memoir", "Mem_oir", "M" * 41])
def test_a_prefix_that_names_no_collection(prefix: str) -> None:
    with pytest.raises(ValueError, match="capital"):
        WeaviateIndex(WeaviateAddress("127.0.0.1", 1, 2), prefix=prefix)


def test_a_time_of_nothing() -> None:
    with pytest.raises(ValueError, match="seconds=0"):
        WeaviateIndex(WeaviateAddress("127.0.0.1", 1, 2), seconds=0)
