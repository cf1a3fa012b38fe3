"""Runs one move again and again, each run killed at another point, and says what servers would meet in between.

A program of its own: it imports everything once, and forks for each run, so that a run costs little more than its work.

    python killed_moves.py DATA     settings in the environment, points as JSON lines on standard input
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from memoir_server.adapters.graph.neo4j import Neo4jGraph
from memoir_server.adapters.index.weaviate import WeaviateIndex
from memoir_server.adapters.ledger.postgres import PostgresLedger, PostgresOptions
from memoir_server.adapters.ledger.postgres.copying import PostgresLedgerTarget
from memoir_server.adapters.ledger.sqlite import SqliteLedger, copying
from memoir_server.app.moving import move
from memoir_server.app.settings import Settings
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.move import MoveResult
from memoir_server.ports.ledger import Ledger
from memoir_server.service.doctor import Doctor
from memoir_server.service.moving import MoveOptions

IMPORTED_LATE = (
    "alembic.config",
    "alembic.runtime.environment",
    "alembic.script",
    "sqlalchemy.dialects.postgresql.psycopg",
)
"""What opening a ledger imports: once here, instead of in every child."""
LIFE_SECONDS = 550
ROWS = 10
"""Of a page: most parts then take several."""

Label = Callable[..., str]

_CALLS: tuple[tuple[type[Any], str, Label], ...] = (
    (copying.SqliteLedgerSource, "keep_note", lambda note: f"note {note.state}"),
    (PostgresLedgerTarget, "begin", lambda *_: "begin"),
    (PostgresLedgerTarget, "write", lambda part, *_: f"write {part}"),
    (PostgresLedgerTarget, "keep_record", lambda record, _: f"record {record.stage}"),
    (WeaviateIndex, "adopt", lambda *_: "adopt index"),
    (WeaviateIndex, "apply", lambda *_, **__: "apply"),
    (Neo4jGraph, "adopt", lambda *_: "adopt graph"),
    (Neo4jGraph, "apply", lambda *_, **__: "apply"),
    (PostgresLedger, "complete", lambda *_, **__: "complete"),
)
"""The calls that a run may be killed before or after, and how they are named."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(point: str, when: str) -> None:
    """Makes the first call of that name kill this process."""

    def armed(call: Callable[..., Any], label: Label) -> Callable[..., Any]:
        async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            meant = label(*args, **kwargs) == point
            if meant and when == "before":
                _die()
            answer = await call(self, *args, **kwargs)
            if meant:
                _die()
            return answer

        return run

    for kind, method, label in _CALLS:
        setattr(kind, method, armed(getattr(kind, method), label))
    check = Doctor.check

    async def checked(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for item in check(self, *args, **kwargs):
            if point == "examine":
                _die()
            yield item

    Doctor.check = checked  # type: ignore[method-assign]


async def _move(data: Path, settings: Settings) -> dict[str, Any]:
    async for item in move(data, settings, MoveOptions()):
        if isinstance(item, MoveResult):
            return {"finished": item.finished, "embedded": item.embedded, "findings": len(item.findings)}
    raise AssertionError("a move ends with its result")


async def _refusal(ledger: Ledger) -> str:
    """What a server says that cannot open it; "" when it can. Where there is none, it would make one."""
    try:
        await ledger.open()
    except StoreUnavailable as refusal:
        return str(refusal)
    await ledger.close()
    return ""


def _in_child(work: Callable[[], object]) -> tuple[int, str]:
    """The signal that ended the child that did the work, 0 for none, and what it said."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        signal.alarm(LIFE_SECONDS)
        try:
            said = json.dumps(work())
        except BaseException as failure:  # noqa: BLE001 - told to the test, which fails of it
            said = json.dumps(f"{type(failure).__name__}: {failure}")
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return (os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0), said


def main() -> None:
    """One run per point, then one that nothing ends."""
    for name in IMPORTED_LATE:
        importlib.import_module(name)
    data = Path(sys.argv[1])
    settings = Settings.load(None, os.environ)
    options = PostgresOptions(url=settings.ledger.url)
    copying.MOST_ROWS = ROWS  # type: ignore[misc]
    begun = False
    for point, when in [*map(json.loads, sys.stdin), ("nothing", "after")]:

        def run(point: str = point, when: str = when) -> object:
            _arm(point, when)
            return asyncio.run(_move(data, settings))

        ended, said = _in_child(run)
        begun |= (point, when) == ("begin", "after")

        async def refusals(begun: bool = begun) -> dict[str, str]:
            there = await _refusal(PostgresLedger(options)) if begun else ""
            return {"there": there, "here": await _refusal(SqliteLedger(data))}

        _, met = _in_child(lambda: asyncio.run(refusals()))
        told = {"point": f"{when} {point}", "signal": ended, "said": said, **json.loads(met)}
        sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    signal.alarm(LIFE_SECONDS)
    main()
