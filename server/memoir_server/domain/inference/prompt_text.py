"""Prompt files: the text that is sent, and beside each rule the reason for it, which is not.

A file begins with its title, `# name-vN`. Rules are list items; each is followed by a comment, `<!-- why: ... -->`.
Comments are taken out before anything is sent, with the line they leave empty. A file of a version is never changed
once it was released: what a memory says it was made with stays true. Another wording is another version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TITLE: Final = re.compile(r"# (?P<name>[a-z][a-z-]*)-v(?P<version>[1-9][0-9]*)\n")
_COMMENT: Final = re.compile(r"[ \t]*<!--(?P<text>.*?)-->", re.DOTALL)
_COMMENT_LINES: Final = re.compile(rf"^{_COMMENT.pattern}[ \t]*\n".replace("?P<text>", "?:"), re.DOTALL | re.MULTILINE)
_RULE: Final = re.compile(r"^- ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PromptText:
    """A prompt as it stands in its file.

    Attributes:
        name: What it asks for, such as "extract".
        version: Its number, from 1.
        text: What is sent.
        rules: The rules in it, in order, each with its reason.
    """

    name: str
    version: int
    text: str
    rules: tuple[Rule, ...]

    @property
    def label(self) -> str:
        """Name and version, as memories record it: "extract-v1"."""
        return f"{self.name}-v{self.version}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a prompt and why it is there."""

    text: str
    why: str


def read_prompt(source: str) -> PromptText:
    """The prompt of a file's text.

    Raises:
        ValueError: If the title is missing, a comment is left open, or a rule has no reason.
    """
    title = _TITLE.match(source)
    if title is None:
        raise ValueError("the prompt file has to begin with a line '# name-vN'")
    body = source[title.end() :]
    text = _COMMENT.sub("", _COMMENT_LINES.sub("", body)).strip()
    if "<!--" in text or "-->" in text:
        raise ValueError(f"{title[0].strip()}: a comment is opened and not closed, or the other way round")
    return PromptText(title["name"], int(title["version"]), text, _rules(body, title[0].strip()))


def _rules(body: str, title: str) -> tuple[Rule, ...]:
    starts = [match.start() for match in _RULE.finditer(body)]
    rules = []
    for start, end in zip(starts, [*starts, len(body)][1:], strict=True):
        item = body[start:end]
        reason = _COMMENT.search(item)
        text = " ".join(item[2 : reason.start() if reason else None].split())
        why = " ".join(reason["text"].split()) if reason else ""
        if not why.startswith("why: "):
            raise ValueError(f"{title}: the rule {text[:60]!r} has no '<!-- why: ... -->' after it")
        rules.append(Rule(text, why.removeprefix("why: ")))
    return tuple(rules)
