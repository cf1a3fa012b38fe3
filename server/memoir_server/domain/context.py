"""A cited context for a prompt, within a budget of tokens.

A passage is either one memory, or the turns of one conversation around the hits in it: windows that overlap or touch
become one passage. Passages of one session stand together, sessions and passages in order of time, and each ends with
its citation mark.

What fits is decided hit by hit, best first: with its neighbouring turns and relations; failing that, without the
neighbours; failing that, on its own; failing that, not at all. So the least relevant passages are dropped first, and
room that a long passage leaves goes to shorter ones after it. Same input, same context.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from memoir_server.domain.graph import Relation
from memoir_server.domain.memory import Memory, Scope
from memoir_server.domain.passage import passage, relation_line, statement
from memoir_server.domain.search import Hit
from memoir_server.domain.time import Instant
from memoir_server.domain.tokens import count_tokens

DEFAULT_TOKENS: Final = 1_000
MAX_TOKENS: Final = 32_000
DEFAULT_NEIGHBOURS: Final = 1

_BETWEEN: Final = "\n\n"
"""Between passages."""

Window: TypeAlias = tuple[Memory, ...]
"""A hit with the neighbours shown around it, by turn; never empty."""


@dataclass(frozen=True, slots=True)
class Found:
    """A hit and its neighbouring turns, by turn, without the hit itself. Only turns have neighbours."""

    hit: Hit
    neighbours: tuple[Memory, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPart:
    """One cited passage. `text` ends with the mark; `create_time` is that of the first memory it shows."""

    citation: int
    text: str
    memory_ids: tuple[str, ...]
    token_count: int
    create_time: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The whole. `text` is the parts' texts with blank lines between; `hits` are those it shows, best first."""

    text: str
    parts: tuple[ContextPart, ...]
    token_count: int
    hits: tuple[Hit, ...]


def budget_of(max_tokens: int) -> int:
    """The budget a request asks for: 0 means DEFAULT_TOKENS, above MAX_TOKENS is lowered to it."""
    return min(max_tokens or DEFAULT_TOKENS, MAX_TOKENS)


def build_context(found: Sequence[Found], *, max_tokens: int, show_owner: bool) -> Context:
    """The context of hits, best first, in at most `max_tokens` tokens of TOKENIZER.

    `show_owner` names the user (or agent) above each passage; for searches that are not of one user.
    The text of a memory that takes more than half of the budget is shortened. A budget too small for a heading, a few
    words and a mark, below some 30 tokens, can give an empty context.
    """
    hits = {each.hit.memory.memory_id: each.hit.memory for each in found}
    draft = _Draft(max_tokens=max_tokens, show_owner=show_owner)
    for each in found:
        memory = each.hit.memory
        # Where a turn is a hit itself, the version that was found is the one to show.
        around = (hits.get(turn.memory_id, turn) for turn in each.neighbours)
        window = tuple(sorted((memory, *around), key=_by_turn))
        relations = tuple(sorted(each.hit.relations, key=_by_time))
        ways = ((window, relations), ((memory,), relations), ((memory,), ()))
        any(draft.add(shown, memory, told) for shown, told in ways)
    return draft.context([each.hit for each in found])


@dataclass(frozen=True, slots=True)
class _Conversation:
    """What is shown of one session: its passages, and the tokens they take without marks and blank lines."""

    passages: tuple[Window, ...] = ()
    tokens: int = 0


