"""`memoir scopes`, `memoir entities`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import typer
from rich.text import Text

from memoir import Entity, ScopeDimension, ScopeSummary
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
from memoir_server.cli.render import console, day, messages, print_json

_DIMENSIONS: Final = {
    "users": ScopeDimension.USER,
    "agents": ScopeDimension.AGENT,
    "sessions": ScopeDimension.SESSION,
}


def scopes(
    dimension: Annotated[Literal["users", "agents", "sessions"], typer.Argument(help="What to list.")] = "users",
    user: User = None,
    agent: Agent = None,
    session: Session = None,
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """List the users, agents or sessions that have memories; --user, --agent and --session narrow it."""
    found = False
    with connect(target, namespace, timeout) as memoir:
        listed = memoir.scopes(_DIMENSIONS[dimension], user_id=user, agent_id=agent, session_id=session, page_size=1000)
        for summary in listed:
            found = True
            print_json(summary) if json else console.print(scope_line(summary))
    if not found and not json:
        messages.print(f"no {dimension}", style="dim")


def entities(
    prefix: Annotated[
        str, typer.Option("--prefix", help="Beginning of the name or of an alias.", show_default=False)
    ] = "",
    kind: Annotated[str, typer.Option("--type", help="Exact type, such as person.", show_default=False)] = "",
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, help="Entities wanted.")] = 50,
    user: User = None,
    agent: Agent = None,
    session: Session = None,
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """List the people, places and things that memories mention, by name."""
    count = 0
    with connect(target, namespace, timeout) as memoir:
        listed = memoir.entities(
            user_id=user,
            agent_id=agent,
            session_id=session,
            type=kind,
            name_prefix=prefix,
            page_size=min(limit, 1000),
        )
        for count, entity in enumerate(listed, start=1):
            print_json(entity) if json else console.print(entity_line(entity))
            if count == limit:
                break
    if not count and not json:
        messages.print("no entities", style="dim")


def scope_line(summary: ScopeSummary) -> Text:
    """One line: memories, day of the newest, whose they are."""
    line = Text(f"{summary.memory_count:>7} ", style="green")
    line.append(f"{day(summary.last_create_time):<10} ", style="dim")
    scope = summary.scope
    ids = {"user": scope.user_id, "agent": scope.agent_id, "session": scope.session_id}
    line.append("  ".join(f"{name} {value}" for name, value in ids.items() if value is not None))
    return line


def entity_line(entity: Entity) -> Text:
    """One line: memories that mention it, type, name, aliases, id."""
    line = Text(f"{entity.mention_count:>7} ", style="green")
    line.append(f"{entity.type or 'thing':<12} ", style="cyan")
    line.append(entity.name)
    if entity.aliases:
        line.append(f" ({', '.join(entity.aliases)})")
    line.append(f"  {entity.id}", style="dim")
    return line
