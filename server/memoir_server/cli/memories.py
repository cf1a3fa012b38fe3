"""`memoir add`, `memoir search`, `memoir list`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from memoir import (
    AddMode,
    ChangeAction,
    Memoir,
    PhaseFailed,
    PhaseHits,
    SearchEvent,
    SearchFold,
    SearchHit,
    SearchStarted,
)
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
    instant,
    moment,
)
from memoir_server.cli.progress import counting
from memoir_server.cli.render import console, hit_line, memory_line, messages, print_event_json, print_json
from memoir_server.cli.replay import replay
from memoir_server.cli.transcript import Transcript, read_transcript

ALREADY_KNOWN = "already known"
"""What is said of a memory that was not stored again."""

Kind = Literal["FACT", "PREFERENCE", "EVENT", "PROCEDURE", "SUMMARY"]
Mode = Literal["INFER", "VERBATIM"]
Recipe = Literal["balanced", "semantic", "keyword", "graph", "recent"]


def add(
    text: Annotated[str | None, typer.Argument(help="What to remember.", show_default=False)] = None,
    transcript: Annotated[
        Path | None,
        typer.Option("--transcript", "-t", help="File of the transcript format.", exists=True, dir_okay=False),
    ] = None,
    kind: Annotated[
        Kind | None, typer.Option("--kind", help="Store TEXT as a memory of this kind, not as a message.")
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            help="INFER: facts that the server's language model draws out, which takes seconds: raise --timeout. "
            "VERBATIM: each message as it is.",
            show_default="INFER where the server has a model",
        ),
    ] = None,
    user: User = None,
    agent: Agent = None,
    session: Session = None,
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Remember a message, a fact, or a whole transcript."""
    if (text is None) == (transcript is None):
        raise typer.BadParameter("give either TEXT or --transcript FILE")
    if kind is not None and mode is not None:
        raise typer.BadParameter("--kind stores a fact as it is given; --mode is for messages")
    if transcript is not None and (kind is not None or session is not None):
        raise typer.BadParameter("--kind and --session go with TEXT; a transcript names its own sessions")
    with connect(target, namespace, timeout) as memoir:
        if transcript is not None:
            _add_transcript(memoir, read_transcript(transcript), user=user, agent=agent, mode=mode, json=json)
        elif kind is not None and text is not None:
            memory = memoir.create(text, kind=kind, user_id=user, agent_id=agent, session_id=session)
            if json:
                print_json(memory)
            elif memory.duplicate is not None:
                console.print(ALREADY_KNOWN, memory_line(memory))
            else:
                console.print(memory_line(memory))
        elif text is not None:
            said = [{"role": "user", "content": text}]
            result = memoir.add(said, user_id=user, agent_id=agent, session_id=session, mode=mode)
            if json:
                print_json(result)
                return
            for change in result.changes:
                known = change.action == ChangeAction.UNCHANGED
                console.print(ALREADY_KNOWN if known else change.action.lower(), memory_line(change.memory))
            if result.usage is not None and result.mode == AddMode.VERBATIM and result.changes:
                console.print(result.changes[0].reason, style="yellow", markup=False)
            elif not result.changes:
                console.print("nothing worth remembering")


def _add_transcript(
    memoir: Memoir, transcript: Transcript, *, user: str | None, agent: str | None, mode: Mode | None, json: bool
) -> None:
    owner, added, known = user or transcript.user_id, 0, 0
    with counting("remembering", len(transcript.messages), quiet=json) as advance:
        for turns, result in replay(memoir, transcript, owner, agent or transcript.agent_id, mode=mode):
            known += sum(change.action == ChangeAction.UNCHANGED for change in result.changes)
            added += sum(change.action != ChangeAction.UNCHANGED for change in result.changes)
            advance(len(turns))
            if json:
                print_json(result)
    if not json:
        remark = f", {known} {ALREADY_KNOWN}" if known else ""
        console.print(f"{added} memories of {owner} from {len(transcript.messages)} messages{remark}", markup=False)


def search(
    query: Annotated[str, typer.Argument(help="Question, in plain language.", show_default=False)],
    stream: Annotated[bool, typer.Option("--stream", help="Show hits phase by phase, as they come.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, max=100, help="Hits wanted.")] = 10,
    recipe: Annotated[Recipe, typer.Option("--recipe", help="How to rank.")] = "balanced",
    min_score: Annotated[float | None, typer.Option("--min-score", min=0, max=1, help="Drop weaker hits.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME|REVISION", help="What was known at this moment.")
    ] = None,
    valid_at: Annotated[
        str | None, typer.Option("--valid-at", metavar="TIME", help="What was true at this moment.")
    ] = None,
    user: User = None,
    agent: Agent = None,
    session: Session = None,
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Find memories."""
    known_at, true_at = moment(as_of), instant(valid_at)
    with connect(target, namespace, timeout) as memoir:
        state = SearchFold()
        # The unary search is the fold of this stream, so one way of calling serves both kinds of output.
        for event in memoir.search_stream(
            query,
            user_id=user,
            agent_id=agent,
            session_id=session,
            limit=limit,
            recipe=recipe,
            min_score=min_score,
            as_of=known_at,
            valid_at=true_at,
        ):
            state.apply(event)
            if stream:
                print_event_json(event) if json else _show_event(event)
        result = state.result()
        if json and not stream:
            print_json(result)
        elif not json:
            _show_hits(result.hits)


def _show_event(event: SearchEvent) -> None:
    if isinstance(event, PhaseHits | PhaseFailed):
        report = event.report
        milliseconds = report.elapsed.total_seconds() * 1000
        if isinstance(event, PhaseHits):
            detail = f"{report.candidates} candidates"
        else:
            detail = f"{report.outcome.lower()}: {report.error.message if report.error else ''}"
        console.print(f"{report.phase.lower()} ({milliseconds:.1f} ms, {detail})", style="bold", markup=False)
        for hit in event.new_hits if isinstance(event, PhaseHits) else ():
            console.print("  ", hit_line(hit))
    elif not isinstance(event, SearchStarted):
        console.print("result", style="bold")


def _show_hits(hits: tuple[SearchHit, ...]) -> None:
    for hit in hits:
        console.print(hit_line(hit))
    if not hits:
        messages.print("nothing found", style="dim")


def list_(
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, help="Memories wanted.")] = 50,
    user: User = None,
    agent: Agent = None,
    session: Session = None,
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """List memories, newest first."""
    with connect(target, namespace, timeout) as memoir:
        found = memoir.list(user_id=user, agent_id=agent, session_id=session, page_size=min(limit, 1000))
        for count, memory in enumerate(found, start=1):
            print_json(memory) if json else console.print(memory_line(memory))
            if count == limit:
                return
