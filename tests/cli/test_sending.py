"""An import whose connection breaks: items without a result are sent again."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import pytest

from memoir import ChangeAction, ExportedMemory, ImportResult, IncompleteStream, Memoir, Unavailable
from memoir_server.cli import sending
from memoir_server.cli.import_formats import ImportFile, read_import
from memoir_server.cli.import_items import Owner

ITEMS = 5


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImportFile:
    monkeypatch.setattr(sending, "_PAUSE", 0.0)
    path = tmp_path / "data"
    path.write_text("\n".join(f'{{"text": "{n}", "user_id": "ana", "memory_id": "m{n}"}}' for n in range(ITEMS)))
    return read_import(path, "lines", Owner())


class Breaking:
    """Stands for a client whose n-th call answers `answers[n]` of its items, the last ones first, and breaks."""

    def __init__(self, *answers: int, quiet: bool = False) -> None:
        self._answers = list(answers)
        self._quiet = quiet
        self.calls: list[list[str]] = []

    def import_(self, memories: Iterable[ExportedMemory], *, on_conflict: str) -> Iterator[ImportResult]:
        assert on_conflict == "SKIP"
        ids = [item.memory.id for item in memories]
        self.calls.append(ids)
        count = self._answers.pop(0)
        for sequence in range(len(ids), len(ids) - count, -1):
            yield ImportResult(sequence, ids[sequence - 1], ChangeAction.ADDED, None, 1)
        if count < len(ids) and not self._quiet:
            raise Unavailable("gone")


def sent(client: Breaking, source: ImportFile, patience: float = 60) -> list[str]:
    results = sending.send(cast(Memoir, client), source, "SKIP", patience=patience)
    return [f"{result.place} {result.memory_id}" for result in results]


def test_what_has_no_result_is_sent_again(source: ImportFile) -> None:
    client = Breaking(2, 0, 1, 2)
    assert sorted(sent(client, source)) == [f"data:{n + 1} m{n}" for n in range(ITEMS)]
    assert client.calls == [["m0", "m1", "m2", "m3", "m4"], ["m0", "m1", "m2"], ["m0", "m1", "m2"], ["m0", "m1"]]


def test_a_stream_that_ends_early_without_an_error_is_gone_on_with(source: ImportFile) -> None:
    client = Breaking(4, 1, quiet=True)
    assert len(sent(client, source)) == ITEMS
    assert client.calls[1] == ["m0"]


def test_a_server_that_never_answered_is_not_waited_for(source: ImportFile) -> None:
    client = Breaking(0, 5)
    with pytest.raises(Unavailable):
        sent(client, source)
    assert len(client.calls) == 1


def test_patience_ends(source: ImportFile) -> None:
    with pytest.raises(Unavailable):
        sent(Breaking(1, 0), source, patience=0)
    with pytest.raises(IncompleteStream):
        sent(Breaking(1, 0, quiet=True), source, patience=0)
