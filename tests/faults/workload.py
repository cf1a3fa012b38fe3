"""Clients that write at random and know what must be true after a crash.

Each writer owns a user, so only it changes that user's memories: after every acknowledged mutation the state is
known exactly. A mutation whose answer was lost in a crash is uncertain: its effect is there whole or not at all, and
repeating it with the same request_id must bring it about exactly once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from memoir import AsyncMemoir, DeadlineExceeded, ResetPlan, Unavailable

State = dict[str, str]
"""Text by memory id, of every memory that exists."""

CALL_SECONDS = 30.0
"""Deadline of a call: a slow machine must not look like a lost answer."""
REPEAT_SECONDS = 0.1
LOST = (Unavailable, DeadlineExceeded)
"""Errors after which nobody knows whether a mutation took place."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One call, its request id, and the changes it makes: text by memory id, None for a removal."""

    name: str
    request_id: str
    run: Callable[[AsyncMemoir], Awaitable[Mapping[str, str | None] | None]]
    changes: Mapping[str, str | None]
    """Empty where only the server knows the ids (`add`); then `run` returns them."""
    events: int
    """History events that carry the request id."""
    closes: str = ""
    """Memory that it supersedes."""


@dataclass(slots=True)
class Writer:
    """One user's client."""

    user_id: str
    chance: random.Random
    expected: State = field(default_factory=dict)
    uncertain: Mutation | None = None
    acknowledged: dict[str, Mutation] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    """Superseded memories; their validity has ended, so they cannot be superseded again."""
    removed: list[tuple[str, str]] = field(default_factory=list)
    """(memory id, last text) of what must never be found again."""
    plans: dict[str, ResetPlan] = field(default_factory=dict)
    """Resets by request id."""
    counter: int = 0
    patience: float = CALL_SECONDS
    """Deadline of every mutation, in seconds."""
    durability: str | None = None
    """What a call waits for; None: what it waits for by itself."""
    repeated: int = 0
    """How often a call was sent again because its answer was lost."""

    async def work(self, client: AsyncMemoir) -> None:
        """Mutates until a call is lost; remembers that call as uncertain."""
        while self.uncertain is None:
            await self._mutate(client)

    async def insist(self, client: AsyncMemoir, end: asyncio.Event) -> None:
        """Mutates until the end, repeating each call under its request id until it is answered. At the end one may be
        uncertain."""
        while not end.is_set():
            if self.uncertain is None:
                await self._mutate(client)
                continue
            try:
                await self.repeat_uncertain(client)
            except LOST:
                await asyncio.sleep(REPEAT_SECONDS)

    async def repeat_uncertain(self, client: AsyncMemoir) -> None:
        """Sends the uncertain mutation again, under the same request id."""
        mutation = self.uncertain
        if mutation is not None:
            self.repeated += 1
            made = await mutation.run(client)
            self.uncertain = None
            self._apply(mutation, made)

    async def _mutate(self, client: AsyncMemoir) -> None:
        mutation = self._choose()
        try:
            made = await mutation.run(client)
        except LOST:
            self.uncertain = mutation
            return
        self._apply(mutation, made)

    def _apply(self, mutation: Mutation, made: Mapping[str, str | None] | None) -> None:
        for memory_id, text in (mutation.changes or made or {}).items():
            if memory_id in self.expected:
                self.removed.append((memory_id, self.expected[memory_id]))
            if text is None:
                self.expected.pop(memory_id, None)
            else:
                self.expected[memory_id] = text
        self.closed.add(mutation.closes)
        self.acknowledged[mutation.request_id] = mutation

    def _choose(self) -> Mutation:
        self.counter += 1
        kinds = [self._create, self._create_many, self._add]
        if len(self.expected) > 3:
            kinds += [self._update, self._update, self._delete, self._delete_many, self._supersede]
        if len(self.expected) > 25:
            kinds += [self._reset] * 3
        return self.chance.choice(kinds)(f"{self.user_id}-{self.counter}")

    def _text(self, label: str) -> str:
        """A text with a word that no other text has, so that a search finds exactly this version."""
        topic = self.chance.choice(["tea", "rain", "chess"])
        return f"note {label.replace('-', 'x')}y{self.chance.randrange(10**6)}z about {topic}"

    def _some(self, count: int) -> list[str]:
        return self.chance.sample(sorted(self.expected), count)

    def _create(self, label: str) -> Mutation:
        text = self._text(label)

        async def run(client: AsyncMemoir) -> None:
            await client.create(
                text,
                user_id=self.user_id,
                memory_id=label,
                entities=[{"name": f"Thing {label}", "type": "thing"}],
                relations=[{"subject": f"Thing {label}", "predicate": "OWNED_BY", "object": self.user_id}],
                durability=self.durability,
                request_id=label,
                timeout=self.patience,
            )

        return Mutation("create", label, run, {label: text}, 1)

    def _create_many(self, label: str) -> Mutation:
        texts: dict[str, str | None] = {f"{label}-{i}": self._text(f"{label}-{i}") for i in range(5)}

        async def run(client: AsyncMemoir) -> None:
            items = [{"text": text, "memory_id": key, "user_id": self.user_id} for key, text in texts.items()]
            await client.create_many(items, durability=self.durability, request_id=label, timeout=self.patience)

        return Mutation("create_many", label, run, texts, 5)

    def _add(self, label: str) -> Mutation:
        messages = [
            {"role": "user", "content": self._text(f"{label}-{i}"), "message_id": f"{label}-{i}"} for i in range(3)
        ]

        async def run(client: AsyncMemoir) -> Mapping[str, str | None]:
            result = await client.add(
                messages,
                user_id=self.user_id,
                mode="VERBATIM",
                session_id="s",
                durability=self.durability,
                request_id=label,
                timeout=self.patience,
            )
            return {change.memory.id: change.memory.text for change in result.changes}

        return Mutation("add", label, run, {}, 3)

    def _update(self, label: str) -> Mutation:
        (memory_id,), text = self._some(1), self._text(label)

        async def run(client: AsyncMemoir) -> None:
            await client.update(
                memory_id, text=text, durability=self.durability, request_id=label, timeout=self.patience
            )

        return Mutation("update", label, run, {memory_id: text}, 1)

    def _delete(self, label: str) -> Mutation:
        (memory_id,) = self._some(1)

        async def run(client: AsyncMemoir) -> None:
            await client.delete(memory_id, durability=self.durability, request_id=label, timeout=self.patience)

        return Mutation("delete", label, run, {memory_id: None}, 1)

    def _delete_many(self, label: str) -> Mutation:
        memory_ids = self._some(2)

        async def run(client: AsyncMemoir) -> None:
            await client.delete_many(memory_ids, durability=self.durability, request_id=label, timeout=self.patience)

        return Mutation("delete_many", label, run, dict.fromkeys(memory_ids), 2)

    def _supersede(self, label: str) -> Mutation:
        open_ = sorted(set(self.expected) - self.closed)
        if not open_:
            return self._create(label)
        old, text = self.chance.choice(open_), self._text(label)
        # Later than anything said so far, so that the old memory is closed and the new one is not.
        begin = datetime.now(UTC) + timedelta(seconds=1)

        async def run(client: AsyncMemoir) -> None:
            await client.create(
                text,
                user_id=self.user_id,
                memory_id=label,
                valid_from=begin,
                supersedes=[old],
                durability=self.durability,
                request_id=label,
                timeout=self.patience,
            )

        return Mutation("supersede", label, run, {label: text}, 2, closes=old)

    def _reset(self, label: str) -> Mutation:
        gone: dict[str, str | None] = dict.fromkeys(self.expected)

        async def run(client: AsyncMemoir) -> None:
            plan = await client.plan_reset(user_id=self.user_id, request_id=f"{label}-plan", timeout=self.patience)
            self.plans[label] = plan
            await client.execute_reset(plan, request_id=label, timeout=self.patience)

        return Mutation("reset", label, run, gone, len(gone))
