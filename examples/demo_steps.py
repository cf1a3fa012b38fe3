"""The steps of the demo, each over the public surface of the Python SDK."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from examples.demo_material import Material, Question, speaker
from memoir import (
    HistoryEvent,
    Memoir,
    MemoirError,
    Memory,
    MemoryKind,
    PhaseHits,
    Reset,
    ResetState,
    SearchFold,
    SearchHit,
)
from memoir_server.cli.transcript import Transcript

ROOT: Final = Path(__file__).resolve().parent.parent
TOP: Final = 5
CONCERT: Final = "demo-concert"
WATCH_SECONDS: Final = 20.0


class StepFailed(Exception):
    """A step did not show what it must; says what came instead."""


@dataclass(slots=True)
class Demo:
    """What the steps share. `revision` is the newest one the demo knows, `before_update` the one of the old date."""

    console: Console
    memoir: Memoir
    target: str
    transcript: Transcript
    material: Material
    directory: Path
    revision: int = 0
    before_update: int = 0

    @property
    def user(self) -> str:
        """Whose memories they are."""
        return self.transcript.user_id

    def line(self, text: Text) -> None:
        """One line, cut to the width of the terminal."""
        self.console.print(text, no_wrap=True, overflow="ellipsis")

    def note(self, text: str) -> None:
        """A remark in small print; markup in it is shown, not obeyed."""
        self.console.print(text, style="dim", markup=False)


def remember(demo: Demo) -> None:
    """Replays the transcript, one `add` per session (200 messages at most)."""
    messages = demo.transcript.messages
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started, stored = time.perf_counter(), 0
    with Progress(*columns, console=demo.console, transient=True) as progress:
        task = progress.add_task("remembering", total=len(messages))
        for session_id, turns in demo.transcript.batches():
            result = demo.memoir.add(
                [turn.as_dict() for turn in turns],
                user_id=demo.user,
                agent_id=demo.transcript.agent_id,
                session_id=session_id,
                timeout=120,
            )
            stored += len(result.changes)
            demo.revision = result.revision
            progress.advance(task, len(turns))
    seconds = time.perf_counter() - started
    demo.console.print(
        f"{len(messages)} messages of {demo.transcript.sessions} sessions became {stored} memories, "
        f"searchable, in {seconds:.1f} s (revision {demo.revision})"
    )
    if stored != len(messages):
        raise StepFailed(f"{len(messages)} messages were sent and {stored} memories came back")


def ask_from_python(demo: Demo) -> None:
    """Asks the questions with streaming search and looks for the evidence."""
    for remark in demo.material.remarks[:1]:
        demo.note(remark)
    demo.note(
        f"First two of {TOP} hits: score, message, date, speaker. ● marks the expected evidence. "
        "A score is the hit's own; the order comes from all arms together."
    )
    some = every = 0
    for number, question in enumerate(demo.material.questions, start=1):
        hits = _ask(demo, number, question)
        expected, cited = set(question.evidence), {message for hit in hits for message in _sources(hit.memory)}
        found = len(expected & cited)
        some, every = some + (found > 0), every + (found == len(expected))
        verdict = f"   evidence: {found} of {len(expected)} messages among the first {TOP}"
        demo.console.print(verdict, style="green" if found else "yellow")
    total = len(demo.material.questions)
    demo.console.print(
        f"\n[bold]{some} of {total}[/] questions have evidence among the first {TOP} hits, {every} of {total} all of it"
    )


def _ask(demo: Demo, number: int, question: Question) -> tuple[SearchHit, ...]:
    started = time.perf_counter()
    state, first = SearchFold(), ""
    for event in demo.memoir.search_stream(question.text, user_id=demo.user, limit=TOP):
        state.apply(event)
        if not first and isinstance(event, PhaseHits) and event.new_hits:
            elapsed = (time.perf_counter() - started) * 1000
            first = f"{event.report.phase.lower()} hits after {elapsed:.0f} ms, "
    total = (time.perf_counter() - started) * 1000
    demo.console.print(Text(f"\n{number:>2}. ").append(question.text, style="bold"))
    demo.note(f"   {first}final order after {total:.0f} ms")
    hits = state.result().hits
    for rank, hit in enumerate(hits, start=1):
        expected = bool(set(question.evidence) & set(_sources(hit.memory)))
        if rank <= 2 or expected:
            demo.line(_hit_line(hit, expected=expected))
    return hits


def _sources(memory: Memory) -> list[str]:
    return [source.message_id for source in memory.provenance if source.message_id]


def _hit_line(hit: SearchHit, *, expected: bool = False) -> Text:
    """Score, a mark for expected evidence; of a message its id, date and speaker, of a fact its id and start."""
    memory = hit.memory
    line = Text(f"   {hit.score:.2f} ", style="cyan")
    line.append("● " if expected else "  ", style="green")
    if memory.kind == MemoryKind.EPISODE and memory.provenance:
        source = memory.provenance[0]
        line.append(f"{source.message_id or memory.id:<9} ", style="bold")
        line.append(f"{memory.create_time:%Y-%m-%d} " if memory.create_time else "", style="dim")
        line.append(f"{source.actor_id}: " if source.actor_id else "", style="magenta")
    else:
        line.append(f"{memory.id} ", style="bold")
        line.append(f"since {memory.valid_from:%Y-%m-%d} " if memory.valid_from else "", style="dim")
    return line.append(" ".join(memory.text.split()), style="default")


def ask_from_node(demo: Demo) -> None:
    """The same questions through the Node SDK, in a process of its own."""
    package = ROOT / "sdk-node"
    built = package / "dist" / "esm" / "index.js"
    newest = max(file.stat().st_mtime for file in (package / "src").rglob("*.ts"))
    if not built.is_file() or built.stat().st_mtime < newest:
        with demo.console.status("building the Node SDK ..."):
            _run(["npm", "--prefix", str(package), "run", "--silent", "build"])
    questions = demo.directory / "questions.json"
    asked = [{"question": item.text, "evidence": item.evidence} for item in demo.material.questions]
    questions.write_text(json.dumps({"questions": asked}), encoding="utf-8")
    script = ROOT / "examples" / "demo.mjs"
    said = _run(["node", str(script), "--target", demo.target, "--user", demo.user, "--questions", str(questions)])
    for line in said.splitlines():
        demo.line(Text(line))


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except FileNotFoundError as fault:
        raise StepFailed(f"{command[0]} was not found; install Node 20 or newer") from fault
    if done.returncode != 0:
        raise StepFailed(f"{command[0]} ended with status {done.returncode}:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def follow_history(demo: Demo) -> None:
    """Watches in the background while a fact is created and updated."""
    name = speaker(demo.transcript)
    events: list[HistoryEvent] = []
    failures: list[MemoirError] = []
    start = demo.memoir.server_info().revision + 1

    def watch() -> None:
        try:
            with demo.memoir.watch(user_id=demo.user, start_revision=start, timeout=WATCH_SECONDS) as stream:
                for event in stream:
                    events.append(event)
                    demo.line(_event_line(event))
                    if len(events) == 2:
                        return
        except MemoirError as failure:
            failures.append(failure)

    watcher = threading.Thread(target=watch, name="demo-watch")
    watcher.start()
    try:
        demo.console.print("create: the concert is on 21 November")
        created = demo.memoir.create(
            f"{name}'s concert is on 21 November 2026.",
            kind="EVENT",
            user_id=demo.user,
            memory_id=CONCERT,
            entities=[{"name": name, "type": "person"}, {"name": "orchestra", "type": "organisation"}],
            relations=[(name, "PLAYS_IN", "orchestra")],
        )
        demo.before_update = created.revision
        # Long enough to see that the event arrives by itself, before the next call is made.
        _until(lambda: bool(events) or bool(failures))
        demo.console.print("update: it moved to 28 November, if nobody changed it meanwhile (etag)")
        updated = demo.memoir.update(
            CONCERT,
            text=f"{name}'s concert is on 28 November 2026.",
            etag=created.etag,
            reason="the hall was taken",
        )
        demo.revision = updated.revision
    finally:
        watcher.join(WATCH_SECONDS + 5)
    if failures:
        raise failures[0]
    if [event.type for event in events] != ["CREATED", "UPDATED"]:
        raise StepFailed(f"the watch delivered {[str(event.type) for event in events]}, not CREATED and UPDATED")


def _until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + WATCH_SECONDS
    while not reached() and time.monotonic() < end:
        time.sleep(0.01)


def _event_line(event: HistoryEvent) -> Text:
    line = Text("   watch  ", style="cyan")
    line.append(f"{event.revision} {event.type} {event.memory_id} ", style="bold")
    memory = event.after or event.before
    line.append(memory.text if memory else "", style="default")
    return line.append(f"  ({event.reason})" if event.reason else "", style="dim")


def state_facts(demo: Demo) -> None:
    """Sends facts with entities and relations; asks at two dates, and through the graph."""
    for remark in demo.material.remarks[1:]:
        demo.note(remark)
    turns = {turn.message_id: turn for turn in demo.transcript.messages}
    for fact in demo.material.facts:
        demo.memoir.create(
            fact.text,
            kind=fact.kind,
            user_id=demo.user,
            agent_id=demo.transcript.agent_id,
            memory_id=fact.memory_id,
            valid_from=fact.valid_from,
            entities=fact.entities,
            relations=fact.relations,
            supersedes=fact.supersedes,
            provenance=[
                {
                    "session_id": turn.session_id,
                    "message_id": turn.message_id,
                    "role": turn.role,
                    "actor_id": turn.actor_id,
                    "create_time": turn.create_time,
                }
                for turn in (turns[source] for source in fact.sources)
            ],
        )
    relations = sum(len(fact.relations) for fact in demo.material.facts)
    demo.console.print(f"{len(demo.material.facts)} facts with {relations} relations sent")
    question = demo.material.dated_question
    for date in ("2026-03-01", "2026-07-01"):
        hits = demo.memoir.search(
            question, user_id=demo.user, limit=1, filter={"kind": "FACT"}, valid_at=f"{date}T00:00:00Z"
        ).hits
        demo.console.print(Text(f"\n{question} ", style="bold").append(f"true on {date}", style="cyan"))
        _show(demo, hits)
    question = demo.material.graph_question
    demo.console.print(Text(f"\n{question} ", style="bold").append("graph recipe", style="cyan"))
    hits = demo.memoir.search(question, user_id=demo.user, limit=3, recipe="graph").hits
    _show(demo, hits)
    if not any(hit.relations for hit in hits):
        demo.console.print("   no hit names a relation", style="yellow")


def _show(demo: Demo, hits: tuple[SearchHit, ...]) -> None:
    if not hits:
        raise StepFailed("the search found nothing")
    for hit in hits:
        demo.line(_hit_line(hit))
        if hit.memory.kind != MemoryKind.EPISODE and _sources(hit.memory):
            demo.note(f"        rests on {', '.join(_sources(hit.memory))}")
        for relation in hit.relations[:3]:
            demo.note(f"        {relation.subject.name} {relation.predicate} {relation.object.name}")


def search_the_past(demo: Demo) -> None:
    """The same question now, and as of the revision before the update."""
    question = f"When is {speaker(demo.transcript)}'s concert?"
    for label, as_of, expected in (
        ("now", None, "28 November"),
        ("before the update", demo.before_update, "21 November"),
    ):
        hits = demo.memoir.search(question, user_id=demo.user, limit=1, filter={"memory_id": CONCERT}, as_of=as_of).hits
        moment = label if as_of is None else f"as of revision {as_of}, {label}"
        demo.console.print(Text(f"{question} ", style="bold").append(moment, style="cyan"))
        _show(demo, hits)
        if expected not in hits[0].memory.text:
            raise StepFailed(f"{moment} the answer must be {expected}")


def erase(demo: Demo) -> None:
    """Plans and executes an erasure, follows it, shows the receipt, and looks for what may be left."""
    plan = demo.memoir.plan_reset(user_id=demo.user, include_history=True)
    counts = ", ".join(f"{store.lower()} {count}" for store, count in plan.counts.items())
    demo.console.print(f"plan: entries to remove: {counts}")
    for warning in plan.warnings:
        demo.note(f"   note: {warning}")
    latest: Reset = demo.memoir.execute_reset(plan)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=demo.console, transient=True
    ) as progress:
        bars = {
            effect.store: progress.add_task(effect.store.lower(), total=effect.planned) for effect in latest.effects
        }
        for latest in demo.memoir.watch_reset(latest, timeout=300):  # noqa: B020 -- the last one is the result
            for effect in latest.effects:
                progress.update(bars[effect.store], completed=effect.removed)
    if latest.state != ResetState.SUCCEEDED or latest.receipt is None:
        raise StepFailed(f"the reset ended as {latest.state}: {latest.error or 'without a receipt'}")
    receipt = latest.receipt
    table = Table("store", "removed", "found by the probe afterwards", title="Receipt", title_justify="left")
    for store in receipt.stores:
        table.add_row(store.store.lower(), str(store.removed), str(store.remaining))
    demo.console.print(table)
    demo.console.print(f"{receipt.memories} memories and {receipt.events_erased} history events erased")
    demo.console.print(f"digest {receipt.digest}", style="dim")
    left = sum(len(demo.memoir.search(question.text, user_id=demo.user).hits) for question in demo.material.questions)
    stubs = list(demo.memoir.history(types=["ERASED"]))
    with_text = [event for event in demo.memoir.history() if event.before is not None or event.after is not None]
    demo.console.print(
        f"the {len(demo.material.questions)} questions now find {left} memories; "
        f"the history is {len(stubs)} stubs, {len(with_text)} events with content"
    )
    if left or with_text or any(store.remaining for store in receipt.stores):
        raise StepFailed("something is left after the erasure")
