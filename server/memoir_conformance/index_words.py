"""What an index says of words: statistics that follow every change, vectors that come along. Part of `IndexSuite`."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from memoir_conformance.index_model import TERMS, Model, OpenIndex, laws, lives, queries, rows, run, term_lists
from memoir_server.domain.memory import NEVER
from memoir_server.ports.index import IndexAction, IndexQuery, MemoryIndex


class IndexWords:
    """The behaviour of `MemoryIndex.keyword` beside its candidates."""

    @laws
    @given(actions=lives(), query=queries(), cuts=st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14))))
    def test_statistics_follow_every_change(
        self, open_index: OpenIndex, actions: list[IndexAction], query: IndexQuery, cuts: list[tuple[int, int]]
    ) -> None:
        """Batches, some of them applied twice, asked for the same words in between."""

        async def check(index: MemoryIndex) -> None:
            model = Model()
            present = replace(query, depth=1000, selection=replace(query.selection, revision=NEVER - 1))
            for start, end in (*cuts, (0, len(actions))):
                for action in actions[start:end]:
                    model.apply(action)
                await index.apply("ns", actions[start:end], applied=1)
                await model.check_keyword(index, "ns", TERMS, present)

        run(open_index, check)

    @laws
    @given(actions=lives(), query=queries(), terms=term_lists)
    def test_words_bring_vectors_or_none(
        self, open_index: OpenIndex, actions: list[IndexAction], query: IndexQuery, terms: list[str]
    ) -> None:
        async def check(index: MemoryIndex) -> None:
            model = Model(actions)
            await index.apply("ns", actions, applied=len(actions))
            plain = await index.keyword("ns", terms, query)
            found = await index.keyword("ns", terms, replace(query, vectors=True))
            assert plain.vectors is None
            assert rows(found.columns) == rows(plain.columns)
            if found.vectors is not None:
                held = [model.entries[revision].vector.tolist() for revision in found.columns.revision.tolist()]
                assert found.vectors.tolist() == held

        run(open_index, check)
