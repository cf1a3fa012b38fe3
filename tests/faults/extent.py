"""How much is run: a seeded part, or all of it (MEMOIR_FAULTS=all, as `make faults` sets it)."""

from __future__ import annotations

import os

ALL = os.environ.get("MEMOIR_FAULTS") == "all"
SEED = int(os.environ.get("MEMOIR_FAULT_SEED", "20261121"))
ROUNDS = int(os.environ.get("MEMOIR_FAULT_ROUNDS", "50" if ALL else "20"))
KILLS = 30
"""Kills at single steps of the embedded profile in a part run."""
DISTRIBUTED_KILLS = 12
"""The same of the distributed profile."""
STORE_ROUNDS = None if ALL else 12
"""Faults of stores in one repetition; None: each once."""
STORE_REPETITIONS = 2 if ALL else 1
