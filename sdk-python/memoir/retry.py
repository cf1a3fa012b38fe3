"""When a failed attempt may be made again, and after how long; read from the policy all SDKs share."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from memoir.errors import MemoirError

#: A copy of `proto/retry-policy.json`, which explains the fields.
POLICY_FILE: Final = Path(__file__).with_name("retry_policy.json")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The shared policy. Delays are in seconds."""

    max_attempts: int
    initial_backoff: float
    max_backoff: float
    multiplier: float
    jitter: float
    retryable_codes: frozenset[str]
    retry_info_required: frozenset[str]
    methods: Mapping[str, str]

    @classmethod
    def load(cls, path: Path = POLICY_FILE) -> Self:
        """Read the policy file."""
        document = json.loads(path.read_text(encoding="utf-8"))
        policy = document["policy"]
        return cls(
            max_attempts=int(policy["max_attempts"]),
            initial_backoff=policy["initial_backoff_ms"] / 1_000,
            max_backoff=policy["max_backoff_ms"] / 1_000,
            multiplier=float(policy["multiplier"]),
            jitter=float(policy["jitter"]),
            retryable_codes=frozenset(policy["retryable_codes"]),
            retry_info_required=frozenset(policy["retry_info_required"]),
            methods=document["methods"],
        )

    def allows(self, method: str, *, has_request_id: bool) -> bool:
        """Say whether a call of `package.Service/Method` may be made more than once."""
        rule = self.methods.get(method, "never")
        return rule == "always" or (rule == "with_request_id" and has_request_id)

    def transient(self, error: MemoirError) -> bool:
        """Say whether the same call may succeed later."""
        code = error.code.name
        if code in self.retry_info_required and error.retry_delay is None:
            return False
        return code in self.retryable_codes

    def delay(self, error: MemoirError, failures: int) -> float:
        """Return the seconds to wait after the given number of failures in a row (1 or more)."""
        if error.retry_delay is not None:
            return error.retry_delay
        backoff = min(self.initial_backoff * self.multiplier ** min(failures - 1, 32), self.max_backoff)
        return backoff * random.uniform(1 - self.jitter, 1 + self.jitter)


POLICY: Final = RetryPolicy.load()
