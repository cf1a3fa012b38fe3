"""Reading a model's answer: text from a stranger, taken apart value by value.

A reader never raises for what it reads. What is not as asked for becomes a problem: where, and what was wanted. The
list of problems is what the one repair attempt sends back. Left alone is what does no harm: properties nobody asked for
are passed over, one that may be null may be missing, a number may come as `3.0`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from memoir_server.domain.inference.turns import shortened

MAX_ANSWER: Final = 1_000_000
"""Characters of an answer beyond which it is not read."""
MAX_PROBLEMS: Final = 20
"""Problems kept: a model that gets more wrong is not helped by more."""

T = TypeVar("T")


@dataclass(slots=True)
class Problems:
    """What is wrong with an answer, in the order it was found."""

    found: list[str] = field(default_factory=list)

    def add(self, path: str, problem: str) -> None:
        """Notes one, unless there are enough."""
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(f"{path}: {problem}")

    def __bool__(self) -> bool:
        return bool(self.found)


def decode(output: str, problems: Problems) -> Mapping[str, object] | None:
    """The JSON object of an answer, or None with the problem."""
    if len(output) > MAX_ANSWER:
        problems.add("$", f"the answer has {len(output)} characters; at most {MAX_ANSWER} are read")
        return None
    try:
        value = json.loads(output)
    except json.JSONDecodeError as error:
        problems.add("$", f"is not JSON: {error.msg} at character {error.pos}")
        return None
    except (ValueError, RecursionError):
        # A number of thousands of digits, or brackets nested by the thousand.
        problems.add("$", "is not JSON that can be read: a number is too long, or it is nested too deep")
        return None
    if not isinstance(value, dict):
        problems.add("$", f"has to be an object, not {_kind(value)}")
        return None
    return value


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the properties of one object; what is wrong goes to `problems` under the object's path."""

    value: Mapping[str, object]
    path: str
    problems: Problems

    def text(self, name: str, *, most: int) -> str:
        """A text with something in it, without white space around it; empty only with a problem."""
        value = self.value.get(name)
        if not isinstance(value, str):
            self.problems.add(f"{self.path}.{name}", f"has to be a text, not {_kind(value)}")
            return ""
        value = _clean(value)
        if not value:
            self.problems.add(f"{self.path}.{name}", "is empty")
        if len(value) > most:
            self.problems.add(f"{self.path}.{name}", f"has {len(value)} characters; at most {most} are taken")
            return value[:most]
        return value

    def optional_text(self, name: str, *, most: int) -> str:
        """A text, or empty where it is null, missing or blank."""
        value = self.value.get(name)
        if value is None or (isinstance(value, str) and not _clean(value)):
            return ""
        return self.text(name, most=most)

    def fraction(self, name: str, *, missing: float) -> float:
        """A number from 0 to 1; `missing` where it is null or missing."""
        value = self.value.get(name)
        if value is None:
            return missing
        number = _number(value)
        if number is None or not 0 <= number <= 1:
            self.problems.add(f"{self.path}.{name}", f"has to be a number from 0 to 1, not {_shown(value)}")
            return missing
        return number

    def whole(self, name: str) -> int | None:
        """A whole number; None only with a problem."""
        value = self.value.get(name)
        number = _number(value)
        if number is None or number != int(number) or abs(number) > 2**53:
            self.problems.add(f"{self.path}.{name}", f"has to be a whole number, not {_shown(value)}")
            return None
        return int(number)

    def optional_whole(self, name: str) -> int | None:
        """A whole number, or None where it is null or missing."""
        return None if self.value.get(name) is None else self.whole(name)

    def one_of(self, name: str, choices: Mapping[str, T]) -> T | None:
        """What a word stands for, in whatever case; None only with a problem."""
        value = self.value.get(name)
        if isinstance(value, str) and (word := value.strip().casefold()) in choices:
            return choices[word]
        self.problems.add(f"{self.path}.{name}", f"has to be one of {', '.join(choices)}, not {_shown(value)}")
        return None

    def objects(self, name: str, *, most: int, required: bool) -> Iterator[Reader]:
        """A reader for each object of a list of at most `most`."""
        for position, item in enumerate(self._list(name, most=most, required=required)):
            path = f"{self.path}.{name}[{position}]"
            if isinstance(item, dict):
                yield Reader(item, path, self.problems)
            else:
                self.problems.add(path, f"has to be an object, not {_kind(item)}")

    def texts(self, name: str, *, most: int, longest: int) -> tuple[str, ...]:
        """A list of texts; empty where it is null or missing, blank ones are left out."""
        found = []
        for position, item in enumerate(self._list(name, most=most, required=False)):
            if not isinstance(item, str) or len(item) > longest:
                path = f"{self.path}.{name}[{position}]"
                self.problems.add(path, f"has to be a text of at most {longest} characters, not {_kind(item)}")
            elif cleaned := _clean(item):
                found.append(cleaned)
        return tuple(dict.fromkeys(found))

    def _list(self, name: str, *, most: int, required: bool) -> Sequence[object]:
        value = self.value.get(name)
        if value is None and not required:
            return ()
        if not isinstance(value, list):
            self.problems.add(f"{self.path}.{name}", f"has to be a list, not {_kind(value)}")
            return ()
        if len(value) > most:
            self.problems.add(f"{self.path}.{name}", f"has {len(value)} items; at most {most} are taken")
            return value[:most]
        return value


def _clean(text: str) -> str:
    # Stores and the contract keep neither NUL nor half a surrogate pair.
    if not text.isprintable():
        text = "".join(c for c in text if c != "\0" and not "\ud800" <= c <= "\udfff")
    return text.strip()


def _number(value: object) -> float | None:
    # bool is an int to Python, and no number to anyone else.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


_KINDS: Final = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number"}


def _kind(value: object) -> str:
    if value is None:
        return "null or missing"
    return _KINDS.get(type(value), "a number")


def _shown(value: object) -> str:
    """A value in a problem: short, since it goes back to the model."""
    if isinstance(value, str):
        return repr(shortened(value, 40))
    return str(value) if isinstance(value, float) else _kind(value)
