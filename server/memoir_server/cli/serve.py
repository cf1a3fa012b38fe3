"""`memoir serve`."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from memoir_server.app.settings import Settings
from memoir_server.cli.progress import model_steps
from memoir_server.cli.render import messages, print_json


def serve(
    data: Annotated[Path | None, typer.Option("--data", help="Directory for everything the server keeps.")] = None,
    listen: Annotated[str | None, typer.Option("--listen", help="HOST:PORT; port 0 picks a free one.")] = None,
    profile: Annotated[
        Literal["embedded", "distributed"] | None,
        typer.Option("--profile", help="Files of this server, or stores shared with others."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Settings file (TOML).", exists=True, dir_okay=False)
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow a non-loopback address without authentication.")
    ] = False,
    port_file: Annotated[
        Path | None, typer.Option("--port-file", help="Write HOST:PORT here once the server is ready.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object when the server is ready.")] = False,
) -> None:
    """Run a server until it is told to stop (Ctrl-C or SIGTERM drain it). A model that is missing is fetched first."""
    overrides: dict[str, str] = {}
    if data is not None:
        overrides["server.data"] = str(data)
    if listen is not None:
        overrides["server.listen"] = listen
    if profile is not None:
        overrides["server.profile"] = profile
    if insecure:
        overrides["server.insecure"] = "true"
    settings = Settings.load(config, os.environ, overrides)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    fetch_missing_model(settings)
    # Pulls in the whole server, which the other commands do without.
    from memoir_server.app.server import run

    def ready(address: str) -> None:
        if json:
            print_json({"address": address, "pid": os.getpid(), "data": str(settings.server.data)})
        else:
            where = f"data in {settings.server.data}, embedder {settings.embedder.model}"
            messages.print(f"Memoir is listening on {address} ({where}); Ctrl-C stops it", markup=False)

    run(settings, port_file=port_file, ready=ready)


def fetch_missing_model(settings: Settings) -> None:
    """Makes the model of the settings ready if it is one that can be fetched by name; shows progress.

    The hash embedder, a model elsewhere and a model folder of the operator's own need nothing; what is wrong with a
    folder, or with a name that is not known, the server says when it opens the model.

    Raises:
        ModelError: The model cannot be fetched, or it is not what was published.
    """
    name = settings.embedder.model
    if name == "hash" or settings.embedder.adapter:
        return
    from memoir_server.adapters.embedder.models import ModelState, fetch, list_models

    missing = {status.model.name for status in list_models() if status.state is not ModelState.READY}
    if name in missing:
        messages.print(f"fetching the embedding model {name} (once)", markup=False)
        with model_steps() as progress:
            fetch(name, progress)
