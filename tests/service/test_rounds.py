"""The doctor's rounds: what is wrong is said, and a round that cannot be finished does not end them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from memoir_server.domain.store import StoreKind
from memoir_server.service.rounds import Rounds
from tests.service.harness import NS, Memoir, calling, until
from tests.service.test_doctor import doctor_of
from tests.service.test_poison import given_up, spoils_index

INDEX = StoreKind.INDEX


def rounds_of(memoir: Memoir, *, seconds: float = 0.0, sample: int = 0) -> Rounds:
    return Rounds(doctor_of(memoir), memoir.ledger, seconds=seconds, sample=sample)


def said(caplog: pytest.LogCaptureFixture, words: str) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        return words in caplog.text

    return condition


async def spoil_one(memoir: Memoir) -> None:
    memoir.index_faults.refuse("apply", spoils_index("bad"))
    await memoir.create("Ana likes tea", memory_id="good", call=calling(0.3))
    await memoir.create("tea that is bad", memory_id="bad", call=calling(0.3))
    await given_up(memoir, INDEX)
    memoir.index_faults.up()


@pytest.mark.parametrize("sample", [0, 10])
async def test_a_round_counts_what_is_wrong_and_says_it(
    memoir: Memoir, sample: int, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = rounds_of(memoir, sample=sample)
    assert await rounds.go() == 0
    assert not caplog.records
    await spoil_one(memoir)
    caplog.clear()
    assert await rounds.go() == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"the index of namespace {NS} disagrees with the ledger: 1 missing; run memoir doctor --repair"
    ]


async def test_rounds_go_on_after_an_outage(memoir: Memoir, caplog: pytest.LogCaptureFixture) -> None:
    await spoil_one(memoir)
    memoir.index_faults.down()
    rounds = rounds_of(memoir, seconds=0.01)
    await rounds.start()
    await until(said(caplog, "was broken off"))
    assert "disagrees" not in caplog.text
    memoir.index_faults.up()
    await until(said(caplog, "disagrees"))
    await rounds.stop()


async def test_rounds_go_on_after_a_failure_of_their_own(
    memoir: Memoir, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spoil_one(memoir)
    whole = memoir.ledger.namespaces
    failures = iter([True])

    async def fails_once() -> Sequence[str]:
        if next(failures, False):
            raise RuntimeError("boom")
        return await whole()

    monkeypatch.setattr(memoir.ledger, "namespaces", fails_once)
    rounds = rounds_of(memoir, seconds=0.01)
    await rounds.start()
    await until(said(caplog, "the doctor's round failed"))
    await until(said(caplog, "disagrees"))
    await rounds.stop()
    assert "boom" in caplog.text


async def test_without_a_time_there_are_none(memoir: Memoir, caplog: pytest.LogCaptureFixture) -> None:
    await spoil_one(memoir)
    rounds = rounds_of(memoir)
    await rounds.start()
    caplog.clear()
    await memoir.found("tea")
    await rounds.stop()
    assert not caplog.records
