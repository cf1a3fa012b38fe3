"""Whether a ledger may begin: an empty one must not take the place of one that was lost.

A new ledger gets an id of its own, and the projections beside it are then rebuilt to match: empty. After that nothing
shows any more that there was something else. So where traces of a ledger are left, the server refuses to start.

A `ledger.db` of 0 bytes with nothing beside it is no such trace. A crash in the very first start leaves one, before
anything was acknowledged, and so does a first start on a full disk; it must not make the directory unusable.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw

from memoir_server.adapters.ledger.sqlite.connection import FILE_NAME
from memoir_server.adapters.sqlite_projection import followed_ledger
from memoir_server.domain.errors import StoreUnavailable


def check_file(directory: Path, projections: Sequence[Path]) -> None:
    """To be called before the file is opened: SQLite deletes the write-ahead log of a file without content.

    Args:
        directory: The data directory.
        projections: Files that follow its ledger, whether they exist or not.

    Raises:
        StoreUnavailable: The file is missing or empty, and a log or a projection beside it belongs to a ledger.
    """
    path = directory / FILE_NAME
    if not path.exists():
        _refuse_traces(path, "is missing", projections)
    elif path.stat().st_size == 0:
        _refuse_traces(path, "is empty", projections)


def check_content(connection: apsw.Connection, directory: Path, projections: Sequence[Path]) -> None:
    """To be called before the first table is made. A file that was copied without its log may hold none, too.

    Raises StoreUnavailable as `check_file` does.
    """
    if not connection.execute("SELECT count(*) FROM sqlite_schema").get:
        _refuse_traces(directory / FILE_NAME, "holds nothing", projections)


def _refuse_traces(path: Path, state: str, projections: Sequence[Path]) -> None:
    traces = [trace for projection in projections if (trace := _trace(projection))]
    log = path.with_name(f"{path.name}-wal")
    # SQLite writes the head of the file before the first byte of the log, so a first start leaves no such log.
    if state != "holds nothing" and log.exists() and log.stat().st_size > 0:
        traces.insert(0, f"{log.name} (its write-ahead log)")
    if traces:
        raise StoreUnavailable(
            "ledger",
            f"{path} {state}, but a ledger was here before: beside it {'is' if len(traces) == 1 else 'are'} "
            f"{', '.join(traces)}. Restore a backup of {path.name} into an empty directory and start on that; "
            f"or, to begin anew without what it held, remove the directory {path.parent}",
        )


def _trace(projection: Path) -> str:
    """What a projection's file tells of the ledger it follows; empty when there is no file, or it has followed none.

    The projections are made after the ledger, and learn its id before the first call is served. So one that cannot be
    read says, too, that there was a ledger.
    """
    if not projection.exists():
        return ""
    if projection.stat().st_size == 0:
        return f"{projection.name} (empty)"
    try:
        ledger_id = followed_ledger(projection)
    except (apsw.Error, UnicodeDecodeError) as failure:
        return f"{projection.name} (unreadable: {failure})"
    return f"{projection.name} (of ledger {ledger_id})" if ledger_id else ""
