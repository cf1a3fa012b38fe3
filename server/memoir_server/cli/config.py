"""`memoir config`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from memoir_server.app.providers import check_keys
from memoir_server.app.settings import Settings
from memoir_server.cli.connection import Json
from memoir_server.cli.render import console, print_json

app = typer.Typer(help="Look at settings.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """Look at settings."""


@app.command()
def check(
    file: Annotated[Path | None, typer.Option("--config", "-c", help="Settings file (TOML).", exists=True)] = None,
    json: Json = False,
) -> None:
    """Validate the settings file and the environment, and print what would be in force (secrets are never shown)."""
    settings = Settings.load(file, os.environ, {})
    check_keys(settings, os.environ)
    if json:
        print_json(settings.public())
        return
    for key, value in settings.public().items():
        console.print(f"{key} = {value!r}")
