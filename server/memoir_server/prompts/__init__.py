"""The prompts: versioned files beside this one, read once."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Final

from memoir_server.domain.inference.prompt_text import PromptText, read_prompt

CURRENT: Final = {"extract": 1, "procedure": 1, "reconcile": 1, "repair": 1, "describe-image": 1}
"""The version of each prompt that is asked. Older files stay, since memories name them."""


@functools.cache
def load(name: str, version: int | None = None) -> PromptText:
    """A prompt, in its current version unless another is named.

    Raises:
        KeyError: If there is no such prompt.
        FileNotFoundError: If there is no such version.
        ValueError: If the file is not a prompt, or not the one its name says.
    """
    label = f"{name}-v{CURRENT[name] if version is None else version}"
    prompt = read_prompt(resources.files(__name__).joinpath(f"{label}.md").read_text(encoding="utf-8"))
    if prompt.label != label:
        raise ValueError(f"{label}.md: its title says {prompt.label}; title and file name have to agree")
    return prompt
