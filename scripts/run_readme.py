"""Runs the README's blocks as pasted, the way a new user would, and prints the time to the first search hit.

    .venv/bin/python scripts/run_readme.py [--json]

Every fenced block of sh, python and javascript runs in the order of the page, unless `<!-- readme: not run -->` stands
above it. They run in a temporary directory that looks like a clone: what they write stays there. A block with
`memoir serve` becomes the server of the others. The default embedding model is used where it is installed, the hash
embedder where it would have to be downloaded. If another program has taken the README's port, a free one is used.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from memoir_server.adapters.embedder.models import DEFAULT_MODEL, ModelState, list_models

ROOT: Final = Path(__file__).resolve().parent.parent
BLOCK: Final = re.compile(r"(?P<before>[^\n]*)\n```(?P<language>sh|python|javascript)\n(?P<code>.*?)\n```", re.DOTALL)
NOT_RUN: Final = "<!-- readme: not run -->"
ADDRESS: Final = "127.0.0.1:7600"
START_SECONDS: Final = 60.0
BLOCK_SECONDS: Final = 120.0


class BlockFailed(Exception):
    """A block ended with an error; the message holds the block and what it wrote."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `line` is where its code starts, counted from 1."""

    language: str
    code: str
    line: int


@dataclass(frozen=True, slots=True)
class Report:
    """What ran, what it wrote, and seconds from starting the server to the first search hit of the Python block."""

    blocks: int
    outputs: tuple[str, ...]
    seconds_to_ready: float
    seconds_to_first_hit: float
    embedder: str


def blocks_of(text: str) -> list[Block]:
    """The blocks to run, in order."""
    return [
        Block(found["language"], found["code"], text.count("\n", 0, found.start("code")) + 1)
        for found in BLOCK.finditer(text)
        if found["before"].strip() != NOT_RUN
    ]


def run_readme(readme: Path = ROOT / "README.md") -> Report:
    """Runs everything.

    Raises:
        BlockFailed: A block failed, or the page lacks a block of one of the languages.
    """
    blocks = blocks_of(readme.read_text(encoding="utf-8"))
    address = ADDRESS if _is_free(ADDRESS) else f"127.0.0.1:{_free_port()}"
    installed = any(item.default and item.state is ModelState.READY for item in list_models())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEMOIR_")}
    environment |= {"MEMOIR_TARGET": address, "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
    if not installed:
        environment["MEMOIR_EMBEDDER__MODEL"] = "hash"
    outputs: list[str] = []
    ready = first_hit = 0.0
    with _clone() as directory, ExitStack() as running:
        started = time.monotonic()
        for block in blocks:
            code = block.code.replace(ADDRESS, address)
            if "memoir serve" in code:
                started = time.monotonic()
                running.enter_context(_server(code, address, directory, environment))
                ready = time.monotonic() - started
                continue
            output, at = _run(block, code, directory, environment)
            outputs.append(output)
            if block.language == "python" and not first_hit:
                first_hit = at - started
    if not ready or not first_hit or not any(block.language == "javascript" for block in blocks):
        raise BlockFailed("the README must hold a block with `memoir serve`, one of Python and one of JavaScript")
    return Report(len(blocks), tuple(outputs), ready, first_hit, DEFAULT_MODEL if installed else "hash")


@contextmanager
def _clone() -> Iterator[Path]:
    """A directory with links to everything a clone has after `make setup`."""
    directory = Path(tempfile.mkdtemp(prefix="memoir-readme-"))
    try:
        for entry in (*ROOT.iterdir(),):
            if entry.name not in {".git", ".memoir"}:
                (directory / entry.name).symlink_to(entry)
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def _server(code: str, address: str, directory: Path, environment: dict[str, str]) -> Iterator[None]:
    log = directory / "server.log"
    bound = shutil.which("timeout")
    with log.open("wb") as output:
        process = subprocess.Popen(
            # `exec`, so that the process id is the server's (or that of `timeout`, which passes signals on).
            [*((bound, "600") if bound else ()), "sh", "-euc", f"exec {code}"],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + START_SECONDS
        while "is listening on" not in log.read_text(encoding="utf-8", errors="replace"):
            if process.poll() is not None or time.monotonic() > end:
                raise BlockFailed(f"the server on {address} did not start:\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _run(block: Block, code: str, directory: Path, environment: dict[str, str]) -> tuple[str, float]:
    """What the block wrote, and when its first line came."""
    command = {
        "python": [str(directory / ".venv/bin/python"), "-c", code],
        "sh": ["sh", "-euc", code],
        "javascript": ["node", "hello.mjs"],
    }[block.language]
    if block.language == "javascript":
        # Node resolves imports from where a file really is, which a link would hide.
        (directory / "hello.mjs").write_text(code, encoding="utf-8")
    bound = shutil.which("timeout")
    process = subprocess.Popen(
        [*((bound, str(BLOCK_SECONDS)) if bound else ()), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=directory,
        env=environment,
    )
    assert process.stdout is not None
    with process.stdout:
        first = process.stdout.readline()
        at = time.monotonic()
        output = first + process.stdout.read()
    if process.wait() != 0:
        raise BlockFailed(
            f"README line {block.line} ({block.language}), status {process.returncode}:\n{code}\n\n{output}"
        )
    return output, at


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Runs the blocks and prints what they wrote."""
    parser = argparse.ArgumentParser(description="Runs the README's blocks as pasted.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    try:
        report = run_readme()
    except BlockFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(asdict(report)))
        return 0
    print("\n".join(report.outputs))
    print(
        f"{report.blocks} blocks ran; server ready after {report.seconds_to_ready:.1f} s, "
        f"first search hit after {report.seconds_to_first_hit:.1f} s (embedder {report.embedder}, no downloads)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
