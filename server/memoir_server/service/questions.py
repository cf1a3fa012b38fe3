"""The questions of one add: asked, read, and asked once more where the answer was of no use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from memoir_server.domain.inference.asking import ask_again, ask_decisions, ask_facts, ask_image
from memoir_server.domain.inference.extraction import Extraction, read_extraction
from memoir_server.domain.inference.facts import GroundedFact, GroundedRequest
from memoir_server.domain.inference.policy import Policy
from memoir_server.domain.inference.prompt_text import PromptText
from memoir_server.domain.inference.reconciliation import Offers, Reconciliation, read_reconciliation
from memoir_server.domain.inference.usage import Usage
from memoir_server.domain.inference.windowing import Window
from memoir_server.domain.reasoning import ImagePart, Prompt, TokenUsage
from memoir_server.ports.reasoner import Reasoner, ReasonerError, ReasonerOutput
from memoir_server.prompts import load


class AnswerUseless(Exception):
    """The model's answer could not be used, and the repaired one neither. `reason` is for the caller, in a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Answer(Protocol):
    @property
    def problems(self) -> tuple[str, ...]: ...


A = TypeVar("A", bound=_Answer)


class Questions:
    """Asks for one namespace until one deadline, a reading of the event loop's clock in seconds; counts what it took.

    Every method raises ReasonerError where no answer came, and AnswerUseless.
    """

    def __init__(self, reasoner: Reasoner, namespace: str, deadline: float) -> None:
        self._reasoner = reasoner
        self._namespace = namespace
        self._deadline = deadline
        self._calls = 0
        self._tokens = TokenUsage()
        self._model = ""

    @property
    def usage(self) -> Usage:
        """What has been asked so far."""
        return Usage(
            calls=self._calls,
            prompt_tokens=self._tokens.input,
            completion_tokens=self._tokens.output,
            model=self.model,
        )

    @property
    def model(self) -> str:
        """The model that answered last, as the provider names it."""
        return self._model or self._reasoner.model

    async def facts(self, text: PromptText, window: Window, policy: Policy) -> Extraction:
        """What is worth remembering of a window; `text` is the prompt to ask it with."""
        return await self._ask(ask_facts(text, window, policy), read_extraction)

    async def decisions(
        self, facts: Sequence[GroundedFact], forget: Sequence[GroundedRequest], offers: Offers
    ) -> Reconciliation:
        """What becomes of facts and of requests to forget, given what is stored."""
        items = len(facts) + len(forget)
        prompt = ask_decisions(load("reconcile"), facts, forget, offers)
        return await self._ask(prompt, lambda output: read_reconciliation(output, items=items))

    async def description(self, image: ImagePart) -> str:
        """What an image shows."""
        prompt = ask_image(load("describe-image"), image)
        output, problems = await self._output(prompt)
        if problems:
            raise AnswerUseless(f"the model's answer to {prompt.name!r} was of no use: {problems[0]}")
        return output

    async def _ask(self, prompt: Prompt, read: Callable[[str], A]) -> A:
        output, problems = await self._output(prompt)
        if not problems:
            answer = read(output)
            if not answer.problems:
                return answer
            problems = answer.problems
        output, problems = await self._output(ask_again(load("repair"), prompt, output, problems))
        if not problems:
            answer = read(output)
            if not answer.problems:
                return answer
            problems = answer.problems
        raise AnswerUseless(f"the model's answer to {prompt.name!r} was not as asked for, twice: {problems[0]}")

    async def _output(self, prompt: Prompt) -> tuple[str, tuple[str, ...]]:
        """The answer, and what is wrong with it where it is not even JSON."""
        try:
            reply = await self._reasoner.ask(prompt, namespace=self._namespace, deadline=self._deadline)
        except ReasonerOutput as useless:
            self._count(useless.usage, useless.model)
            if useless.declined:
                raise AnswerUseless(f"the model declined to answer {prompt.name!r}") from None
            return useless.output, (f"$: {useless.reason}",)
        self._count(reply.usage, reply.model)
        return reply.output, ()

    def _count(self, usage: TokenUsage, model: str) -> None:
        self._calls += 1
        self._tokens += usage
        self._model = model


def reason_of(failure: ReasonerError | AnswerUseless) -> str:
    """Why there is no answer, for the caller: never a key, never contents."""
    return failure.reason if isinstance(failure, AnswerUseless) else f"the model {failure.reason}"
