"""`memoir doctor` against a real server whose files are damaged behind its back."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from examples.server_process import ServerProcess
from tests.cli.command import HASH, Outcome, memoir


class Damaged:
    """A server, its data, and commands to it."""

    def __init__(self, directory: Path, target: str) -> None:
        self.directory = directory
        self.target = target

    def run(self, *arguments: str) -> Outcome:
        return memoir(*arguments, env={"MEMOIR_TARGET": self.target})

    def damage(self, statement: str) -> None:
        (file,) = self.directory.rglob("index.db")
        connection = apsw.Connection(str(file))
        connection.set_busy_timeout(5000)
        connection.execute(statement)
        connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damaged]:
    directory = tmp_path_factory.mktemp("server")
    with ServerProcess(directory, environment=HASH, life_seconds=120) as process:
        damaged = Damaged(directory, process.target)
        for text, user in (("Ana likes tea.", "ana"), ("Ana likes milk.", "ana"), ("Bob likes tea.", "bob")):
            assert damaged.run("add", text, "-u", user).status == 0
        yield damaged


def test_a_healthy_server_is_said_to_be_so(server: Damaged) -> None:
    done = server.run("doctor")
    assert (done.status, done.out) == (0, "nothing wrong; 3 memories examined at revision 3\n"), done.err
    assert server.run("doctor", "-u", "bob", "--json").object == {"findings": [], "examined": 1, "revision": 3}
    assert server.run("doctor", "--sample", "2", "--json").object["examined"] == 2


def test_findings_are_shown_and_repaired(server: Damaged) -> None:
    server.damage("UPDATE entries SET retired = 2")
    found = server.run("doctor")
    assert found.status == 1
    *lines, last = found.out.splitlines()
    assert last == "3 findings; 3 memories examined at revision 3"
    assert len(lines) == 3
    assert all(line.startswith("stale ") and "ends it at revision 2 instead of never" in line for line in lines)
    assert "--repair" in found.err
    limited = server.run("doctor", "--max-findings", "1", "--json")
    assert limited.status == 1
    (finding,) = limited.object["findings"]
    assert (finding["kind"], finding["store"]) == ("STALE", "INDEX")
    bobs = server.run("doctor", "--repair", "-u", "bob")
    assert (bobs.status, bobs.out.splitlines()[-1]) == (0, "1 repaired"), bobs.err
    report, result = server.run("doctor", "--repair", "--json").objects
    assert sorted(result["repaired"]) == sorted(f["id"] for f in report["findings"])
    assert (len(result["repaired"]), result["resolved"]) == (2, [])
    assert server.run("doctor").out == "nothing wrong; 3 memories examined at revision 3\n"


def test_wrong_usage_is_refused(server: Damaged) -> None:
    assert server.run("doctor", "--sample", "-1").status == 2
    refused = server.run("doctor", "--namespace", "No!")
    assert refused.status == 1
    assert "namespace" in refused.err
