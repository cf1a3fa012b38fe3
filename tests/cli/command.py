"""Runs the real command line."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MEMOIR: Final = str(Path(sys.executable).with_name("memoir"))
HASH: Final = {"MEMOIR_EMBEDDER__MODEL": "hash"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The lines of JSON on standard output."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self) -> dict[str, Any]:
        """The only line of JSON."""
        (only,) = self.objects
        return only


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of Memoir, with a terminal too wide for anything to be cut."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMOIR_")}
    return kept | {"COLUMNS": "200", "NO_COLOR": "1"} | dict(extra or {})


def memoir(*arguments: str, env: Mapping[str, str] | None = None, stdin: str = "", cwd: Path | None = None) -> Outcome:
    """One command, to its end."""
    done = subprocess.run(
        [MEMOIR, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(env),
        cwd=cwd,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
