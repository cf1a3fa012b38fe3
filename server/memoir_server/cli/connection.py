"""Options that every command which talks to a server shares."""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Annotated

import typer

from memoir import Memoir

Target = Annotated[str, typer.Option("--target", envvar="MEMOIR_TARGET", help="Server, as HOST:PORT.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", envvar="MEMOIR_NAMESPACE", help="Namespace.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, help="Deadline of each call, in seconds.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for other programs.")]
User = Annotated[str | None, typer.Option("--user", "-u", help="User id.")]
Agent = Annotated[str | None, typer.Option("--agent", "-a", help="Agent id.")]
Session = Annotated[str | None, typer.Option("--session", "-s", help="Session id.")]

DEFAULT_TARGET = "127.0.0.1:7600"
DEFAULT_NAMESPACE = "default"
DEFAULT_TIMEOUT = 10.0


def connect(target: str, namespace: str, timeout: float) -> Memoir:
    """A client. The API key, if one is needed, comes from MEMOIR_API_KEY and never from the command line, which other
    users of the machine can read."""
    return Memoir(target, namespace=namespace, api_key=os.environ.get("MEMOIR_API_KEY"), timeout=timeout)


def instant(text: str | None) -> datetime | None:
    """A moment as typed: RFC 3339, or a date or time without a zone, which is local. Raises typer.BadParameter."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as fault:
        raise typer.BadParameter(
            f"{text!r} is not a time; write 2026-07-01, 2026-07-01T18:30:00 (local) or 2026-07-01T18:30:00+02:00"
        ) from fault
    return moment if moment.tzinfo is not None else moment.astimezone()


def moment(text: str | None) -> datetime | int | None:
    """A past moment of the ledger: as `instant`, or a revision number. Raises typer.BadParameter."""
    if text is not None and re.fullmatch("[0-9]{1,7}", text):
        return int(text)
    return instant(text)
