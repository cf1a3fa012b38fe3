"""`memoir export`, `memoir import`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from json import dumps as json_text
from pathlib import Path
from typing import Annotated, Literal, TextIO, TypeAlias

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.text import Text

from memoir import ExportedMemory, ExportHeader, ExportRecord, ExportSummary, Memoir
from memoir_server.cli.connection import (
    DEFAULT_NAMESPACE,
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT,
    Agent,
    Json,
    Namespace,
    Session,
    Target,
    Timeout,
    User,
    connect,
    moment,
)
from memoir_server.cli.import_formats import EXPORT_FORMAT, EXPORT_VERSION, Format, detect, read_import
from memoir_server.cli.import_items import Owner
from memoir_server.cli.progress import counting
from memoir_server.cli.render import console, messages, print_json
from memoir_server.cli.replay import replay
from memoir_server.cli.sending import ItemResult, send
from memoir_server.cli.transcript import read_transcript

Step: TypeAlias = tuple[int, Sequence[ItemResult]]
"""So many more items of the file are done, with these results."""


def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="File to write; standard output without it.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME|REVISION", help="What was known at this moment.")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="Also the history of these memories.")] = False,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Also vectors, so that an import need not embed again.")
    ] = False,
    user: User = None,
    agent: Agent = None,
    session: Session = None,
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Write memories as JSON lines that `memoir import` reads: a header, memories, events, a summary.

    They are those of one revision. A broken connection is resumed. FILE appears when it is complete; with --json, its
    summary is printed as JSON.
    """
    known_at = moment(as_of)
    summary: ExportSummary | None = None
    with connect(target, namespace, timeout) as memoir, _written(output) as lines:
        records = memoir.export(
            user_id=user,
            agent_id=agent,
            session_id=session,
            as_of=known_at,
            include_history=history,
            include_embeddings=embeddings,
        )
        for record in _counted(records, quiet=json or output is None):
            lines.write(f"{_line(record, namespace)}\n")
            if isinstance(record, ExportSummary):
                summary = record
    if summary is not None and output is not None:
        if json:
            print_json({"file": str(output), "memories": summary.memories, "events": summary.events})
            return
        events = f" and {summary.events} events" if history else ""
        console.print(f"{summary.memories} memories{events} in {output}", markup=False)


@contextmanager
def _written(output: Path | None) -> Iterator[TextIO]:
    """The stream to write to. A file takes its name when all is written, so that a file that is there is whole."""
    if output is None:
        yield typer.get_text_stream("stdout", encoding="utf-8")
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _counted(records: Iterator[ExportRecord], *, quiet: bool) -> Iterator[ExportRecord]:
    header = next(records)
    yield header
    total = header.estimated_memories if isinstance(header, ExportHeader) else 0
    with counting("exporting", total, quiet=quiet) as advance:
        for record in records:
            yield record
            if isinstance(record, ExportedMemory):
                advance(1)


def _line(record: ExportRecord, namespace: str) -> str:
    if isinstance(record, ExportHeader):
        fields: dict[str, object] = {
            "format": EXPORT_FORMAT,
            "version": EXPORT_VERSION,
            "namespace": namespace,
            "revision": record.revision,
            "estimated_memories": record.estimated_memories,
        }
    elif isinstance(record, ExportSummary):
        fields = {"summary": {"memories": record.memories, "events": record.events}}
    elif isinstance(record, ExportedMemory):
        fields = _fields(record.message)
    else:
        fields = {"event": _fields(record.message)}
    return json_text(fields, ensure_ascii=False, separators=(",", ":"))


def _fields(message: Message) -> dict[str, object]:
    """The contract's JSON, which loses nothing: times keep their nanoseconds, metadata its types."""
    return MessageToDict(message, preserving_proto_field_name=True)


def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="File to read.", show_default=False)],
    form: Annotated[
        Format | None, typer.Option("--format", help="Format; told by the content without it.", show_default=False)
    ] = None,
    on_conflict: Annotated[
        Literal["skip", "replace", "fail"],
        typer.Option("--on-conflict", help="For an id that exists with other content."),
    ] = "skip",
    user: User = None,
    agent: Agent = None,
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Take memories in from a file: an export of Memoir or of mem0, JSON lines, or a transcript.

    A file with a fault is refused before anything is sent. Importing the same file again goes on where it was
    interrupted: what is there is left as it is (a transcript: within a day). --user and --agent are for items that name
    neither; of a transcript, they replace what its header names. Exit status 1 when an item was refused.
    """
    found = form or detect(file)
    if found == "transcript":
        if on_conflict != "skip":
            raise typer.BadParameter("--on-conflict does not go with a transcript, whose messages have no memory ids")
        transcript = read_transcript(file)
        total = len(transcript.messages)

        def results(memoir: Memoir) -> Iterator[Step]:
            owner = user or transcript.user_id
            for turns, result in replay(memoir, transcript, owner, agent or transcript.agent_id):
                # A server that extracts facts makes more or fewer memories than there are messages.
                place = f"{file.name}: session {turns[0].session_id}"
                yield (
                    len(turns),
                    [ItemResult(place, made.memory.id, made.action, None, result.revision) for made in result.changes],
                )

    else:
        if found == "export" and (user is not None or agent is not None):
            raise typer.BadParameter("--user and --agent do not go with an export, whose memories name their owners")
        source = read_import(file, found, Owner(user, agent))
        total = len(source.places)
        if source.remark:
            messages.print(f"note: {source.remark}", markup=False)

        def results(memoir: Memoir) -> Iterator[Step]:
            for result in send(memoir, source, on_conflict.upper(), patience=max(timeout, DEFAULT_TIMEOUT)):
                yield 1, [result]

    with connect(target, namespace, timeout) as memoir:
        refused = _report(results, memoir, total, json=json)
    if refused:
        raise typer.Exit(1)


def _report(results: Callable[[Memoir], Iterator[Step]], memoir: Memoir, total: int, *, json: bool) -> bool:
    """Prints what came of the items, refusals at the end; returns whether there were any."""
    counts: Counter[str] = Counter()
    refused: list[ItemResult] = []
    with counting("importing", total, quiet=json) as advance:
        for items, outcomes in results(memoir):
            advance(items)
            for result in outcomes:
                if json:
                    print_json(result)
                if result.error is not None:
                    refused.append(result)
                elif result.action is not None:
                    counts[result.action.lower()] += 1
    if not json:
        done = [f"{count} {action}" for action, count in sorted(counts.items())]
        if refused:
            done.append(f"{len(refused)} refused")
        console.print(", ".join(done) or "nothing to import")
        for result in refused:
            line = Text(f"{result.place}: ", style="red").append(result.memory_id, style="bold")
            messages.print(line.append(f" {result.error}", style="default"))
    return bool(refused)
