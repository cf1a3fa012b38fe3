"""What every index must do. A store's test class inherits `IndexSuite` and provides the fixture `open_index`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from memoir_conformance.index_model import (
    DIMENSION,
    MODEL,
    VECTORS,
    Model,
    OpenIndex,
    ask,
    cosine,
    entry,
    laws,
    lives,
    puts,
    queries,
    rows,
    run,
    select,
    snapshot,
    term_lists,
)
from memoir_conformance.index_words import IndexWords
from memoir_server.domain.consistency import Portion
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.entry import IndexEntry
from memoir_server.domain.memory import NEVER, Scope
from memoir_server.ports.index import IndexAction, IndexQuery, MemoryIndex, Put
from memoir_server.ports.projection import Held, Remove, Retire


async def scanned(index: MemoryIndex, portion: Portion, limit: int) -> list[Held]:
    """Everything of a portion, page by page."""
    found: list[Held] = []
    while page := await index.scan("ns", portion, after=found[-1].revision if found else 0, limit=limit):
        assert len(page) <= limit
        found.extend(page)
    return found


def in_portion(portion: Portion, held: IndexEntry) -> bool:
    return (
        portion.scope.covers(held.scope)
        and held.revision <= portion.until
        and (portion.memory_ids is None or held.memory_id in portion.memory_ids)
        and (portion.revisions is None or held.revision in portion.revisions)
    )


class IndexSuite(IndexWords):
    """The behaviour of `MemoryIndex`."""

    @laws
    @given(actions=lives(), query=queries(), terms=term_lists, vector=st.sampled_from(list(VECTORS)))
    def test_candidates_are_what_a_scan_finds(
        self,
        open_index: OpenIndex,
        actions: list[IndexAction],
        query: IndexQuery,
        terms: list[str],
        vector: NDArray[np.float32],
    ) -> None:
        async def check(index: MemoryIndex) -> None:
            model = Model(actions)
            half = len(actions) // 2
            await index.apply("ns", actions[:half], applied=half)
            # What is held in memory must follow what comes.
            await index.dense("ns", vector, query)
            await Model(actions[:half]).check_keyword(index, "ns", terms, replace(query, depth=1000))
            await index.apply("ns", actions[half:], applied=len(actions))
            await model.check_keyword(index, "ns", terms, replace(query, depth=1000))
            await model.check_dense(index, "ns", vector, query)
            for scope in (Scope(), query.selection.scope, query.selection.scope.owner):
                assert await index.count("ns", scope) == sum(scope.covers(e.scope) for e in model.entries.values())
            held = sorted((e.memory_id, e.revision) for e in model.entries.values() if e.memory_id in ("m", "n"))
            assert list(await index.find("ns", ["n", "m", "m"])) == held

        run(open_index, check)

    @laws
    @given(actions=lives(), query=queries(), terms=term_lists, vector=st.sampled_from(list(VECTORS)))
    def test_what_is_at_hand_is_what_would_be_answered(
        self,
        open_index: OpenIndex,
        actions: list[IndexAction],
        query: IndexQuery,
        terms: list[str],
        vector: NDArray[np.float32],
    ) -> None:
        async def check(index: MemoryIndex) -> None:
            half = len(actions) // 2
            for applied in (actions[:half], actions[half:]):
                await index.apply("ns", applied, applied=len(actions))
                words, near = index.keyword_at_hand("ns", terms, query), index.dense_at_hand("ns", vector, query)
                keyword = await index.keyword("ns", terms, query)
                if words is not None:
                    assert rows(words.columns) == rows(keyword.columns)
                    assert words.frequency.tolist() == keyword.frequency.tolist()
                    assert words.document_frequency.tolist() == keyword.document_frequency.tolist()
                    assert (words.document_count, words.mean_length) == (keyword.document_count, keyword.mean_length)
                dense = await index.dense("ns", vector, query)
                if near is not None:
                    assert rows(near.columns) == rows(dense.columns)
                    assert (near.cosine.tolist(), near.nearest) == (dense.cosine.tolist(), dense.nearest)

        run(open_index, check)

    @laws
    @given(actions=lives(), start=st.integers(0, 14))
    def test_a_replay_changes_nothing(self, open_index: OpenIndex, actions: list[IndexAction], start: int) -> None:
        async def check(index: MemoryIndex) -> None:
            await index.apply("ns", actions, applied=9)
            before = await snapshot(index, "ns")
            await index.apply("ns", actions[start:], applied=3)
            assert await snapshot(index, "ns") == before
            assert await index.applied("ns") == 9

        run(open_index, check)

    def test_a_replay_hides_nothing_meanwhile(self, open_index: OpenIndex) -> None:
        """A server that starts replays what was written last, while others are asked."""
        actions = [*puts(*(entry(r) for r in range(1, 61))), *(Retire(f"m{r}", r, 61) for r in range(1, 11))]

        async def check(index: MemoryIndex) -> None:
            await index.apply("ns", actions, applied=61)
            replayed = False

            async def ask_again_and_again() -> int:
                rounds = 0
                while not replayed or not rounds:
                    words = await index.keyword("ns", ["anna"], ask())
                    near = await index.dense("ns", VECTORS[0], ask())
                    for columns in (words.columns, near.columns):
                        assert columns.revision.tolist() == list(range(11, 61))
                    assert (words.document_count, words.document_frequency.tolist()) == (50, [50])
                    rounds += 1
                    await asyncio.sleep(0)
                return rounds

            asking = asyncio.create_task(ask_again_and_again())
            for _ in range(5):
                await index.apply("ns", actions, applied=0)
            replayed = True
            assert await asking

        run(open_index, check)

    @laws
    @given(actions=lives(), seed=st.integers(0, 99))
    def test_memories_may_be_applied_in_any_order(
        self, open_index: OpenIndex, actions: list[IndexAction], seed: int
    ) -> None:
        def memory(action: IndexAction) -> str:
            return action.entry.memory_id if isinstance(action, Put) else action.memory_id

        order = np.random.default_rng(seed).permutation(["m", "m-1", "m1", "n"]).tolist()

        async def check(index: MemoryIndex) -> None:
            await index.apply("one", actions, applied=1)
            for name in order:
                await index.apply("two", [a for a in actions if memory(a) == name], applied=1)
            assert await snapshot(index, "one") == await snapshot(index, "two")

        run(open_index, check)

    def test_ids_that_contain_each_other_never_mix(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            ids = ["alice", "alice-2", "alice@x.com", "Alice", "alice 2", "", "ali"]
            made = [entry(n + 1, scope=Scope(user)) for n, user in enumerate(ids)]
            made += [entry(n + 20, scope=Scope("u", agent, agent)) for n, agent in enumerate(ids)]
            made.append(entry(50, scope=Scope()))
            await index.apply("ns", puts(*made), applied=50)
            for n, user in enumerate(ids):
                for scope, revision in (
                    (Scope(user), n + 1),
                    (Scope(None, user), n + 20),
                    (Scope(None, None, user), n + 20),
                ):
                    query = ask(select(scope))
                    assert (await index.keyword("ns", ["anna"], query)).columns.revision.tolist() == [revision]
                    assert (await index.dense("ns", VECTORS[0], query)).columns.revision.tolist() == [revision]
                    assert await index.count("ns", scope) == 1

        run(open_index, check)

    def test_namespaces_never_mix(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            await index.apply("ns", puts(entry(1), entry(2)), applied=2)
            await index.apply("ns-1", puts(entry(1, "other")), applied=7)
            assert (await index.keyword("ns-1", ["anna"], ask())).columns.memory_id == ["other"]
            assert (await index.keyword("ns-1", ["anna"], ask())).document_count == 1
            assert len((await index.dense("ns", VECTORS[0], ask())).columns) == 2
            await index.apply("ns-1", [Remove("m1", 9), Retire("m2", 2, 3)], applied=8)
            assert await index.find("ns", ["m1", "m2"]) == [("m1", 1), ("m2", 2)]
            await index.drop("ns")
            assert await index.count("ns", Scope()) == 0
            assert await index.applied("ns") == 0
            assert len((await index.keyword("ns", ["anna"], ask())).columns) == 0
            assert len((await index.dense("ns", VECTORS[0], ask())).columns) == 0
            assert await index.count("ns-1", Scope()) == 1
            assert await index.applied("ns-1") == 8

        run(open_index, check)

    def test_statistics_of_a_user_do_not_depend_on_others(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            mine = [entry(n, terms=("anna", "rome")[: 1 + n % 2]) for n in range(1, 6)]
            await index.apply("ns", puts(*mine), applied=5)
            query = ask(select(Scope("alice")))
            before = await index.keyword("ns", ["anna", "rome"], query)
            others = [entry(n, scope=Scope("bob"), terms=("anna",) * 9) for n in range(10, 40)]
            await index.apply("ns", puts(*others), applied=40)
            after = await index.keyword("ns", ["anna", "rome"], query)
            assert (after.document_count, after.mean_length) == (before.document_count, before.mean_length) == (5, 1.6)
            assert after.document_frequency.tolist() == before.document_frequency.tolist() == [5, 3]

        run(open_index, check)

    def test_versions_are_seen_in_their_interval(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            versions: list[IndexAction] = [
                Put(entry(2, "m")),
                Retire("m", 2, 5),
                Put(entry(5, "m")),
                Retire("m", 5, 6),
                Put(entry(6, "m")),
            ]
            await index.apply("ns", versions, applied=6)
            seen = {1: [], 2: [2], 4: [2], 5: [5], 6: [6], 7: [6], NEVER - 1: [6]}
            for revision, expected in seen.items():
                query = ask(select(Scope("alice"), revision=revision))
                assert (await index.keyword("ns", ["anna"], query)).columns.revision.tolist() == expected
                assert (await index.dense("ns", VECTORS[0], query)).columns.revision.tolist() == expected
            await index.apply("ns", [Remove("m", upto=5)], applied=7)
            assert await index.find("ns", ["m"]) == [("m", 6)]

        run(open_index, check)

    def test_a_retirement_of_another_memory_does_not_match(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            await index.apply("ns", puts(entry(3, "new")), applied=3)
            await index.apply("ns", [Retire("old", 3, 4), Remove("old", 9), Remove("new", 2)], applied=4)
            assert (await index.keyword("ns", ["anna"], ask())).columns.memory_id == ["new"]

        run(open_index, check)

    def test_equal_vectors_have_equal_cosines_whatever_stands_beside_them(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            generator = np.random.default_rng(3)
            vectors = generator.normal(size=(400, DIMENSION)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1)[:, np.newaxis]
            same = vectors[7]
            made = [entry(n + 1, scope=Scope(f"u{n % 3}"), vector=v) for n, v in enumerate(vectors)]
            made += [entry(1000 + n, scope=Scope(f"solo{n}"), vector=same) for n in range(3)]
            await index.apply("ns", puts(*made), applied=2000)
            whole = await index.dense("ns", vectors[0], ask(depth=1000))
            expected = float(whole.cosine[whole.columns.revision.tolist().index(8)])
            assert expected == round(expected, 6)
            for n in range(3):
                alone = await index.dense("ns", vectors[0], ask(select(Scope(f"solo{n}"))))
                assert alone.cosine.tolist() == [expected]
            few = await index.dense("ns", vectors[0], ask(depth=5))
            order = np.lexsort((whole.columns.revision, -whole.cosine))[:5]
            assert sorted(few.cosine.tolist()) == sorted(whole.cosine[order].tolist())

        run(open_index, check)

    def test_codes_of_sessions_join_the_arms(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            made = [entry(n, scope=Scope("alice", None, ("s", "t", None)[n % 3]), turn=n) for n in range(1, 10)]
            await index.apply("ns", puts(*made), applied=9)
            for scope in (Scope("alice"), Scope()):
                keyword = (await index.keyword("ns", ["anna"], ask(select(scope)))).columns
                dense = (await index.dense("ns", VECTORS[0], ask(select(scope)))).columns
                assert keyword.session.tolist() == dense.session.tolist()
                assert len(set(keyword.session.tolist())) == 3
                assert [s == -1 for s in keyword.session.tolist()] == [n % 3 == 2 for n in range(1, 10)]

        run(open_index, check)

    def test_beyond_the_depth_the_best_stay(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            made = [entry(n, terms=("anna",) + ("rome",) * (n in (3, 40)) + ("x",) * 5) for n in range(1, 50)]
            await index.apply("ns", puts(*made), applied=50)
            found = await index.keyword("ns", ["anna", "rome"], ask(select(Scope("alice")), depth=4))
            assert len(found.columns) == 4
            assert {3, 40} <= set(found.columns.revision.tolist())
            assert found.columns.revision.tolist() == sorted(found.columns.revision.tolist())
            assert found.document_frequency.tolist() == [49, 2]

        run(open_index, check)

    def test_nothing_is_found_in_an_empty_index(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            assert len((await index.keyword("ns", ["anna"], ask())).columns) == 0
            assert len((await index.dense("ns", VECTORS[0], ask())).columns) == 0
            assert await index.find("ns", ["m"]) == []
            await index.apply("ns", puts(entry(1)), applied=1)
            assert (await index.keyword("ns", [], ask())).frequency.shape == (0, 0)
            assert len((await index.keyword("ns", ["anna"], ask(allowed=[]))).columns) == 0
            assert len((await index.dense("ns", VECTORS[0], ask(allowed=[]))).columns) == 0

        run(open_index, check)

    def test_the_model_is_remembered_and_guarded(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            assert await index.model() == MODEL
            await index.apply("ns", puts(entry(1)), applied=1)
            wrong = entry(2, vector=np.ones(3, dtype=np.float32))
            with pytest.raises(ValueError, match=r"3.*8 components"):
                await index.apply("ns", [Put(entry(5)), Put(wrong)], applied=9)
            assert await index.count("ns", Scope()) == 1
            assert await index.applied("ns") == 1
            with pytest.raises(ValueError, match=r"3.*8 components"):
                await index.dense("ns", np.ones(3, dtype=np.float32), ask())
            with pytest.raises(ValueError, match="other@2"):
                await index.set_model(EmbeddingModel("other", "2", DIMENSION))
            await index.adopt("ledger")
            assert await index.model() is None
            await index.set_model(EmbeddingModel("other", "2", 3))
            await index.apply("ns", [Put(wrong)], applied=1)
            assert await index.model() == EmbeddingModel("other", "2", 3)
            assert len((await index.dense("ns", np.ones(3, dtype=np.float32), ask())).columns) == 1

        run(open_index, check)

    def test_it_follows_one_ledger(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            assert await index.ledger_id() == ""
            await index.apply("ns", puts(entry(1)), applied=4)
            assert len((await index.dense("ns", VECTORS[0], ask(select(Scope("alice"))))).columns) == 1
            await index.adopt("ledger-1")
            assert await index.ledger_id() == "ledger-1"
            assert await index.applied("ns") == 0
            assert await index.count("ns", Scope()) == 0
            assert len((await index.dense("ns", VECTORS[0], ask(select(Scope("alice"))))).columns) == 0
            assert await index.ping()

        run(open_index, check)

    @laws
    @given(actions=lives(), limit=st.integers(1, 5))
    def test_a_scan_reads_everything_back(self, open_index: OpenIndex, actions: list[IndexAction], limit: int) -> None:
        async def check(index: MemoryIndex) -> None:
            await index.apply("ns", actions, applied=1)
            await index.apply("ns-1", puts(entry(1), entry(10_000)), applied=1)
            model = Model(actions).entries
            portions = [
                Portion(),
                Portion(scope=Scope("alice")),
                Portion(scope=Scope(agent_id="a", session_id="s")),
                Portion(until=3),
                Portion(memory_ids=["m", "m-1", "nobody"]),
                Portion(revisions=[1, 3, 99, NEVER]),
            ]
            for portion in portions:
                found = await scanned(index, portion, limit)
                expected = [e for _, e in sorted(model.items()) if in_portion(portion, e)]
                assert [(h.memory_id, h.revision, h.retired, h.scope) for h in found] == [
                    (e.memory_id, e.revision, e.retired, e.scope) for e in expected
                ]
                for held, kept in zip(found, expected, strict=True):
                    assert held.searchable
                    assert held.vector is not None
                    assert held.vector == pytest.approx(kept.vector, abs=1e-6)
            assert list(await index.scan("nowhere", Portion(), after=0, limit=limit)) == []

        run(open_index, check)

    @laws
    @given(actions=lives())
    def test_settling_changes_nothing_that_is_right(self, open_index: OpenIndex, actions: list[IndexAction]) -> None:
        async def check(index: MemoryIndex) -> None:
            await index.apply("ns", actions, applied=1)
            before = await snapshot(index, "ns")
            await index.settle("ns")
            await index.settle("nowhere")
            assert await snapshot(index, "ns") == before
            await index.apply("ns", puts(entry(10_000)), applied=2)
            assert 10_000 in [h.revision for h in await scanned(index, Portion(), 100)]

        run(open_index, check)

    def test_a_page_is_full_unless_it_is_the_last(self, open_index: OpenIndex) -> None:
        """However few of the revisions have an entry: whoever reads takes a short page for the end."""
        revisions = [1, 2, 900, 901, 5_000, 5_001, 90_000]

        async def check(index: MemoryIndex) -> None:
            await index.apply("ns", puts(*(entry(r) for r in revisions)), applied=1)
            for limit in range(1, 9):
                for after in (0, *revisions):
                    expected = [r for r in revisions if r > after][:limit]
                    for portion in (Portion(), Portion(revisions=revisions)):
                        page = await index.scan("ns", portion, after=after, limit=limit)
                        assert [held.revision for held in page] == expected

        run(open_index, check)

    def test_reads_and_writes_at_once_agree_in_the_end(self, open_index: OpenIndex) -> None:
        async def check(index: MemoryIndex) -> None:
            async def write(n: int) -> None:
                await index.apply("ns", puts(*(entry(n * 10 + i) for i in range(10))), applied=n)

            async def read(scope: Scope) -> None:
                await index.keyword("ns", ["anna"], ask(select(scope)))
                await index.dense("ns", VECTORS[0], ask(select(scope)))

            work: list[Awaitable[None]] = []
            for n in range(30):
                work += [write(n), read(Scope("alice")), read(Scope())]
            await asyncio.gather(*work)
            for scope in (Scope("alice"), Scope()):
                assert len((await index.keyword("ns", ["anna"], ask(select(scope)))).columns) == 300
                found = await index.dense("ns", VECTORS[0], ask(select(scope)))
                expected = [cosine(VECTORS[r % len(VECTORS)], VECTORS[0]) for r in range(300)]
                assert found.cosine == pytest.approx(expected, abs=1.5e-6)

        run(open_index, check)
