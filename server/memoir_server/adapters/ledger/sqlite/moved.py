"""The note beside a ledger that was, or is being, moved to another store.

While it says so no server opens the directory: what it would take in, the other store would never know.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Final

from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.time import Instant, to_datetime
from memoir_server.ports.ledger_copy import SourceNote, SourceState

NOTE_FILE: Final = "ledger.moved"


def read_note(directory: Path) -> SourceNote | None:
    """The note of a data directory. Raises StoreUnavailable when there is one that cannot be read."""
    path = directory / NOTE_FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return SourceNote(
            move_id=str(fields["move_id"]),
            state=SourceState(fields["state"]),
            target=str(fields["target"]),
            time=int(fields["time"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise StoreUnavailable(
            "ledger", f"{path} says where this ledger was moved to, but cannot be read ({fault}); restore that file"
        ) from fault


def write_note(directory: Path, note: SourceNote | None) -> None:
    """Replaces the note, or removes it, and returns when that is on disk."""
    path = directory / NOTE_FILE
    if note is None:
        path.unlink(missing_ok=True)
    else:
        fields = {"move_id": note.move_id, "state": note.state.value, "target": note.target, "time": note.time}
        part = path.with_name(f"{NOTE_FILE}.part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(fields, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    entries = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(entries)
    finally:
        os.close(entries)


def refuse_moved(directory: Path) -> None:
    """To be called before a server opens the ledger. Raises StoreUnavailable when the note forbids it."""
    note = read_note(directory)
    if note is None or note.state is SourceState.KEPT:
        return
    path = directory / NOTE_FILE
    if note.state is SourceState.MOVED:
        raise StoreUnavailable(
            "ledger",
            f"{directory} was moved to {note.target} on {day_of(note.time)}; start servers with the settings of that. "
            f"To go back to what it held then, without anything written since, remove {path}",
        )
    raise StoreUnavailable(
        "ledger",
        f"{directory} is being moved to {note.target}; run the same `memoir move` again, which goes on where it "
        f"stopped. To give that up and serve it from here, remove {path}",
    )


def day_of(instant: Instant) -> str:
    """The date, UTC; nothing for what is no date."""
    with suppress(OverflowError):
        return to_datetime(instant).astimezone(UTC).date().isoformat()
    return "an unknown day"
