"""How long the tests of this folder take. `make faults` asks for more than `make test` does."""

from __future__ import annotations

import os
from typing import Final

from tests.faults.extent import ALL

EXAMPLES: Final = int(os.environ.get("MEMOIR_EXAMPLES", "60" if ALL else "6"))
"""Worlds that the isolation test makes."""
SECONDS: Final = float(os.environ.get("MEMOIR_TWO_SERVERS_SECONDS", "60"))
"""How long two servers are written to at once."""