class _Draft:
    """What has been taken up so far, and what it costs.

    Costs are sums over lines. The whole text counts at most as much, since counting is subadditive.
    """

    def __init__(self, *, max_tokens: int, show_owner: bool) -> None:
        self._max_tokens = max_tokens
        self._show_owner = show_owner
        self._conversations: dict[Scope, _Conversation] = {}
        self._relations: dict[str, tuple[Relation, ...]] = {}
        self._told: set[str] = set()
        self._lines: dict[str, int] = {}
        self._statements: dict[str, str] = {}

    def add(self, window: Window, hit: Memory, relations: Sequence[Relation]) -> bool:
        """Takes up a window, and relations of its hit that were not told before, if they fit."""
        fresh = tuple(relation for relation in relations if relation.relation_id not in self._told)
        told = {**self._relations, hit.memory_id: fresh} if fresh else self._relations
        before = self._conversations.get(hit.scope, _Conversation())
        passages = _merged((*before.passages, window))
        tokens = sum(self._cost(line) for each in passages for line in self._passage(each, told))
        after = _Conversation(passages, tokens)
        if self._total({**self._conversations, hit.scope: after}) > self._max_tokens:
            return False
        self._conversations[hit.scope] = after
        self._relations = told
        self._told.update(relation.relation_id for relation in fresh)
        return True

    def context(self, hits: Iterable[Hit]) -> Context:
        """The finished context; of the hits, those it shows."""
        parts = []
        for number, memories in enumerate(_in_order(self._conversations), start=1):
            text = "\n".join(self._passage(memories, self._relations)) + _mark(number)
            parts.append(
                ContextPart(
                    citation=number,
                    text=text,
                    memory_ids=tuple(memory.memory_id for memory in memories),
                    token_count=count_tokens(text),
                    create_time=memories[0].create_time,
                )
            )
        text = _BETWEEN.join(part.text for part in parts)
        shown = {memory_id for part in parts for memory_id in part.memory_ids}
        return Context(
            text=text,
            parts=tuple(parts),
            token_count=count_tokens(text),
            hits=tuple(hit for hit in hits if hit.memory.memory_id in shown),
        )

    def _passage(self, memories: Window, relations: Mapping[str, tuple[Relation, ...]]) -> Iterable[str]:
        statements = [
            (
                self._statement(memory),
                *(relation_line(relation, memory.create_time) for relation in relations.get(memory.memory_id, ())),
            )
            for memory in memories
        ]
        return passage(memories, statements, owner=self._show_owner)

    def _statement(self, memory: Memory) -> str:
        if memory.memory_id not in self._statements:
            self._statements[memory.memory_id] = statement(memory, max_tokens=self._max_tokens // 2)
        return self._statements[memory.memory_id]

    def _cost(self, line: str) -> int:
        """Tokens of a line and of a break after it."""
        if line not in self._lines:
            self._lines[line] = count_tokens(line) + 1
        return self._lines[line]

    def _total(self, conversations: Mapping[Scope, _Conversation]) -> int:
        count = sum(len(each.passages) for each in conversations.values())
        marks = sum(count_tokens(_mark(number)) for number in range(1, count + 1))
        # A passage has a break less than lines, and two between it and the next.
        return sum(each.tokens for each in conversations.values()) + marks + count - 2


def _mark(number: int) -> str:
    return f" [{number}]"


def _merged(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Windows of one conversation, those that overlap or touch as one. Memories that are no turns stand alone."""
    merged: list[Window] = []
    for window in sorted(windows, key=lambda window: (window[0].turn, window[0].memory_id)):
        last = merged[-1] if merged else None
        same = last is not None and window[0].memory_id == last[0].memory_id
        if last is not None and (same or (last[0].turn and window[0].turn <= last[-1].turn + 1)):
            union = {memory.memory_id: memory for memory in (*last, *window)}
            merged[-1] = tuple(sorted(union.values(), key=_by_turn))
        else:
            merged.append(window)
    return tuple(merged)


def _in_order(conversations: Mapping[Scope, _Conversation]) -> list[Window]:
    """All passages: sessions by the time they begin, within each by time. Without a session each is by itself."""
    keyed = []
    for scope, conversation in conversations.items():
        begins = min(each[0].create_time for each in conversation.passages)
        for each in conversation.passages:
            first = each[0]
            owner = (scope.user_id or "", scope.agent_id or "", scope.session_id or "")
            start = first.create_time if scope.session_id is None else begins
            keyed.append(((start, owner, first.create_time, first.turn, first.memory_id), each))
    return [each for _, each in sorted(keyed, key=lambda pair: pair[0])]


def _by_turn(memory: Memory) -> tuple[int, str]:
    return memory.turn, memory.memory_id


def _by_time(relation: Relation) -> tuple[Instant, str, str, str, str]:
    begin = -(2**63) if relation.valid_from is None else relation.valid_from
    return begin, relation.subject.name, relation.predicate, relation.object.name, relation.relation_id
