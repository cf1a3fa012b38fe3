"""`memoir models`."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.table import Table

from memoir_server.adapters.embedder.model_files import ModelFiles
from memoir_server.cli.connection import Json
from memoir_server.cli.progress import model_steps
from memoir_server.cli.render import console, print_json

# onnxruntime takes a third of a second to import, so only the commands that need it do.

Name = Annotated[str, typer.Argument(help="Model.", show_default="the default model")]
_DEFAULT: Final = ""

app = typer.Typer(help="Show and fetch local embedding models.", invoke_without_command=True)


@app.callback()
def models(context: typer.Context, json: Json = False) -> None:
    """Show and fetch local embedding models. Without a command: show them."""
    if context.invoked_subcommand is None:
        show(json=json)


@app.command()
def show(json: Json = False) -> None:
    """Show the models that can be fetched by name, and which are ready."""
    from memoir_server.adapters.embedder.models import list_models

    known = list_models()
    if json:
        for status in known:
            print_json(
                {
                    "name": status.model.name,
                    "version": status.model.version,
                    "dimension": status.model.dimension,
                    "license": status.license,
                    "state": status.state.value,
                    "size_bytes": status.size_bytes,
                    "folder": str(status.folder),
                    "detail": status.detail,
                    "default": status.default,
                }
            )
        return
    table = Table("model", "dimension", "license", "state", "size", "")
    for status in known:
        size = f"{status.size_bytes / 1e6:.0f} MB" if status.size_bytes else ""
        name = f"{status.model.name} (default)" if status.default else status.model.name
        table.add_row(name, str(status.model.dimension), status.license, status.state.value, size, status.detail)
    console.print(table)


@app.command("fetch")
def fetch_model(name: Name = _DEFAULT, json: Json = False) -> None:
    """Fetch a model, check its hashes and make it ready; at once when it is ready already."""
    from memoir_server.adapters.embedder.models import DEFAULT_MODEL, fetch

    with model_steps() as progress:
        files = fetch(name or DEFAULT_MODEL, progress)
    _report(files, "ready", json=json)


@app.command("verify")
def verify_model(name: Name = _DEFAULT, json: Json = False) -> None:
    """Check every file of a fetched model by full hash."""
    from memoir_server.adapters.embedder.models import DEFAULT_MODEL, verify

    with model_steps() as progress:
        files = verify(name or DEFAULT_MODEL, progress)
    _report(files, "intact", json=json)


def _report(files: ModelFiles, state: str, *, json: bool) -> None:
    if json:
        print_json({"name": files.model.name, "version": files.model.version, "state": state})
    else:
        console.print(f"{files.model.name} is {state}", markup=False)
