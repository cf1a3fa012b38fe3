"""When two memories say the same: laws of the domain."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.duplicate import Thresholds, said_code, stands_for, twin_of_memory, twin_of_message
from memoir_server.domain.memory import Memory, MemoryKind, Moment, Provenance, Role, Scope

TIMES = st.integers(0, 3)
NAMES = st.none() | st.sampled_from(["ana", "bo"])
MEMORIES = st.builds(
    Memory,
    namespace=st.just("n"),
    memory_id=st.sampled_from(["a", "b"]),
    text=st.sampled_from(["yes", " yes\n", "caf\u00e9", "cafe\u0301", ""]),
    kind=st.sampled_from([MemoryKind.FACT, MemoryKind.EVENT, MemoryKind.EPISODE]),
    scope=st.builds(Scope, NAMES, NAMES, NAMES),
    metadata=st.dictionaries(
        st.sampled_from(["k", "l"]), st.sampled_from([1, 1.0, True, 0.0, -0.0, "1", Moment(1), ("1",), ()]), max_size=2
    ),
    importance=st.none() | st.sampled_from([0.0, 1.0]),
    valid_from=st.none() | TIMES,
    valid_until=st.none() | TIMES,
    expire_time=st.none() | TIMES,
    create_time=TIMES,
    provenance=st.lists(
        st.builds(Provenance, message_id=st.sampled_from(["", "m"]), role=st.sampled_from(Role)), max_size=2
    ).map(tuple),
    revision=st.integers(1, 9),
)


@given(MEMORIES, MEMORIES, st.booleans(), st.booleans())
def test_what_matches_has_the_same_code(new: Memory, known: Memory, created: bool, valid: bool) -> None:
    for twin in (
        twin_of_memory(new, create_time_given=created, valid_from_given=valid),
        twin_of_message(replace(new, kind=MemoryKind.EPISODE), create_time_given=created),
    ):
        if twin is not None and twin.matches(known):
            assert twin.code == said_code(known)


@given(MEMORIES, MEMORIES)
def test_with_both_times_given_saying_the_same_is_mutual(one: Memory, other: Memory) -> None:
    ahead = twin_of_memory(one, create_time_given=True, valid_from_given=True)
    back = twin_of_memory(other, create_time_given=True, valid_from_given=True)
    assert ahead is not None
    assert back is not None
    if one.valid_from is not None and other.valid_from is not None:
        assert ahead.matches(other) == back.matches(one)


@given(MEMORIES, st.booleans(), st.booleans(), st.integers(1, 99))
def test_a_memory_says_what_it_says_under_any_id_and_revision(
    memory: Memory, created: bool, valid: bool, revision: int
) -> None:
    twin = twin_of_memory(memory, create_time_given=created, valid_from_given=valid)
    stored = replace(memory, memory_id="other", revision=revision, update_time=revision, turn=revision)
    if twin is None:
        assert memory.kind is MemoryKind.EPISODE
        assert not created
    elif valid or memory.valid_from is not None:
        assert twin.matches(stored)


def test_numbers_and_moments_of_different_types_differ() -> None:
    values = (1, 1.0, True, "1", Moment(1), ("1",), 0, 0.0, -0.0, False)
    codes = {said_code(Memory(namespace="n", memory_id="a", text="x", metadata={"k": value})) for value in values}
    assert len(codes) == len(values)


@given(MEMORIES, MEMORIES)
def test_what_stands_for_another_is_true_and_kept_for_no_less_time(known: Memory, new: Memory) -> None:
    if stands_for(known, new):
        assert known.scope.owner == new.scope.owner
        for instant in range(5):
            assert known.valid(instant) or not new.valid(instant)
            assert new.expired(instant) or not known.expired(instant)
    assert stands_for(new, new)


def test_thresholds_fall_back_to_the_default() -> None:
    thresholds = Thresholds(default=0.9, namespaces={"chat": 0.95, "raw": 0.0})
    assert [thresholds.of(name) for name in ("chat", "raw", "other")] == [0.95, 0.0, 0.9]
