"""The demo: one command replays a conversation, then searches, follows, updates and erases it, from Python and Node.

    .venv/bin/python examples/demo.py [--transcript PATH] [--keep-running]

`make demo` runs it after setting everything up. Ends with status 1 when a step fails.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from examples import demo_steps  # noqa: E402
from examples.demo_material import read_material  # noqa: E402
from examples.demo_steps import Demo, StepFailed  # noqa: E402
from examples.server_process import ServerFailed, ServerProcess  # noqa: E402
from memoir import Memoir, MemoirError, Unavailable  # noqa: E402
from memoir_server.adapters.embedder.model_files import ModelError  # noqa: E402
from memoir_server.app.settings import Settings  # noqa: E402
from memoir_server.app.settings_values import SettingsError  # noqa: E402
from memoir_server.cli.serve import fetch_missing_model  # noqa: E402
from memoir_server.cli.transcript import Transcript, TranscriptError, read_transcript  # noqa: E402

SAMPLE: Final = ROOT / "examples" / "transcripts" / "leeds-to-ghent.jsonl"
STEPS: Final[tuple[tuple[str, Callable[[Demo], None]], ...]] = (
    ("Remember a conversation", demo_steps.remember),
    ("Ask from Python, streaming", demo_steps.ask_from_python),
    ("Ask the same from Node", demo_steps.ask_from_node),
    ("Follow the history live", demo_steps.follow_history),
    ("Search the past", demo_steps.search_the_past),
    ("Facts, two dates, and the graph", demo_steps.state_facts),
    ("Erase everything, with a receipt", demo_steps.erase),
)


def main() -> int:
    """Runs the demo and returns the exit status."""
    parser = argparse.ArgumentParser(description="Replays a conversation into a fresh Memoir server and uses it.")
    parser.add_argument("--transcript", type=Path, default=SAMPLE, help="file of the format of examples/TRANSCRIPT.md")
    parser.add_argument(
        "--keep-running", action="store_true", help="leave the server running, with the conversation in it"
    )
    arguments = parser.parse_args()
    # These take the same way out as Ctrl-C, so that the server never outlives the demo.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console(highlight=False)
    directory = Path(tempfile.mkdtemp(prefix="memoir-demo-"))
    keep = False
    try:
        keep = arguments.keep_running
        failed = _run(console, directory, arguments.transcript, keep_running=keep)
    except (ServerFailed, StepFailed, MemoirError, ModelError, SettingsError, TranscriptError, OSError) as failure:
        _failure(console, str(failure))
        failed, keep = ["the demo could not go on"], False
    except KeyboardInterrupt:
        console.print("interrupted", style="yellow")
        keep = False
        return 130
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
    if failed:
        _failure(console, f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _run(console: Console, directory: Path, path: Path, *, keep_running: bool) -> list[str]:
    started = time.monotonic()
    transcript = read_transcript(path)
    fetch_missing_model(Settings.load(None, os.environ, {}))
    console.print(Text("Memoir demo", style="bold").append(f"  {transcript.title or path.name}", style="default"))
    server = ServerProcess(directory, life_seconds=None if keep_running else 3600)
    with server, Memoir(server.target, timeout=30) as memoir:
        info = memoir.server_info()
        console.print(
            f"server {info.server_version} on {server.target}, profile {info.profile}, embedder {info.embedding_model}",
            style="dim",
        )
        demo = Demo(console, memoir, server.target, transcript, read_material(path, transcript), directory)
        failed = _steps(demo)
        if failed:
            _show_log(console, server)
        if keep_running:
            _leave(demo, server, transcript)
    console.print()
    console.print(
        f"[bold]done[/] in {time.monotonic() - started:.0f} s" + ("" if keep_running else "; the server is gone")
    )
    return failed


def _steps(demo: Demo) -> list[str]:
    failed: list[str] = []
    for number, (title, step) in enumerate(STEPS, start=1):
        demo.console.print()
        demo.console.rule(f"[bold]{number}. {title}[/]", align="left")
        try:
            step(demo)
        except (StepFailed, MemoirError) as failure:
            _failure(demo.console, str(failure))
            failed.append(title)
            # Nothing that follows can work without a server, or without the conversation.
            if isinstance(failure, Unavailable) or number == 1:
                break
    return failed


def _show_log(console: Console, server: ServerProcess) -> None:
    """The log goes with the temporary directory, so what it says about a failure is shown."""
    tail = server.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
    console.print()
    console.rule("[bold]End of the server's log[/]", align="left")
    console.print(Text("\n".join(tail), style="dim"))


def _leave(demo: Demo, server: ServerProcess, transcript: Transcript) -> None:
    """The demo ended with an erasure, so the conversation is told once more before the server is left alone."""
    demo.console.print()
    demo.console.rule("[bold]The server stays[/]", align="left")
    demo_steps.remember(demo)
    server.keep()
    demo.console.print(f"address {server.target}, process {server.pid}, data and log in {server.log.parent}")
    demo.console.print(
        f'  .venv/bin/memoir search --target {server.target} -u {transcript.user_id} "..."', markup=False
    )
    demo.console.print(f"  kill {server.pid}   # ends it")


def _failure(console: Console, text: str) -> None:
    console.print(Text(text, style="bold red"))


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
