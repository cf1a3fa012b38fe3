"""The one question that takes facts from a window: the form of its answer, and reading it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from memoir_server.domain.inference.answer import Problems, Reader, decode
from memoir_server.domain.memory import EntityMention, MemoryKind, RelationStatement
from memoir_server.domain.reasoning import JsonSchema

MAX_FACTS: Final = 64
"""Facts of one window. A window of 6,000 tokens that seems to hold more has been misread."""
MAX_FORGET: Final = 16
"""Requests of one window to forget something."""
MAX_FACT_TEXT: Final = 2000
MAX_QUOTE: Final = 4000
"""Characters of a quote as the model may give it; what is kept of it is cut shorter."""
MAX_MENTIONS: Final = 16
"""Entities, and relations, of one fact."""
MAX_NAME: Final = 256
"""Characters of a name (contract)."""
MAX_DATE: Final = 64

_LEAST_IMPORTANCE: Final = 0.5
_MISSING_CONFIDENCE: Final = 0.7

KINDS: Final = {
    "fact": MemoryKind.FACT,
    "preference": MemoryKind.PREFERENCE,
    "event": MemoryKind.EVENT,
    "procedure": MemoryKind.PROCEDURE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A statement as the model gave it, of the right form; nothing of it has been checked against the conversation.

    `message` is the number it says the quote stands in. `when` are the words of the conversation about its time,
    `valid_from` and `valid_until` what the model made of them, all as text.
    """

    text: str
    kind: MemoryKind
    message: int
    quote: str
    importance: float = _LEAST_IMPORTANCE
    confidence: float = _MISSING_CONFIDENCE
    when: str = ""
    valid_from: str = ""
    valid_until: str = ""
    entities: tuple[EntityMention, ...] = ()
    relations: tuple[RelationStatement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetRequest:
    """A request of the user to forget something, as the model gave it: what, and the words of the request."""

    what: str
    message: int
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What was read from an answer. It may be used only where `problems` is empty."""

    facts: tuple[Fact, ...] = ()
    forget: tuple[ForgetRequest, ...] = ()
    problems: tuple[str, ...] = ()


def _object(properties: dict[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list_of(properties: dict[str, object]) -> dict[str, object]:
    return {"type": "array", "items": _object(properties)}


_TEXT: Final[dict[str, object]] = {"type": "string"}
_MAYBE_TEXT: Final[dict[str, object]] = {"type": ["string", "null"]}

EXTRACTION_SCHEMA: Final = JsonSchema.of(
    "remember",
    "Hands over what is worth remembering.",
    _object(
        {
            "facts": _list_of(
                {
                    "text": _TEXT,
                    "kind": {"type": "string", "enum": list(KINDS)},
                    "message": {"type": "integer"},
                    "quote": _TEXT,
                    "importance": {"type": "number"},
                    "confidence": {"type": "number"},
                    "when": _MAYBE_TEXT,
                    "valid_from": _MAYBE_TEXT,
                    "valid_until": _MAYBE_TEXT,
                    "entities": _list_of({"name": _TEXT, "type": _TEXT}),
                    "relations": _list_of({"subject": _TEXT, "predicate": _TEXT, "object": _TEXT}),
                }
            ),
            "forget": _list_of({"what": _TEXT, "message": {"type": "integer"}, "quote": _TEXT}),
        }
    ),
)
"""Form of the answer to the prompts `extract` and `procedure`. What a property means stands in the prompt."""


def read_extraction(output: str) -> Extraction:
    """Reads an answer. Never raises: what is not as asked for becomes a problem."""
    problems = Problems()
    value = decode(output, problems)
    if value is None:
        return Extraction(problems=tuple(problems.found))
    top = Reader(value, "$", problems)
    facts = [_fact(reader) for reader in top.objects("facts", most=MAX_FACTS, required=True)]
    forget = [_forget(reader) for reader in top.objects("forget", most=MAX_FORGET, required=False)]
    if problems:
        return Extraction(problems=tuple(problems.found))
    return Extraction(facts=tuple(facts), forget=tuple(forget))


def _fact(reader: Reader) -> Fact:
    return Fact(
        text=reader.text("text", most=MAX_FACT_TEXT),
        kind=reader.one_of("kind", KINDS) or MemoryKind.FACT,
        message=_message(reader),
        quote=reader.text("quote", most=MAX_QUOTE),
        importance=reader.fraction("importance", missing=_LEAST_IMPORTANCE),
        confidence=reader.fraction("confidence", missing=_MISSING_CONFIDENCE),
        when=reader.optional_text("when", most=MAX_FACT_TEXT),
        valid_from=reader.optional_text("valid_from", most=MAX_DATE),
        valid_until=reader.optional_text("valid_until", most=MAX_DATE),
        entities=_entities(reader),
        relations=_relations(reader),
    )


def _forget(reader: Reader) -> ForgetRequest:
    return ForgetRequest(
        what=reader.text("what", most=MAX_FACT_TEXT),
        message=_message(reader),
        quote=reader.text("quote", most=MAX_QUOTE),
    )


def _message(reader: Reader) -> int:
    number = reader.whole("message")
    return -1 if number is None else number


def _entities(reader: Reader) -> tuple[EntityMention, ...]:
    found: dict[tuple[str, str], EntityMention] = {}
    for each in reader.objects("entities", most=MAX_MENTIONS, required=False):
        name = each.text("name", most=MAX_NAME)
        mention = EntityMention(name=name, type=entity_type(each.optional_text("type", most=MAX_NAME)))
        found.setdefault((mention.type, name.casefold()), mention)
    return tuple(found.values())


def _relations(reader: Reader) -> tuple[RelationStatement, ...]:
    found = [
        RelationStatement(
            subject=each.text("subject", most=MAX_NAME),
            predicate=predicate(each.text("predicate", most=MAX_NAME)),
            object=each.text("object", most=MAX_NAME),
        )
        for each in reader.objects("relations", most=MAX_MENTIONS, required=False)
    ]
    return tuple(dict.fromkeys(found))


def entity_type(word: str) -> str:
    """A type as the contract has it, lower snake case; "thing" where nothing is left of the word."""
    return _snake(word).lower() or "thing"


def predicate(words: str) -> str:
    """A predicate as the contract has it, upper snake case; RELATED_TO where nothing is left of the words, such as
    those of another script."""
    return _snake(words).upper() or "RELATED_TO"


def _snake(words: str) -> str:
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)  # livesIn
    return re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_").lstrip("0123456789_")[:64].rstrip("_")
