"""Commands that are run to their end: builds, downloads, initialisations."""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stores.errors import StoreError
from stores.progress import Step

_TAIL_BYTES = 4000


def run(
    argv: Sequence[str],
    step: Step,
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    counts: Callable[[str], bool] = lambda line: True,
    counted: str = "lines",
) -> None:
    """Run a long command; every ten seconds the step tells how many lines of its output `counts` took.

    Raises StoreError with the end of the output when the command is missing or fails.
    """
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=directory,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip
        except OSError as error:
            raise StoreError(f"{argv[0]} cannot be run: {error.strerror}") from None
        assert process.stdout is not None
        seen = 0
        with process, selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            try:
                while True:
                    if selector.select(timeout=1.0):
                        chunk = os.read(process.stdout.fileno(), 65536)
                        if not chunk:
                            break
                        log.write(chunk)
                        seen += sum(counts(line) for line in chunk.decode(errors="replace").splitlines())
                    step.tick(f"{seen} {counted}")
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            log.seek(max(0, log.tell() - _TAIL_BYTES))
            tail = log.read().decode(errors="replace").strip()
            raise StoreError(f"{' '.join(argv[:4])} ... failed with status {process.returncode}; it said:\n{tail}")


def answer(argv: Sequence[str], *, environment: Mapping[str, str] | None = None, seconds: float = 60.0) -> str:
    """Run a short command and return what it wrote. Raises StoreError when it fails, is missing or takes too long."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    except OSError as error:
        raise StoreError(f"{argv[0]} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise StoreError(f"{argv[0]} did not end within {seconds:g} s") from None
    if done.returncode:
        raise StoreError(f"{argv[0]} failed with status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
