"""Port: a question to a language model, and its answer in the form that was asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod

from memoir_server.domain.reasoning import Prompt, Reply, TokenUsage


class ReasonerError(Exception):
    """The model gave no answer that can be used.

    Attributes:
        model: Name of the model that was asked.
        reason: What went wrong, in one sentence. Never holds a key; never quotes what was asked.
        fix: What the operator can do about it.
        attempts: Requests that were made; 0 where none was.
    """

    def __init__(self, model: str, reason: str, fix: str, *, attempts: int = 0) -> None:
        super().__init__(f"reasoner {model}: {reason} ({fix})")
        self.model = model
        self.reason = reason
        self.fix = fix
        self.attempts = attempts


class ReasonerUnavailable(ReasonerError):
    """Nothing was answered for a reason that passes: the service cannot be reached, is overloaded or fails, its rate
    limit binds, the circuit breaker is open, or the reasoner is closed. The same question may be asked again later.

    Attributes:
        retry_after: Seconds after which it makes sense to try again, where that is known.
        busy: True when the service works but limits this caller (429): no outage.
    """

    def __init__(
        self,
        model: str,
        reason: str,
        fix: str,
        *,
        attempts: int = 0,
        retry_after: float | None = None,
        busy: bool = False,
    ) -> None:
        super().__init__(model, reason, fix, attempts=attempts)
        self.retry_after = retry_after
        self.busy = busy


class ReasonerTimeout(ReasonerUnavailable):
    """No answer came before the deadline, or before the longest that the settings allow. Waiting for a turn counts
    too. The provider may have worked, and charged, all the same."""


class ReasonerRefused(ReasonerError):
    """The service does not take the request, and would not take it again: the key is wrong or may not use the model,
    the model is unknown, its context is too small, or it cannot do what was asked (images, structured output).
    Something has to be changed.

    Attributes:
        status: The HTTP status, such as 400, 401, 403, 404 or 413; 0 where the request was not sent.
        too_large: True when the request is larger than the model takes: a shorter one may pass.
    """

    def __init__(
        self, model: str, reason: str, fix: str, *, attempts: int = 0, status: int = 0, too_large: bool = False
    ) -> None:
        super().__init__(model, reason, fix, attempts=attempts)
        self.status = status
        self.too_large = too_large


class ReasonerOutput(ReasonerError):
    """The model answered, but not with a whole JSON object where one was asked for: the answer was cut at the length
    limit, is not JSON, is empty, or the model declined. Asking again, with the problem named, may help.

    Attributes:
        output: What came, as the model sent it.
        usage: Tokens it took: they are paid for.
        cut: True when the answer was longer than the prompt's `max_output` or the model's limit.
        declined: True when the model or the provider's filter would not answer.
    """

    def __init__(
        self,
        model: str,
        reason: str,
        fix: str,
        *,
        output: str,
        usage: TokenUsage,
        attempts: int = 1,
        cut: bool = False,
        declined: bool = False,
        cost: float | None = None,
    ) -> None:
        super().__init__(model, reason, fix, attempts=attempts)
        self.output = output
        self.usage = usage
        self.cut = cut
        self.declined = declined
        self.cost = cost


class Reasoner(ABC):
    """Asks one language model.

    The contract every implementation keeps (``server/memoir_conformance/reasoner_suite.py`` checks it):

    * **One question, one answer**: `ask` sends the prompt as it is and adds nothing a model could take for content. No
      conversation is kept between calls.
    * **Form**: with a schema, a `Reply` holds the text of one JSON object. The provider is told to enforce the schema
      as strictly as it can; that the object keeps to it is not promised.
    * **Images** ride in the same call: a prompt with an `ImagePart` and no schema describes images. A model that cannot
      see raises ReasonerRefused.
    * **Deadlines**: `ask` ends at the deadline, whatever the service does. Cancelling the task ends the request.
    * **Secrecy**: no key appears in an error, a log, a span or a metric; no contents in any of them.

    An adapter makes one request per `ask` and sorts failures by the errors above. What stands around it in a server,
    :class:`memoir_server.service.reasoning.GuardedReasoner`, keeps the rest for all of them:

    * **Retries**: whatever is ReasonerUnavailable is asked again while the deadline allows it, not before the time the
      service names; an answer that came, or a refusal, never. `attempts` counts the requests.
    * **Order**: at most so many requests are in hand at once, and begin within a minute, as the settings allow; others
      wait their turn, first come first served.
    * **Breaker**: while the service does not answer, calls fail at once, and one at a time finds out whether it does.
    * **Accounting**: every answer that came is counted, with its tokens and cost, by namespace, model and prompt, also
      where it is of no use.
    """

    @property
    @abstractmethod
    def model(self) -> str:
        """Name of the model that is asked, as in the settings. Constant over the reasoner's life."""

    @property
    @abstractmethod
    def provider(self) -> str:
        """Who answers, in the words of OpenTelemetry's `gen_ai.provider.name`, such as "anthropic" or "openai"."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Host, or host:port, that requests go to."""

    @abstractmethod
    async def ask(self, prompt: Prompt, *, namespace: str, deadline: float | None = None) -> Reply:
        """Asks, and waits for the answer.

        Args:
            namespace: For whom; counted by it, never sent.
            deadline: A reading of the event loop's clock, in seconds; None: as long as the settings allow.

        Raises:
            ReasonerUnavailable: For an outage, overload, an open breaker, or after `close`.
            ReasonerTimeout: At the deadline.
            ReasonerRefused: If the request will never be taken as it is.
            ReasonerOutput: If the answer is cut, declined or not JSON.
        """

    @abstractmethod
    async def close(self) -> None:
        """Gives up connections. Calls in hand end with ReasonerUnavailable or their answer; idempotent."""
