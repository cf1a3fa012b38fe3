"""Values that PostgreSQL would rather not hold, or would compare in another way."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from memoir_conformance.ledger_model import NOW, create, delete, fact, request, rich, select, update
from memoir_server.adapters.ledger.postgres import PostgresLedger
from memoir_server.adapters.ledger.postgres.adaptation import given_text, stored_text
from memoir_server.adapters.ledger.sqlite import SqliteLedger
from memoir_server.domain.filter import Compare, Operator, matches
from memoir_server.domain.memory import NEVER, MemoryKind, Provenance, Scope
from memoir_server.domain.scopes import ScopeDimension
from memoir_server.ports.ledger import HistoryQuery, Ledger
from stores.postgresql import Postgresql
from tests.conformance.postgres_model import opened, options, others_see, server

pytestmark = pytest.mark.stores

__all__ = ["server"]

ODD = st.text(st.sampled_from("\x00\x01\x02a\U0001f600\uffffé'\"\\%_{},"), max_size=5)
UNDISTURBED = settings(
    max_examples=int(os.environ.get("MEMOIR_EXAMPLES", "30")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def run(runner: asyncio.Runner) -> Callable[[Awaitable[None]], None]:
    async def wait(law: Awaitable[None]) -> None:
        await law

    return lambda law: runner.run(wait(law))


@pytest.fixture(scope="module")
def shared(runner: asyncio.Runner, server: Postgresql) -> Iterator[Ledger]:
    ledger = PostgresLedger(options(server))
    runner.run(ledger.open())
    yield ledger
    runner.run(ledger.close())


class Numbers:
    """Namespaces that no example has used."""

    last = 0

    @classmethod
    def namespace(cls) -> str:
        cls.last += 1
        return f"law-{cls.last}"


@given(text=st.text(), other=st.text())
@example(text="\x00\x01", other="\x00")
@example(text="\x01\x01", other="\x00")
@example(text="\x01\x02", other="\x01")
def test_stored_texts_are_texts_and_keep_their_order(text: str, other: str) -> None:
    assert "\x00" not in stored_text(text)
    assert given_text(stored_text(text)) == text
    assert (stored_text(text).encode() < stored_text(other).encode()) == (text < other)
    assert (stored_text(text) == stored_text(other)) == (text == other)


@UNDISTURBED
@given(drawn=st.lists(st.tuples(ODD, ODD, ODD), min_size=1, max_size=5, unique_by=lambda d: d[0]))
def test_ids_and_texts_of_every_character_are_kept_and_ordered(
    drawn: list[tuple[str, str, str]], run: Callable[[Awaitable[None]], None], shared: Ledger
) -> None:
    namespace = Numbers.namespace()

    async def law() -> None:
        memories = [
            replace(
                fact(memory_id, text, Scope(user, text, memory_id)),
                namespace=namespace,
                kind=MemoryKind.EPISODE,
                metadata={"k": text, "l": (user, text)},
                provenance=(Provenance(actor_id=text, message_id=user),),
            )
            for memory_id, user, text in drawn
        ]
        await create(shared, *memories, key=replace(request(), namespace=namespace, request_id=namespace))
        listed = await shared.list_memories(namespace, select(), after=None, limit=100)
        assert [m.memory_id for m in listed] == sorted(m.memory_id for m in memories)
        by_id = {memory.memory_id: memory for memory in memories}
        for found in listed:
            assert replace(found, revision=0, update_time=0, turn=0) == by_id[found.memory_id]
            assert found.turn == 1
        users = await shared.scopes(namespace, ScopeDimension.USER, Scope(), after="", limit=100, now=NOW)
        assert [count.scope.user_id for count in users] == sorted({user for _, user, _ in drawn} - {""})
        for memory in memories:
            for field, value in (("text", memory.text), ("metadata.k", memory.text), ("user_id", memory.scope.user_id)):
                for operator in (Operator.EQUAL, Operator.LESS, Operator.GREATER_OR_EQUAL):
                    filter_ = Compare(field, operator, value or "")
                    covered = await shared.versions_matching(namespace, select(filter=filter_))
                    assert covered.tolist() == sorted(m.revision for m in listed if matches(filter_, m))
            history = await shared.history(namespace, HistoryQuery(memory_id=memory.memory_id), limit=10)
            assert [change.memory_id for change in history] == [memory.memory_id]
            said = await shared.speakers(namespace, memory.scope, limit=5)
            assert list(said) == ([memory.text] if memory.text else [])

    run(law())


_NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.sampled_from([0, -0.0, 5e-324, 1.7e308, 2**53, 2.0**53, 2**53 + 1, 2**63 - 1, 2.0**63, math.nan, math.inf]),
)


@UNDISTURBED
@given(stored=st.lists(_NUMBERS, min_size=1, max_size=6), constants=st.lists(_NUMBERS, min_size=1, max_size=6))
def test_numbers_compare_exactly(
    stored: list[float], constants: list[float], run: Callable[[Awaitable[None]], None], shared: Ledger
) -> None:
    namespace = Numbers.namespace()

    async def law() -> None:
        memories = [
            replace(fact(f"m{i}"), namespace=namespace, metadata={"n": n}, importance=n) for i, n in enumerate(stored)
        ]
        await create(shared, *memories)
        kept = await shared.list_memories(namespace, select(), after=None, limit=100)
        for memory, number in zip(kept, stored, strict=True):
            again = memory.metadata["n"]
            assert repr(again) == repr(number)
        for constant in [*constants, *stored]:
            for operator in (
                *(Operator.EQUAL, Operator.NOT_EQUAL, Operator.LESS, Operator.LESS_OR_EQUAL),
                *(Operator.GREATER, Operator.GREATER_OR_EQUAL),
            ):
                filter_ = Compare("metadata.n", operator, constant)
                found = await shared.versions_matching(namespace, select(filter=filter_))
                assert found.tolist() == sorted(m.revision for m in kept if matches(filter_, m)), filter_
        present = Compare("metadata.n", Operator.EXISTS, True)
        assert len(await shared.versions_matching(namespace, select(filter=present))) == len(stored)

    run(law())


async def test_ids_of_the_greatest_length_find_room(server: Postgresql) -> None:
    """A row of an index holds some 2,700 bytes; ids have up to 256 characters of up to 4 bytes, hard to compress."""
    long = ["".join(chr(0x10000 + (i * 7919 + n * 104729) % 0xFFFF) for i in range(256)) for n in range(6)]
    scope = Scope(long[0], long[1], long[2])
    async with opened(options(server)) as ledger:
        said = Provenance(session_id=long[2], message_id=long[3], actor_id=long[4])
        episode = replace(
            fact(long[5][:128], "x" * 65536, scope),
            kind=MemoryKind.EPISODE,
            provenance=(said,),
            metadata={"k": "é" * 8192},
        )
        await create(ledger, episode)
        await update(ledger, episode.memory_id, text="y" * 65536)
        (found,) = await ledger.list_memories("lab", select(scope=scope), after=None, limit=5)
        assert (found.turn, found.text, found.speaker) == (1, "y" * 65536, long[4])
        assert await ledger.speakers("lab", scope, limit=3) == [long[4]]
        filter_ = Compare("metadata.k", Operator.EQUAL, "é" * 8192)
        assert (await ledger.versions_matching("lab", select(filter=filter_))).tolist() == [2]
        await delete(ledger, episode.memory_id)
        assert await ledger.speakers("lab", scope, limit=3) == []


async def test_a_thousand_changes_are_one_mutation(server: Postgresql) -> None:
    async with opened(options(server)) as ledger:
        memories = [rich(f"m{number}") for number in range(1_000)]
        assert (await create(ledger, *memories)).revision == 1_000
        revisions = range(1, 1_001)
        held = await ledger.hydrate("lab", revisions, select())
        assert sorted(held) == list(revisions)
        found = await ledger.get("lab", [m.memory_id for m in memories], revision=NEVER - 1, now=NOW)
        assert len(found) == 1_000
        await delete(ledger, *found)
        assert await ledger.hydrate("lab", revisions, select()) == {}
        assert await ledger.verify_chain("lab")


async def test_it_chains_as_the_embedded_ledger_does(server: Postgresql, tmp_path: Path) -> None:
    """With the same salts, the same changes have the same digests: a ledger that moves keeps its chain."""

    def salts(count: int) -> bytes:
        return b"\x07" * count

    async def write(ledger: Ledger) -> None:
        await create(ledger, rich("a"), fact("b"))
        await update(ledger, "b", text="likes coffee")
        await delete(ledger, "a", keep_facts=True)

    settings_ = options(server)
    ledger = PostgresLedger(settings_, entropy=salts)
    await ledger.open()
    embedded = SqliteLedger(tmp_path, entropy=salts)
    await embedded.open()
    for each in (ledger, embedded):
        await write(each)
    assert ledger.ledger_id == embedded.ledger_id
    history = [await each.history("lab", HistoryQuery(), limit=100) for each in (ledger, embedded)]
    assert history[0] == history[1]
    with others_see(settings_) as beside:
        ((chain,),) = beside.execute("SELECT chain FROM namespaces").fetchall()
    row = embedded._opened.heads.row("lab")
    assert row is not None
    assert chain == row.chain
    await ledger.close()
    await embedded.close()
