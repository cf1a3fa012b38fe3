"""`memoir context`."""

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
    instant,
    moment,
)
from memoir_server.cli.memories import Recipe
from memoir_server.cli.render import console, messages, print_json


def context(
    query: Annotated[str, typer.Argument(help="Question or last message, in plain language.", show_default=False)],
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, max=32_000, help="Budget in tokens.")] = 1_000,
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, max=100, help="Memories to look for.")] = 10,
    neighbours: Annotated[
        int, typer.Option("--neighbours", min=0, max=5, help="Turns to add before and after each turn found.")
    ] = 1,
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
    """Build a cited context for a prompt, within a budget of tokens.

    The text goes to standard output as it is, ready to paste; its size goes to standard error.
    """
    known_at, true_at = moment(as_of), instant(valid_at)
    with connect(target, namespace, timeout) as memoir:
        result = memoir.context(
            query,
            user_id=user,
            agent_id=agent,
            session_id=session,
            limit=limit,
            recipe=recipe,
            min_score=min_score,
            as_of=known_at,
            valid_at=true_at,
            max_tokens=max_tokens,
            neighbours=neighbours,
        )
    if json:
        print_json(result)
        return
    if not result.parts:
        messages.print("nothing found that fits", style="dim")
        return
    console.print(result.text, markup=False, emoji=False)
    messages.print(f"{result.token_count} of {max_tokens} tokens ({result.tokenizer})", style="dim", markup=False)
