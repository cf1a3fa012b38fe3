"""What goes wrong with a store."""

from __future__ import annotations

from pathlib import Path


class StoreError(Exception):
    """A store cannot be built, started or ended. The text names the store, what was found, and what to do."""


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log, to be shown with an error; empty when there is no log."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])
