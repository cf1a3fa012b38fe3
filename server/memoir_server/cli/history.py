"""`memoir history`."""

from __future__ import annotations

from typing import Annotated

import typer

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
from memoir_server.cli.render import console, event_line, print_json


def history(
    memory: Annotated[str, typer.Option("--memory", "-m", help="Only this memory.", show_default=False)] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then go on with what happens, until Ctrl-C.")] = False,
    resume_token: Annotated[
        str | None, typer.Option("--resume-token", help="With --follow: go on after the event that carried it.")
    ] = None,
    user: User = None,
    agent: Agent = None,
    session: Session = None,
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Show what happened to memories, oldest first."""
    if resume_token is not None and not follow:
        raise typer.BadParameter("--resume-token goes with --follow")
    with connect(target, namespace, timeout) as memoir:
        if follow:
            events = memoir.watch(
                memory_id=memory,
                user_id=user,
                agent_id=agent,
                session_id=session,
                resume_token=resume_token,
                start_revision=1 if resume_token is None else None,
                # A server that is not there is an answer; one that restarts is waited for.
                reconnect_timeout=max(timeout, DEFAULT_TIMEOUT),
            )
            for event in events:
                print_json(event) if json else console.print(event_line(event))
            return
        for event in memoir.history(
            memory_id=memory, user_id=user, agent_id=agent, session_id=session, timeout=timeout
        ):
            print_json(event) if json else console.print(event_line(event))
