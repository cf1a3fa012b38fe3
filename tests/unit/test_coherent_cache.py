"""The cache that is never older than the file: its three rules, and its bound."""

from __future__ import annotations

import pytest

from memoir_server.adapters.coherent import ENTRY_OVERHEAD_BYTES, CoherentCache


def cache(entries: int = 10) -> CoherentCache[str, int]:
    return CoherentCache(entries * (ENTRY_OVERHEAD_BYTES + 1))


def kept(held: CoherentCache[str, int], key: str, value: int) -> int | None:
    held.keep([(key, value, 1)], held.moment)
    return held.find(key)


def test_what_is_touched_is_gone_until_the_writer_settles() -> None:
    held = cache()
    assert kept(held, "a", 1) == 1
    assert kept(held, "b", 2) == 2
    held.touch("a")
    assert held.find_many(["a", "b"]) == {"b": 2}
    # Read while the transaction goes on: nobody knows from which side of its commit.
    assert kept(held, "a", 1) is None
    assert kept(held, "b", 3) == 3
    held.settle()
    assert held.find("a") is None
    assert kept(held, "a", 4) == 4


def test_what_was_read_before_a_commit_is_not_kept_after_it() -> None:
    held = cache()
    before = held.moment
    held.touch("a")
    during = held.moment
    held.settle()
    for moment in (before, during):
        held.keep([("a", 1, 1)], moment)
        assert held.find("a") is None
    assert kept(held, "a", 2) == 2


def test_a_touch_begins_another_moment_and_settling_nothing_does_not() -> None:
    held = cache()
    moment = held.moment
    held.settle()
    assert held.moment == moment
    held.touch("a")
    assert held.moment > moment
    moment = held.moment
    held.touch("a")
    assert held.moment > moment
    moment = held.moment
    held.clear()
    assert held.moment > moment


def test_the_least_recently_used_goes_first() -> None:
    held = cache(entries=2)
    for key in ("a", "b"):
        kept(held, key, 1)
    held.find("a")
    kept(held, "c", 1)
    assert held.find_many(["a", "b", "c"]) == {"a": 1, "c": 1}
    held.find_many(["a"])
    kept(held, "a", 2)
    kept(held, "d", 1)
    assert held.find_many(["a", "b", "c", "d"]) == {"a": 2, "d": 1}
    assert held.size_bytes == 2 * (ENTRY_OVERHEAD_BYTES + 1)
    held.keep([("e", 1, 10_000)], held.moment)
    assert (held.find("e"), len(held)) == (None, 2)
    held.clear()
    assert (held.find("a"), len(held), held.size_bytes) == (None, 0, 0)


def test_no_capacity_keeps_nothing_and_less_is_an_error() -> None:
    held = cache(entries=0)
    assert kept(held, "a", 1) is None
    with pytest.raises(ValueError, match="capacity_bytes=-1: give 0"):
        CoherentCache(-1)
