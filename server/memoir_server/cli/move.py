"""`memoir move`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from memoir_server.app.settings import Settings
from memoir_server.cli.connection import Json
from memoir_server.cli.render import console, messages, print_json
from memoir_server.cli.serve import fetch_missing_model
from memoir_server.domain.consistency import Finding
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.move import MoveRemark, MoveResult, MoveStep, Phase
from memoir_server.ports.embedder import EmbedderUnavailable

_SHOWN = 20
"""Findings that are listed; the rest are counted."""


def move(
    source: Annotated[
        Path, typer.Option("--from", metavar="DIR", help="Data directory of an embedded server.", file_okay=False)
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Settings file (TOML) that names the new stores.", exists=True, dir_okay=False
        ),
    ] = None,
    keep_source: Annotated[
        bool, typer.Option("--keep-source", help="Servers may go on with the directory: this is a rehearsal.")
    ] = False,
    accept_findings: Annotated[
        bool, typer.Option("--accept-findings", help="Finish although the doctor could not repair everything.")
    ] = False,
    json: Json = False,
) -> None:
    """Move everything a stopped embedded server keeps into the stores of the distributed profile.

    Ids, revisions, history and tokens stay what they are. Nothing is written meanwhile, and no server opens either side
    until all is copied, compared and examined. A run that was interrupted is gone on with by the next. Exit status 1
    when the doctor's findings are left over.
    """
    settings = Settings.load(config, os.environ, {})
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    fetch_missing_model(settings)
    result = asyncio.run(_run(source, settings, keep_source=keep_source, accept_findings=accept_findings, json=json))
    if json:
        print_json(_fields(result))
    else:
        _show(result)
    if not result.finished:
        raise typer.Exit(1)


async def _run(source: Path, settings: Settings, *, keep_source: bool, accept_findings: bool, json: bool) -> MoveResult:
    # Pulls in the whole server, which the other commands do without.
    from memoir_server.app import moving
    from memoir_server.service.moving import MoveOptions

    options = MoveOptions(keep_source=keep_source, accept_findings=accept_findings)
    begun = False
    try:
        with _bars(quiet=json) as advance:
            async with aclosing(moving.move(source, settings, options)) as items:
                async for item in items:
                    if isinstance(item, MoveStep):
                        begun |= item.phase is not Phase.CHECKING
                        advance(item)
                    elif isinstance(item, MoveRemark):
                        messages.print(f"note: {item.text}", markup=False)
                    else:
                        return item
    except (StoreUnavailable, EmbedderUnavailable, asyncio.CancelledError):
        if begun:
            messages.print("the move is not finished: run the same command again, it goes on where it stopped")
        raise
    raise AssertionError("a move ends with its result")


@contextmanager
def _bars(*, quiet: bool) -> Iterator[Callable[[MoveStep], None]]:
    """A bar per phase, which stays. Where standard error is no terminal, one line when a phase begins."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = quiet or not messages.is_terminal
    with Progress(*columns, console=messages, disable=hidden) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(step: MoveStep) -> None:
            if step.phase not in tasks:
                tasks[step.phase] = progress.add_task(step.phase, total=step.total)
                if hidden and not quiet:
                    messages.print(f"{step.phase} ...", markup=False)
            progress.update(tasks[step.phase], completed=step.done, total=step.total)

        yield advance


def _show(result: MoveResult) -> None:
    """What was moved, and what to do now."""
    if result.moved_before:
        console.print(f"{result.source} was already moved to {result.target}; nothing was changed", markup=False)
        return
    for finding in result.findings[:_SHOWN]:
        console.print(_line(finding))
    if len(result.findings) > _SHOWN:
        console.print(f"... and {len(result.findings) - _SHOWN} more")
    rows = ", ".join(f"{count} {part}" for part, count in result.rows.items() if count)
    console.print(f"copied {rows or 'an empty ledger'}", markup=False)
    done = [f"{result.memories} memories", f"{result.embedded} texts embedded"]
    if result.repaired:
        done.append(f"{result.repaired} findings repaired")
    done.append(f"{len(result.findings)} findings left" if result.findings else "nothing wrong")
    console.print("; ".join(done))
    if result.finished:
        console.print(f"{result.source} is moved to {result.target}: start servers with these settings", markup=False)
    else:
        messages.print("the move is not finished: run it again, or add --accept-findings and run it again")


def _line(finding: Finding) -> Text:
    line = Text(f"{finding.kind.name.lower():<18} ", style="red")
    line.append(f"{finding.store.name.lower():<6} ", style="cyan")
    return line.append(finding.message)


def _fields(result: MoveResult) -> dict[str, object]:
    findings = [
        {"id": f.finding_id, "kind": f.kind.name, "store": f.store.name, "message": f.message} for f in result.findings
    ]
    fields: dict[str, object] = {
        name: getattr(result, name) for name in ("source", "target", "finished", "moved_before")
    }
    fields |= {name: getattr(result, name) for name in ("heads", "rows", "memories", "embedded", "repaired")}
    return fields | {"findings": findings}
