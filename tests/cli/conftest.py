"""A server for the command line to talk to, and a namespace of its own for each test."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.server_process import ServerProcess
from tests.cli.command import HASH, Outcome, memoir

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory: Path = tmp_path_factory.mktemp("server")
    with ServerProcess(directory, environment=HASH, life_seconds=300) as server:
        yield server.target


_numbers = itertools.count(1)


@pytest.fixture
def namespace() -> str:
    return f"test-{next(_numbers)}"


@pytest.fixture
def run(target: str, namespace: str) -> Run:
    def command(*arguments: str, stdin: str = "") -> Outcome:
        return memoir(*arguments, env={"MEMOIR_TARGET": target, "MEMOIR_NAMESPACE": namespace}, stdin=stdin)

    return command
