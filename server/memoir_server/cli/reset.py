"""`memoir reset`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from memoir import Memoir, Reset, ResetPlan, ResetState
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
)
from memoir_server.cli.render import console, messages, print_json


def reset(
    entire_namespace: Annotated[
        str | None, typer.Option("--entire-namespace", help="Remove everything; spell the namespace again.")
    ] = None,
    erase: Annotated[bool, typer.Option("--erase", help="Also erase the history: a privacy erasure.")] = False,
    keep_graph: Annotated[bool, typer.Option("--keep-graph", help="Keep the relations.")] = False,
    keep_vector: Annotated[bool, typer.Option("--keep-vector", help="Keep the memories, remove graph facts.")] = False,
    keep_history: Annotated[bool, typer.Option("--keep-history", help="Insist on keeping the history.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only plan.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    user: User = None,
    agent: Agent = None,
    session: Session = None,
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Remove memories of a scope: plan, confirm, execute, receipt."""
    if json and not (yes or dry_run):
        raise typer.BadParameter("--json asks no questions: add --yes or --dry-run")
    with connect(target, namespace, timeout) as memoir:
        plan = memoir.plan_reset(
            user_id=user,
            agent_id=agent,
            session_id=session,
            entire_namespace=entire_namespace,
            include_history=erase,
            keep_graph=keep_graph,
            keep_vector=keep_vector,
            keep_history=keep_history,
        )
        print_json(plan.reset) if json else show_plan(plan)
        if dry_run:
            return
        if not yes and not typer.confirm("Remove this?", default=False, err=True):
            memoir.cancel_reset(plan)
            messages.print("nothing was removed")
            raise typer.Exit(1)
        final = _execute(memoir, plan, json=json)
        if not json:
            show_receipt(final)
        if final.state != ResetState.SUCCEEDED:
            raise typer.Exit(1)


def show_plan(plan: ResetPlan) -> None:
    """What the reset would remove, store by store."""
    table = Table("store", "entries to remove", title="Plan", title_justify="left")
    for effect in plan.reset.effects:
        table.add_row(effect.store.lower(), str(effect.planned))
    console.print(table)
    if plan.sample:
        more = " ..." if len(plan.sample) > 5 else ""
        console.print(f"memories such as {', '.join(plan.sample[:5])}{more}", style="dim", markup=False)
    for warning in plan.warnings:
        console.print(Text("note ", style="yellow").append(warning, style="default"))


def _execute(memoir: Memoir, plan: ResetPlan, *, json: bool) -> Reset:
    latest: Reset = memoir.execute_reset(plan)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=messages, transient=True, disable=json) as progress:
        bars = {e.store: progress.add_task(e.store.lower(), total=e.planned) for e in latest.effects if e.planned}
        for seen in memoir.watch_reset(latest):
            waits = "" if seen.done or seen.error is None else seen.error.message
            if waits and (latest.error is None or waits != latest.error.message):
                messages.print(Text("waiting: ", style="yellow").append(waits, style="default"))
            latest = seen
            if json:
                print_json(seen)
            for effect in seen.effects:
                if effect.store in bars:
                    progress.update(bars[effect.store], completed=effect.removed)
    return latest


def show_receipt(reset: Reset) -> None:
    """The receipt of a finished reset, or why there is none."""
    receipt = reset.receipt
    if receipt is None:
        why = reset.error.message if reset.error else "it ended without a receipt"
        messages.print(Text(f"{reset.state.lower()}: ", style="bold red").append(why, style="not bold default"))
        return
    table = Table("store", "removed", "found afterwards", title="Receipt", title_justify="left")
    for store in receipt.stores:
        table.add_row(store.store.lower(), str(store.removed), str(store.remaining))
    console.print(table)
    erased = f", {receipt.events_erased} history events erased" if receipt.events_erased else ""
    console.print(f"{receipt.memories} memories removed{erased}; revision {receipt.revision}, digest {receipt.digest}")
