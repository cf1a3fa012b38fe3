"""What a provider's refusal means, from its HTTP status, headers and body.

Bodies differ: `{"error": {"type", "code", "message"}}` of OpenAI and most that follow it, with a `type` beside it of
Anthropic, flat ones of some local servers, text of proxies. A message is looked at, never passed on: it may quote what
was sent, or a part of the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_TOO_LARGE: Final = re.compile(
    r"prompt is too long|context.?(length|window|size)|maximum.{0,20}(context|tokens)|too many (input )?tokens"
    r"|input.{0,40}too (long|large)|request_too_large|must have less than|longer than the maximum"
    r"|exceeds? .{0,40}(context|token)"
)
_NO_CREDIT: Final = re.compile(r"insufficient_quota|credit balance|billing|exceeded your current quota")
_LONG_WAITS: Final = 24 * 3600.0

RETRIED: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses that another attempt may change. 409 is a lock that another request held; 52x are of a proxy in front."""
BUSY: Final = frozenset({429})
"""Statuses of a service that works, but limits this caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFailure:
    """A refusal.

    Attributes:
        status: HTTP status.
        code: The provider's word for it, such as "invalid_api_key"; empty where there is none that may be shown.
        retry_after: Seconds to wait, where the provider says so.
        too_large: True when the request is larger than the model takes.
        no_credit: True when the account is out of money or quota: waiting does not help.
    """

    status: int
    code: str
    retry_after: float | None
    too_large: bool
    no_credit: bool

    @property
    def passes(self) -> bool:
        """Whether the same request may be taken later."""
        return (self.status in RETRIED or self.status > 599) and not self.no_credit

    @property
    def busy(self) -> bool:
        """Whether the service is there, but limits this caller."""
        return self.status in BUSY

    @property
    def reason(self) -> str:
        """In one clause."""
        return f"answered HTTP {self.status}" + (f" {self.code}" if self.code else "")

    def fix(self, *, key: str, section: str) -> str:
        """What the operator can do. `key` says where the key comes from; `section` is that of the settings."""
        if self.no_credit:
            return "add credit to the provider's account"
        if self.status in (401, 403):
            return f"check the key ({key}) and what it may use"
        if self.too_large:
            return "send less, or choose a model with a larger context"
        if self.status == 404:
            return f"check {section}.url and {section}.model"
        if self.status == 429:
            return f"wait, raise the provider's limit, or lower {section}.requests_per_minute and {section}.concurrency"
        if self.passes:
            return "wait; see the provider's status page"
        return f"check {section}.model and what the provider's documentation says of it"


def read_failure(status: int, headers: Mapping[str, str], body: object) -> HttpFailure:
    """The failure that a response tells of. `body`: decoded JSON, or text."""
    error = body
    for name in ("error", "detail"):
        if isinstance(error, Mapping) and isinstance(error.get(name), Mapping | str):
            error = error[name]
    words: list[str] = []
    if isinstance(error, Mapping):
        words = [word for name in ("code", "type", "message") if isinstance(word := error.get(name), str)]
    elif isinstance(error, str):
        words = [error]
    code = next((word for word in words if _CODE.fullmatch(word) and word != "error"), "")
    text = " ".join(words).lower()
    return HttpFailure(
        status=status,
        code=code,
        retry_after=_retry_after(headers),
        too_large=status == 413 or (status in (400, 422) and bool(_TOO_LARGE.search(text))),
        no_credit=status in (400, 402, 403, 429) and bool(status == 402 or _NO_CREDIT.search(text)),
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from `retry-after-ms` or `retry-after`, which is a number or a date (RFC 9110, 10.2.3)."""
    found = {name.lower(): value for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(found[name]) * unit
        except (KeyError, ValueError):
            continue
        # Not a number compares false.
        return seconds if 0 <= seconds <= _LONG_WAITS else None
    try:
        at = parsedate_to_datetime(found["retry-after"])
    except (KeyError, ValueError):
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    seconds = (aware - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), _LONG_WAITS)
