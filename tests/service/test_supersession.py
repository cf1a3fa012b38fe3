"""The laws of superseding: interval arithmetic over dated statements."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.memory import Memory
from memoir_server.domain.supersession import supersede

TIMES = st.integers(0, 12)


@st.composite
def statements(draw: st.DrawFn, *, new: bool = False) -> Memory:
    """A memory with any validity; bounds may be missing, but a new one knows when it began."""
    begin = draw(TIMES if new else st.none() | TIMES)
    end = draw(st.none() | st.integers((begin or 0) + 1, 14))
    name = "new" if new else draw(st.sampled_from([f"m{i}" for i in range(6)]))
    return Memory(namespace="n", memory_id=name, text="", valid_from=begin, valid_until=end)


def others(largest: int = 5) -> st.SearchStrategy[list[Memory]]:
    return st.lists(statements(), max_size=largest, unique_by=lambda memory: memory.memory_id)


def moments(memory: Memory) -> set[int]:
    return {t for t in range(-1, 16) if memory.valid(t)}


@given(statements(new=True), others())
def test_what_is_left_never_overlaps_the_new_one(memory: Memory, contradicted: list[Memory]) -> None:
    settled = supersede(memory, contradicted)
    left = {m.memory_id: m for m in contradicted} | {m.memory_id: m for m in settled.closed}
    for other in left.values():
        assert not moments(other) & moments(settled.memory)


@given(statements(new=True), others())
def test_statements_only_ever_get_shorter_and_keep_their_beginning(memory: Memory, contradicted: list[Memory]) -> None:
    settled = supersede(memory, contradicted)
    before = {m.memory_id: m for m in contradicted}
    for other in settled.closed:
        assert moments(other) < moments(before[other.memory_id])
        assert other.valid_from == before[other.memory_id].valid_from
        assert other.valid_until == memory.valid_from
        assert other.superseded_by == "new"
    assert moments(settled.memory) <= moments(memory)
    assert settled.memory.valid_from == memory.valid_from
    assert settled.memory.supersedes == tuple(m.memory_id for m in settled.closed)


@given(statements(new=True), others())
def test_what_does_not_overlap_is_untouched(memory: Memory, contradicted: list[Memory]) -> None:
    apart = [m for m in contradicted if not moments(m) & moments(memory)]
    settled = supersede(memory, apart)
    assert settled.closed == ()
    assert settled.memory == memory


@given(statements(new=True), others())
def test_the_order_in_which_the_contradicted_are_named_does_not_matter(
    memory: Memory, contradicted: list[Memory]
) -> None:
    forwards, backwards = supersede(memory, contradicted), supersede(memory, contradicted[::-1])
    assert moments(forwards.memory) == moments(backwards.memory)
    assert {m.memory_id: m for m in forwards.closed} == {m.memory_id: m for m in backwards.closed}


@given(statements(new=True), statements(new=True))
def test_two_facts_end_alike_whichever_was_told_first(first: Memory, second: Memory) -> None:
    if first.valid_from == second.valid_from:
        # Then the one told later holds: nothing else tells them apart.
        second = replace(second, valid_from=(second.valid_from or 0) + 20, valid_until=None)
    a, b = replace(first, memory_id="a"), replace(second, memory_id="b")

    def told(early: Memory, late: Memory) -> dict[str, tuple[int | None, int | None, str]]:
        settled = supersede(late, [early])
        result = {early.memory_id: early, settled.memory.memory_id: settled.memory}
        result |= {m.memory_id: m for m in settled.closed}
        return {m.memory_id: (m.valid_from, m.valid_until, m.superseded_by) for m in result.values()}

    assert told(a, b) == told(b, a)


@given(statements(new=True), others())
def test_superseding_twice_changes_nothing_more(memory: Memory, contradicted: list[Memory]) -> None:
    settled = supersede(memory, contradicted)
    left = {m.memory_id: m for m in contradicted} | {m.memory_id: m for m in settled.closed}
    again = supersede(settled.memory, list(left.values()))
    assert again.closed == ()
    assert replace(again.memory, supersedes=()) == replace(settled.memory, supersedes=())


def test_a_statement_closed_at_its_own_beginning_closes_nothing() -> None:
    never_true = Memory(namespace="n", memory_id="old", text="", valid_from=5, valid_until=5)
    memory = Memory(namespace="n", memory_id="new", text="", valid_from=0, valid_until=10)
    settled = supersede(memory, [never_true])
    assert (settled.memory.valid_from, settled.memory.valid_until) == (0, 10)
    assert settled.closed == ()
