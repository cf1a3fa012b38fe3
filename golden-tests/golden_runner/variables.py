"""Variables of a case: ids and tokens bound from answers, put into later requests, taken out of transcripts again."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from golden_runner.paths import parse, select

_REFERENCE = re.compile(r"\$\{([^}]+)\}")
_NOW = re.compile(r"now([+-]\d+(?:\.\d+)?)")
_LONG = re.compile(r"long:(\d+)")

# Shorter values (such as a revision of one digit) stand for themselves.
SHORTEST_RESTORED: Final = 6


def _rfc3339(moment: datetime, precision: str) -> str:
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


class Variables:
    """The variables of one case.

    Bound values are compared by identity, not blanked: where a transcript says `${r}` twice, the same reset is meant.
    Built in: `${namespace}`, `${profile}` of the server, `${long:N}` (N letters) and `${now+SECONDS}` /
    `${now-SECONDS}`, fixed within a case.
    """

    def __init__(self, namespace: str, profile: str = "embedded") -> None:
        self._values: dict[str, str] = {"namespace": namespace}
        self._profile = profile
        # Other spellings of bound values: views write times in microseconds.
        self._spellings: dict[str, str] = {}
        self._now = datetime.now(UTC).replace(microsecond=0)

    def __getitem__(self, name: str) -> str:
        """The value of a variable. Raises `KeyError` naming it when nothing has bound it yet."""
        if name == "profile":
            self._values[name] = self._profile
        if long := _LONG.fullmatch(name):
            self._values[name] = "x" * int(long[1])
        if now := _NOW.fullmatch(name):
            moment = self._now + timedelta(seconds=float(now[1]))
            self._values[name] = _rfc3339(moment, "milliseconds" if moment.microsecond else "seconds")
            self._spellings[_rfc3339(moment, "microseconds")] = name
        if name not in self._values:
            raise KeyError(f"${{{name}}} is not bound; bound so far: {', '.join(sorted(self._values))}")
        return self._values[name]

    def bind(self, name: str, path: str, responses: list[Message]) -> None:
        """Bind a variable to the value at "N.path" (N the number of the response, -1 the last).

        Raises `ValueError` when the path does not lead to exactly one set value.
        """
        number, _, rest = path.partition(".")
        if not -len(responses) <= int(number) < len(responses):
            raise ValueError(f"cannot bind ${{{name}}}: {path} names response {number} of {len(responses)}")
        places = [value for _, value in select(responses[int(number)], parse(rest)) if value is not None]
        if len(places) != 1:
            raise ValueError(f"cannot bind ${{{name}}}: {path} has {len(places)} values")
        value = places[0]
        self._values[name] = str(MessageToDict(value)) if isinstance(value, Message) else str(value)

    def substitute(self, value: Any) -> Any:
        """Replace every `${name}` in the strings of a JSON value."""
        if isinstance(value, str):
            return _REFERENCE.sub(lambda found: self[found[1]], value)
        if isinstance(value, dict):
            return {key: self.substitute(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.substitute(item) for item in value]
        return value

    def restore(self, value: Any) -> Any:
        """Replace every bound value in the strings of a JSON value by its `${name}`, longest values first."""
        if isinstance(value, str):
            bound = {text: name for name, text in self._values.items()} | self._spellings
            for text in sorted(bound, key=lambda text: (-len(text), text)):
                if len(text) >= SHORTEST_RESTORED:
                    value = value.replace(text, f"${{{bound[text]}}}")
            return value
        if isinstance(value, dict):
            return {self.restore(key): self.restore(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.restore(item) for item in value]
        return value
