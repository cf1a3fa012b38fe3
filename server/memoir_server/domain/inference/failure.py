"""That inference came to nothing."""

from __future__ import annotations

from memoir_server.domain.inference.usage import Usage


class InferenceFailed(Exception):
    """Nothing was extracted, and nothing stored.

    Attributes:
        why: One sentence, for the caller and for the record. Quotes neither the conversation nor a key.
        passing: Whether the same may well succeed later: the model was out of reach, too slow, or busy.
        retry_after: Seconds after which it makes sense to try again, where the model's service has named them.
        usage: What was asked all the same; it is paid for.
    """

    def __init__(
        self, why: str, *, passing: bool = False, retry_after: float | None = None, usage: Usage | None = None
    ) -> None:
        super().__init__(why)
        self.why = why
        self.passing = passing
        self.retry_after = retry_after
        self.usage = usage or Usage()
