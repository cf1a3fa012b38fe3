"""Counting tokens without a model: the tokenizer `memoir-words-1`.

A budget in the tokens of one vendor's model would tie the server to that model and need its vocabulary at hand. This
tokenizer is a rule anyone can apply, made to count high, so that a text within the budget here is within it there. By
kind of character:

- a run of n ASCII letters: ceil(n / 4);
- an ASCII digit: 1; another visible ASCII character (punctuation, symbols): 1;
- a space: nothing directly before an ASCII letter or an ASCII punctuation mark, else 1;
- a line break, a tab, or another ASCII control character: 1;
- any other character: the number of its UTF-8 bytes less one (é: 1, 猫: 2, an emoji: 3).

Laws, for any texts a and b: count(a + b) lies between count(a) + count(b) - 1 and count(a) + count(b); a longer text
never counts less than one it begins with. docs/decisions/012 holds how it compares with byte-pair tokenizers.
"""

from __future__ import annotations

import re
from typing import Final

TOKENIZER: Final = "memoir-words-1"
"""Name of the rule above. Another rule gets another number."""

LETTERS_PER_TOKEN: Final = 4

MAX_CHARACTERS_PER_TOKEN: Final = LETTERS_PER_TOKEN + 1
"""No text has more characters than this for each of its tokens: four letters after a space that is free."""

_LETTERS: Final = re.compile(r"[A-Za-z]+")
_FREE_SPACE: Final = re.compile(r" (?=[!-/:-~])")
_THREE_BYTES_OR_MORE: Final = re.compile("[\u0800-\U0010ffff]")
_FOUR_BYTES: Final = re.compile("[\U00010000-\U0010ffff]")


def count_tokens(text: str) -> int:
    """Tokens of the text by `memoir-words-1`; 0 only for the empty text."""
    tokens = len(text) - len(_FREE_SPACE.findall(text))
    for run in _LETTERS.findall(text):
        tokens -= len(run) - -(-len(run) // LETTERS_PER_TOKEN)
    if not text.isascii():
        # Counted once each so far: right for two bytes, one short for three, two short for four.
        tokens += len(_THREE_BYTES_OR_MORE.findall(text)) + len(_FOUR_BYTES.findall(text))
    return tokens


def longest_prefix(text: str, tokens: int) -> int:
    """Length in characters of the longest beginning of the text that counts at most `tokens`; 0 when none does."""
    low, high = 0, min(len(text), max(0, tokens) * MAX_CHARACTERS_PER_TOKEN)
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens(text[:middle]) <= tokens:
            low = middle
        else:
            high = middle - 1
    return low
