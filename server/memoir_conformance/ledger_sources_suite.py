"""What a ledger says of the sources of facts."""

from __future__ import annotations

from memoir_conformance.ledger_model import (
    ALICE,
    BOB,
    NOW,
    NS,
    SECOND,
    LedgerFixtures,
    create,
    delete,
    erase_all,
    execute,
    fact,
    finish,
    planned,
    rich,
    update,
)
from memoir_server.domain.reset import ResetTarget
from memoir_server.ports.ledger import Ledger


class SourcesSuite(LedgerFixtures):
    """`Ledger.standing`."""

    async def test_versions_stand_while_their_memory_exists(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("b"), fact("c", expire_time=NOW + SECOND))
        await update(ledger, "a", text="likes coffee")
        await delete(ledger, "b")
        every = range(-1, 9)
        assert await ledger.standing(NS, every, [], now=NOW) == {1, 3, 4}
        assert await ledger.standing(NS, every, [], now=NOW + SECOND) == {1, 4}
        assert await ledger.standing(NS, [3], every, now=NOW) == {3}
        assert await ledger.standing("elsewhere", every, every, now=NOW) == frozenset()
        await create(ledger, fact("b"))
        assert await ledger.standing(NS, range(500), [], now=NOW) == {1, 3, 4, 6}

    async def test_a_last_word_that_was_kept_stands_until_an_erasure(self, ledger: Ledger) -> None:
        await create(ledger, rich("a"), rich("b"), rich("bob", scope=BOB))
        await update(ledger, "a", text="Alice moved again")
        await delete(ledger, "b")
        await planned(ledger, ResetTarget(scope=ALICE, keep_graph=True))
        await execute(ledger)
        assert await ledger.standing(NS, range(9), [], now=NOW) == {3}
        assert await ledger.standing(NS, [], range(9), now=NOW) == {4}
        await finish(ledger)
        await create(ledger, rich("a"))
        await delete(ledger, "a")
        assert await ledger.standing(NS, [], range(20), now=NOW) == {4}
        await planned(ledger, ResetTarget(scope=ALICE, include_history=True), "erase")
        await execute(ledger, "erase")
        assert await ledger.standing(NS, [], range(20), now=NOW) == frozenset()
        await erase_all(ledger, "erase")
        assert await ledger.standing(NS, range(20), range(20), now=NOW) == {3}
