"""How long a run is and what it starts from. Both come from the environment; without it, a run is that of CI."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

SEED_VARIABLE = "MEMOIR_FUZZ_SEED"
EXAMPLES_VARIABLE = "MEMOIR_FUZZ_EXAMPLES"
LONG = bool(os.environ.get("MEMOIR_FUZZ"))
"""A run that takes minutes and starts from chance: `make fuzz`."""
DEFAULT_SEED = 20261121
"""Fixed, so that CI judges the change and not the day."""


@functools.cache
def seed() -> int:
    """MEMOIR_FUZZ_SEED; else, for a long run, one by chance; else that of CI."""
    given = os.environ.get(SEED_VARIABLE)
    if given is not None:
        return int(given)
    return secrets.randbelow(10**9) if LONG else DEFAULT_SEED


def examples(default: int) -> int:
    """MEMOIR_FUZZ_EXAMPLES where it is more than the default, which the asserted counts need."""
    return max(default, int(os.environ.get(EXAMPLES_VARIABLE, default)))


def random_of(part: str) -> Random:
    """The generator of one part of a run: parts do not move each other's draws."""
    return Random(f"{seed()}:{part}")


@contextmanager
def told(where: str) -> Iterator[None]:
    """Adds the seed and the place to whatever goes wrong inside."""
    try:
        yield
    except BaseException as problem:
        problem.add_note(f"{SEED_VARIABLE}={seed()}: {where[:3000]}")
        raise
