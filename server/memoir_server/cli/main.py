"""Entry point of the `memoir` command."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.text import Text

from memoir import MemoirError, Unavailable
from memoir_server.adapters.embedder.model_files import ModelError
from memoir_server.app.settings_values import SettingsError
from memoir_server.cli import (
    browse,
    config,
    context,
    doctor,
    edit,
    history,
    memories,
    models,
    move,
    reset,
    serve,
    transfer,
)
from memoir_server.cli.import_error import ImportFileError
from memoir_server.cli.transcript import TranscriptError
from memoir_server.domain.errors import MemoirError as ServerError
from memoir_server.ports.embedder import EmbedderUnavailable
from memoir_server.ports.ledger_copy import MoveRefused

app = typer.Typer(
    name="memoir",
    help="Memory for AI assistants: run a server, and talk to one.",
    epilog="Every command takes --json. Exit status: 0 done; 1 refused, failed or declined; 2 wrong usage; "
    "130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("serve")(serve.serve)
app.command("add")(memories.add)
app.command("search")(memories.search)
app.command("context")(context.context)
app.command("list")(memories.list_)
app.command("get")(edit.get)
app.command("update")(edit.update)
app.command("delete")(edit.delete)
app.command("scopes")(browse.scopes)
app.command("entities")(browse.entities)
app.command("history")(history.history)
app.command("reset")(reset.reset)
app.command("export")(transfer.export)
app.command("import")(transfer.import_)
app.command("doctor")(doctor.doctor)
app.command("move")(move.move)
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")

EXIT_REFUSED = 1
"""The call was answered with an error, or input was refused."""
EXIT_INTERRUPTED = 130

_REFUSALS = (
    MemoirError,
    ServerError,
    SettingsError,
    ModelError,
    EmbedderUnavailable,
    TranscriptError,
    ImportFileError,
    MoveRefused,
)


def main() -> None:
    """Runs the command. Exit status: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted."""
    try:
        app()
    except _REFUSALS as failure:
        _explain(failure)
        sys.exit(EXIT_REFUSED)
    except OSError as failure:
        # A port that is taken, a folder that cannot be written: the message names it.
        _explain(failure)
        sys.exit(EXIT_REFUSED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _explain(failure: Exception) -> None:
    """One line on standard error; never markup, since the text may quote what users wrote."""
    text = str(failure)
    if isinstance(failure, Unavailable) and not failure.reason:
        # No Memoir server said this; the end of gRPC's message says why nobody could be asked.
        why = failure.message.rpartition(": ")[2]
        text = f"no server answers ({why}); start one with `memoir serve`, or name another with --target HOST:PORT"
    line = Text("error: ", style="bold red").append(text, style="not bold default")
    Console(stderr=True, highlight=False, soft_wrap=True).print(line)


if __name__ == "__main__":
    main()
