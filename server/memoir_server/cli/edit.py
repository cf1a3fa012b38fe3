"""`memoir get`, `memoir update`, `memoir delete`: memories by id."""

from __future__ import annotations

from enum import StrEnum
from json import JSONDecodeError, loads
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from memoir import Memoir, Memory, MemoryNotFound
from memoir_server.cli.connection import (
    DEFAULT_NAMESPACE,
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT,
    Json,
    Namespace,
    Target,
    Timeout,
    connect,
    instant,
    moment,
)
from memoir_server.cli.render import console, memory_line, messages, print_json, show_memory

MemoryId = Annotated[str, typer.Argument(metavar="ID", help="Memory id.", show_default=False)]
Etag = Annotated[str, typer.Option("--etag", help="Only if the memory is still the version with this etag.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the history.")]
AnyKind = Literal["EPISODE", "FACT", "PREFERENCE", "EVENT", "PROCEDURE", "SUMMARY"]
Clearable = StrEnum(
    "Clearable", ["metadata", "importance", "valid_from", "valid_until", "expire_time", "entities", "relations"]
)
"""An enum, since typer takes no list of literals."""

_DELETES_PER_CALL = 500
"""What the contract allows in one request, which is all or nothing."""


def get(
    memory_id: MemoryId,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME|REVISION", help="As it was at this moment.")
    ] = None,
    access: Annotated[
        bool, typer.Option("--access", help="Also how often it was returned before, and when last.")
    ] = False,
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Show one memory with all its fields."""
    known_at = moment(as_of)
    with connect(target, namespace, timeout) as memoir:
        memory = memoir.get(memory_id, as_of=known_at, include_access=access)
    print_json(memory) if json else show_memory(memory)


def update(
    memory_id: MemoryId,
    text: Annotated[str | None, typer.Option("--text", help="New text.")] = None,
    kind: Annotated[AnyKind | None, typer.Option("--kind", help="New kind.")] = None,
    importance: Annotated[
        float | None, typer.Option("--importance", min=0, max=1, help="New weight in ranking.")
    ] = None,
    metadata: Annotated[
        str | None, typer.Option("--metadata", metavar="JSON", help="Object that replaces all metadata.")
    ] = None,
    valid_from: Annotated[str | None, typer.Option("--valid-from", metavar="TIME", help="When it became true.")] = None,
    valid_until: Annotated[
        str | None, typer.Option("--valid-until", metavar="TIME", help="When it stopped being true.")
    ] = None,
    expire_time: Annotated[
        str | None, typer.Option("--expire-time", metavar="TIME", help="When the memory is to be gone.")
    ] = None,
    clear: Annotated[
        list[Clearable] | None, typer.Option("--clear", help="Field to empty; may be given several times.")
    ] = None,
    etag: Etag = "",
    reason: Reason = "",
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Change fields of one memory; what is not named stays."""
    given = {
        "text": text,
        "kind": kind,
        "importance": importance,
        "metadata": None if metadata is None else _object(metadata),
        "valid_from": instant(valid_from),
        "valid_until": instant(valid_until),
        "expire_time": instant(expire_time),
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name in clear or ():
        if name.value in changes:
            raise typer.BadParameter(f"{name.value} is both set and cleared; choose one")
        changes[name.value] = None
    if not changes:
        raise typer.BadParameter("nothing to change; give --text, --kind, --importance or another field")
    with connect(target, namespace, timeout) as memoir:
        memory = memoir.update(memory_id, etag=etag, reason=reason, **changes)
    print_json(memory) if json else console.print(memory_line(memory))


def delete(
    memory_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Memory ids.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Pass over ids that do not exist.")] = False,
    etag: Etag = "",
    reason: Reason = "",
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Delete memories, all or none, with what was derived from them. Their history stays."""
    ids = list(dict.fromkeys(memory_ids))
    if len(ids) > _DELETES_PER_CALL:
        raise typer.BadParameter(f"{len(ids)} ids; give at most {_DELETES_PER_CALL}, or use `memoir reset`")
    if etag and len(ids) > 1:
        raise typer.BadParameter("--etag goes with a single ID")
    if json and not yes:
        raise typer.BadParameter("--json asks no questions: add --yes")
    with connect(target, namespace, timeout) as memoir:
        if not yes:
            _show(memoir, ids, allow_missing=allow_missing)
            if not typer.confirm("Delete this?", default=False, err=True):
                messages.print("nothing was deleted")
                raise typer.Exit(1)
        if etag:
            result = memoir.delete(ids[0], etag=etag, reason=reason, allow_missing=allow_missing)
        else:
            result = memoir.delete_many(ids, reason=reason, allow_missing=allow_missing)
    if json:
        print_json(result)
        return
    # Where nothing was there, nothing was written.
    revision = f"; revision {result.revision}" if result.deleted_count else ""
    console.print(f"{result.deleted_count} deleted{revision}")


def _show(memoir: Memoir, ids: list[str], *, allow_missing: bool) -> None:
    for memory_id in ids:
        try:
            memory: Memory = memoir.get(memory_id, view="BASIC")
        except MemoryNotFound:
            if not allow_missing:
                raise
            console.print(Text(f"{memory_id} does not exist", style="dim"))
        else:
            console.print(memory_line(memory))


def _object(text: str) -> dict[str, Any]:
    try:
        found = loads(text)
    except JSONDecodeError as fault:
        raise typer.BadParameter(f"--metadata {text!r} is not JSON: {fault}") from fault
    if not isinstance(found, dict):
        raise typer.BadParameter(f'--metadata {text!r} is not an object; write {{"topic": "travel"}}')
    return found
