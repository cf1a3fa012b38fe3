"""What clients saw of single memories, and whether one order of all calls explains it.

The ledger's revisions are the witness: every write says which revision it became, every read which version it saw. A
recorded history is linearizable per memory exactly when that order also respects real time, so nothing is searched for:

* a write that began after another had ended has a higher revision;
* a read sees no version older than a write that had ended before the read began, or than an earlier read saw;
* a read sees no version of a write that began after the read had ended;
* what a read says a version holds is what the write of that revision wrote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One call about one memory, as its client saw it.

    `began` and `ended` are of one clock, shared by all clients. `revision` is that of the version written or read; a
    removal is a version without text, and so is what a read finds where nothing is (then `revision` is 0).
    """

    memory_id: str
    is_write: bool
    began: float
    ended: float
    revision: int
    text: str | None


def violations(calls: Iterable[Seen]) -> list[str]:
    """What no order explains, in words; empty for a linearizable history."""
    by_memory: dict[str, list[Seen]] = defaultdict(list)
    for call in calls:
        by_memory[call.memory_id].append(call)
    return [line for memory_id, seen in sorted(by_memory.items()) for line in _of_one(memory_id, seen)]


def _of_one(memory_id: str, calls: list[Seen]) -> list[str]:
    found = []
    writes = {call.revision: call for call in calls if call.is_write}
    if len(writes) < sum(call.is_write for call in calls):
        found.append(f"{memory_id}: two writes became one revision")
    # Calls by their end; `newest` is the highest revision that a call ended with before the next one began.
    ends = sorted((call for call in calls if call.revision), key=lambda call: call.ended)
    newest, position = 0, 0
    for call in sorted(calls, key=lambda call: call.began):
        while position < len(ends) and ends[position].ended < call.began:
            newest = max(newest, ends[position].revision)
            position += 1
        if call.is_write:
            if call.revision <= newest:
                found.append(f"{memory_id}: write {call.revision} began after {newest} was known")
            continue
        if call.revision == 0:
            # Nothing there: then the newest version known must be a removal, or one that ends during the read.
            if newest in writes and writes[newest].text is not None and not _removed_meanwhile(call, newest, writes):
                found.append(f"{memory_id}: a read found nothing although {newest} was known")
            continue
        if call.revision < newest:
            found.append(f"{memory_id}: a read saw {call.revision} although {newest} was known")
        write = writes.get(call.revision)
        if write is None:
            found.append(f"{memory_id}: a read saw {call.revision}, which nobody wrote")
        elif write.began > call.ended:
            found.append(f"{memory_id}: a read saw {call.revision} before it was written")
        elif write.text != call.text:
            found.append(f"{memory_id}: revision {call.revision} holds {call.text!r}, {write.text!r} was written")
    return found


def _removed_meanwhile(read: Seen, newest: int, writes: dict[int, Seen]) -> bool:
    return any(
        write.text is None and write.revision > newest and write.began <= read.ended for write in writes.values()
    )
