"""Laws of every ledger, over random memories, filters and logs."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memoir_conformance.ledger_model import NOW, NS, LedgerFixtures, commit, create, fact, select
from memoir_server.domain.change import Draft, EventType
from memoir_server.domain.errors import FieldInvalid
from memoir_server.domain.filter import And, Compare, Family, Filter, Not, Operator, Or, check, matches
from memoir_server.domain.memory import (
    NEVER,
    Memory,
    MemoryKind,
    MetadataValue,
    Moment,
    Provenance,
    Scope,
)
from memoir_server.ports.ledger import HistoryQuery, Ledger

# -- filters: the store's translation is held to domain.filter.matches

_WORDS = st.sampled_from(["", "a", "A", "ab", "b", "é", "z", "\U0001f600", "\uffff", "MEMORY_KIND_FACT", "%", "_"])
_INTEGERS = st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]) | st.integers(-3, 3)
_FLOATS = st.sampled_from([0.0, -0.0, 1.0, 0.5, float(2**53), 9.3e18, -2.5])
_MOMENTS = st.builds(Moment, st.integers(-2, 2))
_LISTS = st.lists(_WORDS, max_size=3).map(tuple)
_VALUES: st.SearchStrategy[MetadataValue] = st.one_of(_WORDS, _INTEGERS, _FLOATS, st.booleans(), _MOMENTS, _LISTS)
_KEYS = st.sampled_from(["k", "l", "m.n"])
_TIMES = st.none() | st.integers(-2, 2)
_FIELDS = st.sampled_from(
    [
        *("memory_id", "text", "kind", "user_id", "agent_id", "session_id", "actor_id", "message_id", "importance"),
        *("create_time", "update_time", "valid_from", "valid_until", "expire_time"),
        *("metadata.k", "metadata.l", "metadata.m.n", "metadata.absent"),
    ]
)


@st.composite
def _comparisons(draw: st.DrawFn) -> Filter:
    operator = draw(st.sampled_from(Operator))
    value = draw(st.booleans() if operator is Operator.EXISTS else _VALUES)
    compare = Compare(draw(_FIELDS), operator, value)
    # What the server refuses (such as an order of booleans) never reaches a store.
    stored = {key: frozenset(Family) for key in ("k", "l", "m.n", "absent")}
    try:
        check(compare, path="filter", stored=stored)
    except FieldInvalid:
        return Compare(compare.field, Operator.EXISTS, draw(st.booleans()))
    return compare


_FILTERS: st.SearchStrategy[Filter] = st.recursive(
    _comparisons(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda fs: And(tuple(fs))),
        st.lists(inner, max_size=3).map(lambda fs: Or(tuple(fs))),
        inner.map(Not),
    ),
    max_leaves=6,
)


@st.composite
def _memories(draw: st.DrawFn) -> Memory:
    optional = st.none() | _WORDS
    return Memory(
        namespace=NS,
        memory_id="",
        text=draw(_WORDS),
        kind=draw(st.sampled_from(MemoryKind)),
        scope=Scope(draw(optional), draw(optional), draw(optional)),
        metadata=draw(st.dictionaries(_KEYS, _VALUES, max_size=3)),
        importance=draw(st.none() | st.sampled_from([0.0, 0.5, 1.0])),
        valid_from=draw(_TIMES),
        valid_until=draw(_TIMES),
        create_time=draw(st.integers(-2, 2)),
        provenance=tuple(
            draw(st.lists(st.builds(Provenance, actor_id=_WORDS, message_id=_WORDS), max_size=2)),
        ),
    )


class FilterSuite(LedgerFixtures):
    """The laws of filters and selections, over random memories."""

    @settings(
        max_examples=int(os.environ.get("MEMOIR_EXAMPLES", "60")),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=st.data())
    def test_filters_mean_what_the_domain_says(
        self, data: st.DataObject, run: Callable[[Awaitable[None]], None], shared_ledger: Ledger
    ) -> None:
        drawn = data.draw(st.lists(_memories(), min_size=1, max_size=6))
        filters = data.draw(st.lists(_FILTERS, min_size=1, max_size=8))
        namespace = f"law-{self.next_number()}"

        async def law() -> None:
            memories = [replace(m, namespace=namespace, memory_id=f"m{i}") for i, m in enumerate(drawn)]
            await create(shared_ledger, *memories)
            stored = await shared_ledger.get(namespace, [m.memory_id for m in memories], revision=NEVER - 1, now=NOW)
            assert [replace(stored[m.memory_id], revision=0, update_time=0, turn=0) for m in memories] == memories
            for filter_ in filters:
                chosen = select(filter=filter_, include_superseded=True)
                expected = sorted(m.memory_id for m in stored.values() if matches(filter_, m))
                listed = await shared_ledger.list_memories(namespace, chosen, after=None, limit=100)
                assert sorted(m.memory_id for m in listed) == expected, filter_
                revisions = (await shared_ledger.versions_matching(namespace, chosen)).tolist()
                assert revisions == sorted(stored[i].revision for i in expected)
                hydrated = await shared_ledger.hydrate(namespace, [m.revision for m in stored.values()], chosen)
                assert sorted(hydrated) == revisions

        run(law())

    _number = 0

    @classmethod
    def next_number(cls) -> int:
        cls._number += 1
        return cls._number

    @settings(
        max_examples=int(os.environ.get("MEMOIR_EXAMPLES", "25")),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        steps=st.lists(
            st.tuples(st.sampled_from("cud"), st.integers(0, 3), st.integers(-5, 5)), min_size=1, max_size=20
        )
    )
    def test_the_past_can_be_read_from_the_log(
        self,
        steps: list[tuple[str, int, int]],
        run: Callable[[Awaitable[None]], None],
        shared_ledger: Ledger,
    ) -> None:
        """Stamps, reads of the past and the chain, against a model that folds the log."""
        namespace = f"law-{self.next_number()}"

        async def law() -> None:
            now, model = NOW, dict[str, list[tuple[int, str]]]()
            for kind, number, jump in steps:
                memory_id, now = f"m{number}", now + jump
                text = f"text {now} {kind}"
                before = (await shared_ledger.get(namespace, [memory_id], revision=NEVER - 1, now=NOW)).get(memory_id)
                if before is None:
                    memory = replace(fact(memory_id, text=text), namespace=namespace)
                    draft = Draft(type=EventType.CREATED, memory_id=memory_id, after=memory)
                elif kind == "d":
                    draft = Draft(type=EventType.DELETED, memory_id=memory_id, before=before)
                else:
                    after = replace(before, text=text)
                    draft = Draft(type=EventType.UPDATED, memory_id=memory_id, before=before, after=after)
                done = await commit(shared_ledger, [draft], namespace=namespace, now=now)
                if draft.type is EventType.DELETED:
                    del model[memory_id]
                else:
                    model.setdefault(memory_id, []).append((done.revision, text))
            changes = await shared_ledger.history(namespace, HistoryQuery(), limit=100)
            assert [c.revision for c in changes] == list(range(1, len(steps) + 1))
            times = [c.commit_time for c in changes]
            assert times == sorted(set(times))
            for change in changes:
                assert await shared_ledger.revision_at(namespace, change.commit_time) == change.revision
                assert await shared_ledger.revision_at(namespace, change.commit_time - 1) == change.revision - 1
                found = await shared_ledger.get(namespace, ["m0", "m1", "m2", "m3"], revision=change.revision, now=NOW)
                expected = {
                    memory_id: [text for revision, text in versions if revision <= change.revision][-1]
                    for memory_id, versions in model.items()
                    if versions[0][0] <= change.revision
                }
                assert {k: m.text for k, m in found.items()} == expected
            assert await shared_ledger.verify_chain(namespace)

        run(law())
