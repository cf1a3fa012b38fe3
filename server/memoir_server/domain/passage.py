"""How memories read in a context: dates, speakers, relations, and texts that must not pass for structure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from memoir_server.domain.graph import Relation
from memoir_server.domain.memory import Memory, MemoryKind, Role
from memoir_server.domain.time import Instant, to_datetime
from memoir_server.domain.tokens import MAX_CHARACTERS_PER_TOKEN, count_tokens, longest_prefix

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MARK: Final = re.compile(r"\[(\d+)\]")
_ELLIPSIS: Final = "…"
_BOUNDARY_SEARCH: Final = 40
"""Characters given up at most, when a text is shortened, to end it between words."""


def day(instant: Instant) -> str:
    """The date in UTC, such as `1 Mar 2025`."""
    moment = to_datetime(instant)
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def heading(memory: Memory, *, owner: bool) -> str:
    """What stands above the memories of one day: its date and, with `owner`, whose memories they are."""
    weekday = _WEEKDAYS[to_datetime(memory.create_time).weekday()]
    user, agent = memory.scope.user_id, memory.scope.agent_id
    whose = f", user {_one_line(user)}" if user is not None else f", agent {_one_line(agent or '')}"
    return f"{weekday} {day(memory.create_time)}{whose if owner else ''}:"


def statement(memory: Memory, *, max_tokens: int) -> str:
    """The memory in words, after its speaker's name where it is a turn, shortened to `max_tokens` tokens of text.

    Lines after the first are indented, and marks such as [3] within the text become (3): nothing a memory says can
    pass for a heading, another turn or a citation.
    """
    lines = [line.rstrip() for line in memory.text.strip().splitlines()]
    text = _shortened(_unmarked("\n  ".join(line for line in lines if line)), max_tokens)
    speaker = _speaker(memory)
    return f"{speaker + ': ' if speaker else ''}{text}{_validity(memory, memory.create_time)}"


def relation_line(relation: Relation, said: Instant) -> str:
    """The relation as a sentence. `said` is the date it stands under, which need not be repeated."""
    words = f"{relation.subject.name} {relation.predicate.replace('_', ' ').lower()} {relation.object.name}"
    return f"Relation: {_one_line(words)}{_validity(relation, said)}"


def passage(memories: Sequence[Memory], statements: Sequence[Sequence[str]], *, owner: bool) -> Iterator[str]:
    """Lines of one passage: each memory's lines, with a heading wherever the day changes."""
    previous = ""
    for memory, lines in zip(memories, statements, strict=True):
        above = heading(memory, owner=owner)
        if above != previous:
            yield above
        previous = above
        yield from lines


def _speaker(memory: Memory) -> str:
    """Who said a turn. Other memories state what is so; their sources are not their speakers."""
    if memory.kind is not MemoryKind.EPISODE or not memory.provenance:
        return ""
    source = memory.provenance[0]
    role = "" if source.role is Role.UNSPECIFIED else source.role.name.capitalize()
    return _one_line(source.actor_id) or role


def _validity(dated: Memory | Relation, said: Instant) -> str:
    since = day(dated.valid_from) if dated.valid_from is not None else day(said)
    bounds = [f"since {since}"] if since != day(said) else []
    if dated.valid_until is not None:
        bounds.append(f"until {day(dated.valid_until)}")
    return f" ({', '.join(bounds)})" if bounds else ""


def _one_line(text: str) -> str:
    return _unmarked(" ".join(text.split()))


def _unmarked(text: str) -> str:
    return _MARK.sub(r"(\1)", text)


def _shortened(text: str, max_tokens: int) -> str:
    if len(text) <= max_tokens * MAX_CHARACTERS_PER_TOKEN and count_tokens(text) <= max_tokens:
        return text
    end = longest_prefix(text, max_tokens - count_tokens(_ELLIPSIS))
    # A line break is followed by its indentation, so a space is the only boundary there is.
    gap = text.rfind(" ", max(0, end - _BOUNDARY_SEARCH), end + 1)
    if gap > 0:
        end = gap
    while end and unicodedata.combining(text[end]):
        end -= 1
    return text[:end].rstrip() + _ELLIPSIS
