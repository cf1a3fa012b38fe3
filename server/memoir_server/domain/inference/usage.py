"""What the model was asked for one add."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Answers that came, repairs among them, with their tokens as the provider counts them; `model` is the one that
    answered last."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model: str = ""
