"""What may be remembered, and how: set per namespace, and in part per call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from memoir_server.domain.errors import FieldInvalid
from memoir_server.domain.inference.personal_data import DataCategory, find_personal_data, mask, masked
from memoir_server.domain.inference.turns import Turn
from memoir_server.domain.memory import MemoryKind

MAX_INSTRUCTION: Final = 2048
"""Characters of an instruction (contract)."""


class DataRule(Enum):
    """What becomes of personal data.

    KEEP: it is remembered like anything else. MASK: it is replaced by `[email]` and the like before the model or any
    memory sees it. DROP: it is masked too, and a fact that would still speak of it is not remembered.
    """

    KEEP = "keep"
    MASK = "mask"
    DROP = "drop"


class ConflictRule(Enum):
    """Which of two statements that cannot both be true is the current one.

    NEWEST: the one that began later. CONFIDENCE: the one the model was surer of; of equals, the one that began later.
    KEEP_BOTH: both stay.
    """

    NEWEST = "newest"
    CONFIDENCE = "confidence"
    KEEP_BOTH = "keep-both"


INFERRED_KINDS: Final = frozenset({MemoryKind.FACT, MemoryKind.PREFERENCE, MemoryKind.EVENT, MemoryKind.PROCEDURE})
"""Kinds that inference makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a namespace remembers.

    Attributes:
        instructions: What the operator and then the caller want besides, such as "only dietary facts".
        kinds: Kinds that are kept.
        language: Language of the facts, as an IETF tag such as "en" or "pt-BR"; empty: that of the conversation.
        personal: What becomes of e-mail addresses, phone numbers, IBANs, card numbers and IP addresses.
        secrets: What becomes of passwords, keys and tokens.
        conflicts: Which of two statements stands.

    Raises:
        ValueError: For a kind that inference does not make, or a language that is no tag.
    """

    instructions: tuple[str, ...] = ()
    kinds: frozenset[MemoryKind] = INFERRED_KINDS
    language: str = ""
    personal: DataRule = DataRule.KEEP
    secrets: DataRule = DataRule.DROP
    conflicts: ConflictRule = ConflictRule.NEWEST

    def __post_init__(self) -> None:
        if not self.kinds or not self.kinds <= INFERRED_KINDS:
            wrong = ", ".join(sorted(kind.name for kind in self.kinds - INFERRED_KINDS)) or "none"
            raise ValueError(f"kinds={wrong}: give some of FACT, PREFERENCE, EVENT and PROCEDURE")
        if self.language and not re.fullmatch(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*", self.language):
            raise ValueError(
                f"language={self.language!r}: give a language tag such as 'en' or 'pt-BR', or leave it empty"
            )

    def with_instruction(self, instruction: str, field: str = "instruction") -> Policy:
        """The policy with the caller's instruction added; the same where it is blank. Raises FieldInvalid."""
        if not instruction.strip():
            return self
        return replace(self, instructions=(*self.instructions, checked_instruction(instruction, field)))

    @property
    def hidden(self) -> frozenset[DataCategory]:
        """Categories of data that neither the model nor a memory sees."""
        secret = frozenset({DataCategory.SECRET})
        return (secret if self.secrets is not DataRule.KEEP else frozenset()) | (
            frozenset(DataCategory) - secret if self.personal is not DataRule.KEEP else frozenset()
        )

    @property
    def refused(self) -> frozenset[DataCategory]:
        """Categories of data that no fact may speak of, not even masked."""
        secret = frozenset({DataCategory.SECRET})
        return (secret if self.secrets is DataRule.DROP else frozenset()) | (
            frozenset(DataCategory) - secret if self.personal is DataRule.DROP else frozenset()
        )

    def hide(self, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """The messages as the model may see them and as they may be kept."""
        hidden = self.hidden
        if not hidden:
            return tuple(turns)
        return tuple(
            replace(
                turn,
                text=masked(turn.text, hidden),
                images=tuple(masked(description, hidden) for description in turn.images),
            )
            for turn in turns
        )

    def refuses(self, text: str) -> DataCategory | None:
        """The category for which a fact's text is not remembered, masked or not; None where it may be."""
        refused = self.refused
        found = {each.category for each in find_personal_data(text)} if refused else set()
        shown = text.casefold()
        return next((each for each in DataCategory if each in refused and (each in found or mask(each) in shown)), None)

    def cleared(self, text: str) -> str:
        """The text with what is hidden masked. A model can only know what it saw, but it may make things up."""
        return masked(text, self.hidden)


@dataclass(frozen=True, slots=True)
class Policies:
    """How each namespace remembers: by a policy of its own, or by the one for all."""

    default: Policy = field(default_factory=Policy)
    namespaces: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, namespace: str) -> Policy:
        """The policy of a namespace."""
        return self.namespaces.get(namespace, self.default)


def checked_instruction(instruction: str, field: str) -> str:
    """The instruction without white space around it.

    Raises:
        FieldInvalid: If it is too long or holds control characters; `field` is its path in the request.
    """
    instruction = instruction.strip()
    if len(instruction) > MAX_INSTRUCTION:
        raise FieldInvalid(field, f"has {len(instruction)} characters; at most {MAX_INSTRUCTION} are taken: shorten it")
    if wrong := re.search("[\x00-\x08\x0b-\x1f\x7f]", instruction):
        raise FieldInvalid(field, f"has the control character U+{ord(wrong[0]):04X} at {wrong.start()}: take it out")
    return instruction
