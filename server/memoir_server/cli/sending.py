"""Sends the memories of a file, and again those without a result when the connection breaks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from memoir import ChangeAction, DataLoss, ExportedMemory, IncompleteStream, Memoir, MemoirError, Unavailable
from memoir_server.cli.import_formats import ImportFile

_PAUSE: Final = 0.5
"""Seconds between two attempts."""


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What came of one item of a file: exactly one of `action` and `error` is set."""

    place: str
    memory_id: str
    action: ChangeAction | None
    error: MemoirError | None
    revision: int


def send(memoir: Memoir, source: ImportFile, on_conflict: str, *, patience: float) -> Iterator[ItemResult]:
    """Imports a file and yields one result per item.

    Args:
        memoir: the client.
        source: the checked file.
        on_conflict: as in `Memoir.import_`.
        patience: seconds without any result after which a broken connection is given up. A server that never answered
            is not waited for.

    Raises:
        MemoirError: The stream failed, and did so until patience ended.
    """
    answered: set[int] = set()
    last = time.monotonic()
    while len(answered) < len(source.places):
        # Sequences count what one call sends, from 1.
        sent: list[int] = []

        def unanswered(sent: list[int] = sent) -> Iterator[ExportedMemory]:
            for index, (_, memory) in enumerate(source.read()):
                if index not in answered:
                    sent.append(index)
                    yield memory

        failure: MemoirError = IncompleteStream("import: the server ended the stream before every item had its result")
        try:
            for result in memoir.import_(unanswered(), on_conflict=on_conflict):
                index = sent[result.sequence - 1]
                answered.add(index)
                last = time.monotonic()
                yield ItemResult(source.places[index], result.memory_id, result.action, result.error, result.revision)
        except (Unavailable, DataLoss) as broken:
            failure = broken
        if len(answered) == len(source.places):
            return
        if not answered or time.monotonic() - last > patience:
            raise failure
        time.sleep(_PAUSE)
