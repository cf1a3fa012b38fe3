"""The authored conversations, answered by a real model; what went over the wire is recorded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from golden_inference.exchange import Exchange
from memoir.v1 import memory_pb2
from memoir_server.app.settings_models import ReasonerSettings
from tests.inference_corpus import addition, creation, namespace_of, policies_of
from tests.integration.harness import Client, serving
from tests.live_llm.target import Target
from tests.provider_double.recorder import Recorded, Recorder

_SECONDS = 300.0
"""For one add: a slow local model takes its time."""


@dataclass(slots=True)
class Tally:
    """What the model did with the conversations."""

    adds: int = 0
    as_expected: int = 0
    kept: int = 0
    questions: Counter[int] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def lines(self) -> list[str]:
        """For a reader."""
        per_add = ", ".join(f"{count} adds with {questions}" for questions, count in sorted(self.questions.items()))
        dropped = ", ".join(f"{reason.lower()} {count}" for reason, count in self.dropped.most_common()) or "none"
        return [
            f"{self.as_expected} of {self.adds} conversations led to the changes authored for them; {self.kept} kept",
            f"questions: {per_add}",
            f"facts left out: {dropped}",
            f"tokens: {self.prompt_tokens} read, {self.completion_tokens} written",
        ]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation: the requests it took, and the changes it led to."""

    name: str
    requests: Sequence[Recorded]
    changes: Sequence[str]
    expected: Sequence[str]


async def converse(target: Target, exchanges: Sequence[Exchange], directory: Path) -> tuple[Tally, list[Conversation]]:
    """Sends each conversation to a server of its own data whose model is the target."""
    tally, found = Tally(), []
    with Recorder(target.upstream) as recorder:
        overrides = {
            **_overrides(target.through(recorder.url)),
            # Whatever is stored is offered: the test embedder knows no meaning.
            "inference__cosine": "-1",
            "inference__namespaces": json.dumps(policies_of(exchanges)),
        }
        async with serving(directory, telemetry=None, **overrides) as client:
            for exchange in exchanges:
                before = len(recorder.recorded)
                answer = await _send(client, exchange)
                requests = recorder.recorded[before:]
                changes = [memory_pb2.MemoryChange.Action.Name(change.action)[7:] for change in answer.changes]
                expected = [change["action"] for change in exchange.expect.get("changes", [])]
                kept = answer.mode == memory_pb2.ADD_MODE_VERBATIM
                found.append(Conversation(exchange.name, requests, changes, expected))
                tally.adds += 1
                tally.kept += kept
                tally.as_expected += kept if exchange.expect.get("kept_as") else not kept and changes == expected
                tally.questions[len(requests)] += 1
                tally.prompt_tokens += answer.usage.prompt_tokens
                tally.completion_tokens += answer.usage.completion_tokens
                for each in answer.dropped:
                    tally.dropped[memory_pb2.DroppedFact.Reason.Name(each.reason)[7:]] += 1
    return tally, found


async def _send(client: Client, exchange: Exchange) -> memory_pb2.AddMemoriesResponse:
    namespace = namespace_of(exchange)
    for memory in exchange.stored:
        await client.memory.CreateMemory(creation(namespace, memory), timeout=_SECONDS)
    return await client.memory.AddMemories(addition(namespace, exchange), timeout=_SECONDS)


def write(target: Target, conversations: Sequence[Conversation], tally: Tally, folder: Path) -> Path:
    """Writes the recording, named after the model; returns its path. Holds no header, so no key."""
    model = "".join(c if c.isalnum() or c in "-." else "-" for c in target.settings.model)
    path = folder / f"{target.settings.adapter}-{model}.json"
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "about": "Recorded from a real model by `make live-llm`; what it was asked are the authored conversations.",
        "adapter": target.settings.adapter,
        "model": target.settings.model,
        "summary": tally.lines(),
        "conversations": [asdict(conversation) for conversation in conversations],
    }
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path


def _overrides(settings: ReasonerSettings) -> dict[str, str]:
    """The settings as text, those that are not the usual ones."""
    found: dict[str, str] = {}
    for entry in fields(settings):
        value: Any = getattr(settings, entry.name)
        usual = entry.default if entry.default is not MISSING else {}
        if value != usual:
            found[f"reasoner__{entry.name}"] = value if isinstance(value, str) else json.dumps(value)
    return found
