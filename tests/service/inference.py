"""Inference over the service layer, with answers in place of a model's."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from memoir_server.domain.conversation import Message
from memoir_server.domain.inference.policy import Policies, Policy
from memoir_server.domain.memory import MetadataValue, Role, Scope
from memoir_server.domain.reasoning import Prompt, Reply, TextPart, TokenUsage
from memoir_server.ports.reasoner import Reasoner
from memoir_server.service.call import Call
from memoir_server.service.inferred import Inferred
from memoir_server.service.inferring import InferenceOptions, Inferring
from memoir_server.service.similar import Similar
from tests.service.harness import ANA, NS, Memoir, calling

Answered: TypeAlias = str | Exception
Answering: TypeAlias = Callable[[Prompt], Awaitable[Answered]]


@dataclass(slots=True)
class ScriptedReasoner(Reasoner):
    """Answers with what it was given, in that order, or with what `answering` says; an exception is raised. Keeps what
    it was asked."""

    answers: list[Answered] = field(default_factory=list)
    answering: Answering | None = None
    asked: list[Prompt] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)

    @property
    def model(self) -> str:
        return "scripted"

    @property
    def provider(self) -> str:
        return "tests"

    @property
    def address(self) -> str:
        return "nowhere"

    @property
    def names(self) -> list[str]:
        return [prompt.name for prompt in self.asked]

    @property
    def shown(self) -> str:
        """What the last question showed beside its fixed part."""
        return "\n".join(part.text for part in self.asked[-1].content if isinstance(part, TextPart))

    async def ask(self, prompt: Prompt, *, namespace: str, deadline: float | None = None) -> Reply:
        self.asked.append(prompt)
        self.deadlines.append(deadline)
        answer = await self.answering(prompt) if self.answering else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Reply(
            output=answer, usage=TokenUsage(input=100, output=10), model="scripted-1", stop_reason="end", attempts=1
        )

    async def close(self) -> None:
        pass


@dataclass(slots=True)
class Assistant:
    """Adds conversations in mode INFER."""

    memoir: Memoir
    reasoner: ScriptedReasoner
    inferring: Inferring

    async def add(
        self,
        *texts: str,
        scope: Scope = ANA,
        call: Call | None = None,
        metadata: dict[str, MetadataValue] | None = None,
        instruction: str = "",
        validate_only: bool = False,
    ) -> Inferred:
        messages = [
            Message(role=Role.USER, content=text, message_id=f"m{number}") for number, text in enumerate(texts, start=1)
        ]
        return await self.send(
            messages, scope=scope, call=call, metadata=metadata, instruction=instruction, validate_only=validate_only
        )

    async def send(
        self,
        messages: Sequence[Message],
        *,
        scope: Scope = ANA,
        call: Call | None = None,
        metadata: dict[str, MetadataValue] | None = None,
        instruction: str = "",
        validate_only: bool = False,
    ) -> Inferred:
        order = self.inferring.order(NS, scope, messages, metadata=metadata or {}, instruction=instruction)
        return await self.inferring.add(order, call or calling(), validate_only=validate_only)


def assistant(
    memoir: Memoir, ids: Any, *answers: Answered, policy: Policy | None = None, cosine: float = -1.0, **options: Any
) -> Assistant:
    """An assistant whose model answers so. `cosine` below 0 offers everything that is stored."""
    reasoner = ScriptedReasoner(list(answers))
    inferring = Inferring(
        ledger=memoir.ledger,
        reasoner=reasoner,
        similar=Similar(
            ledger=memoir.ledger,
            index=memoir.index,
            embedder=memoir.embedder,
            projector=memoir.projector,
            cosine=cosine,
        ),
        freshness=memoir.freshness,
        clock=memoir.clock,
        ids=ids,
        options=InferenceOptions(policies=Policies(policy or Policy()), **options),
    )
    return Assistant(memoir, reasoner, inferring)


def fact(text: str, quote: str, message: int = 0, **fields: Any) -> dict[str, Any]:
    """A fact as a model hands it over."""
    return {"text": text, "kind": "fact", "message": message, "quote": quote, **fields}


def facts(*found: dict[str, Any], forget: Sequence[dict[str, Any]] = ()) -> str:
    """An answer to `extract`."""
    return json.dumps({"facts": list(found), "forget": list(forget)})


def decisions(*made: tuple[Any, ...]) -> str:
    """An answer to `reconcile`: item, action, memory, then text and quote where they matter."""
    names = ("item", "action", "memory", "text", "quote")
    return json.dumps({"decisions": [{**dict(zip(names, each, strict=False)), "reason": "so it is"} for each in made]})
