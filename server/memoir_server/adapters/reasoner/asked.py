"""What the reasoners have in common: sorting failures, and reading an answer that came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from memoir_server.adapters.provider.failures import read_failure
from memoir_server.adapters.provider.wire import json_object
from memoir_server.domain.reasoning import Prompt, Reply, TokenUsage
from memoir_server.ports.reasoner import ReasonerError, ReasonerOutput, ReasonerRefused, ReasonerUnavailable


class Structure(Enum):
    """How a model is made to answer in a form."""

    TOOL = "tool"
    """It has to call a tool, whose input is the answer."""
    SCHEMA = "schema"
    """The API takes a JSON schema for the answer."""
    OBJECT = "object"
    """The API only promises some JSON object; the schema goes into the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a request, before anybody has looked at it.

    Attributes:
        output: Text, or JSON text; None where the answer holds nothing of the kind asked for.
        cut: It stopped at a limit of length.
        declined: The model or a filter would not answer.
    """

    output: str | None
    usage: TokenUsage
    model: str
    stop_reason: str
    cut: bool
    declined: bool


def judge(answer: Answer, prompt: Prompt, model: str) -> Reply:
    """The reply that an answer is. Raises ReasonerOutput."""
    output = (answer.output or "").strip()
    reason = fix = ""
    if answer.declined:
        reason, fix = "would not answer", "see the provider's usage policy"
    elif answer.cut:
        reason, fix = "did not finish within its limit", "ask for less at a time, or allow a longer answer"
    elif not output:
        reason, fix = "answered nothing", "ask again, or choose another model"
    elif prompt.schema is not None and not json_object(output):
        reason = "did not answer with a JSON object"
        fix = "ask again, choose another model, or set reasoner.structure to what its server enforces"
    if reason:
        raise ReasonerOutput(
            model, reason, fix, output=output, usage=answer.usage, cut=answer.cut, declined=answer.declined
        )
    return Reply(output=output, usage=answer.usage, model=answer.model or model, stop_reason=answer.stop_reason)


def refused(model: str, status: int, headers: Mapping[str, str], body: object, *, key: str) -> ReasonerError:
    """The error for a status that is no answer."""
    failure = read_failure(status, headers, body)
    fix = failure.fix(key=key, section="reasoner")
    if failure.passes:
        return ReasonerUnavailable(
            model, failure.reason, fix, attempts=1, retry_after=failure.retry_after, busy=failure.busy
        )
    return ReasonerRefused(model, failure.reason, fix, attempts=1, status=status, too_large=failure.too_large)


def unreachable(model: str, address: str) -> ReasonerUnavailable:
    """The error for a connection that could not be made, or broke."""
    return ReasonerUnavailable(
        model, f"{address} cannot be reached, or broke off", "check reasoner.url and the network", attempts=1
    )


def not_the_api(model: str, address: str) -> ReasonerRefused:
    """The error for something that answers, but not as the API does."""
    return ReasonerRefused(
        model, f"{address} does not answer as its API would", "check reasoner.url and reasoner.adapter", attempts=1
    )


def closed(model: str) -> ReasonerUnavailable:
    """The error after `close`."""
    return ReasonerUnavailable(model, "it was closed", "the server is ending; ask again once it is back")
