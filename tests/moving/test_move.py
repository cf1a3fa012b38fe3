"""`memoir move` against the real stores: what clients are told before and after."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from memoir.v1 import memory_pb2, reset_pb2
from stores.four import Stores
from tests.cli.command import MEMOIR, Outcome, environment, memoir
from tests.integration.harness import TIMEOUT
from tests.integration.test_reset_rpcs import execute
from tests.moving.answers import accesses, answers
from tests.moving.life import distributed, embedded, live, more_turns

pytestmark = pytest.mark.timeout(600)


def variables(there: Mapping[str, str]) -> dict[str, str]:
    """Settings as environment variables."""
    return {f"MEMOIR_{key.upper().replace('.', '__')}": value for key, value in there.items()}


def move(data: Path, there: Mapping[str, str], *options: str) -> Outcome:
    return memoir("move", "--from", str(data), "--json", *options, env=variables(there))


def moved(data: Path, there: Mapping[str, str], *options: str) -> Outcome:
    done = move(data, there, *options)
    assert done.status == 0, done.err
    return done


async def test_every_answer_stays_what_it_was(tmp_path: Path, there: Mapping[str, str]) -> None:
    data = tmp_path / "data"
    held = await live(data)
    async with embedded(data) as client:
        before = await answers(client, held)
    async with embedded(data) as client:
        counted = await accesses(client)
    files = {path.name: path.read_bytes() for path in data.iterdir() if path.name == "ledger.db"}
    result = moved(data, there).object
    assert result["finished"]
    assert not result["moved_before"]
    assert result["embedded"] == 0, "kept vectors are moved, not made again"
    assert result["findings"] == []
    assert set(result["heads"]) == {"default", "other", "z-9"}
    assert result["rows"]["events"] == sum(result["heads"].values())
    assert files == {path.name: path.read_bytes() for path in data.iterdir() if path.name == "ledger.db"}
    async with distributed(there, tmp_path) as client:
        assert await accesses(client) == counted
        after = await answers(client, held)
        different = [asked for asked, answer in before.items() if after[asked] != answer]
        assert different == []
        assert set(after) == set(before)
        assert len(before) > 100


async def test_life_goes_on(tmp_path: Path, there: Mapping[str, str]) -> None:
    """Counters, secrets and plans go on where they were."""
    data = tmp_path / "data"
    held = await live(data)
    moved(data, there)
    async with distributed(there, tmp_path) as client:
        assert await more_turns(client) == [5, 6, 7, 8]
        again = await client.create("Ana keeps bees")
        assert again.memory.memory_id == "kept", "what is known already is known here, too"
        executed = await execute(client, held.planned)
        assert executed.reset.state != reset_pb2.Reset.STATE_PLANNED
        changed = memory_pb2.UpdateMemoryRequest(memory_id="porto", memory=memory_pb2.Memory(text="Ana lives in Faro"))
        # A busy machine may answer that the write is accepted before it is indexed.
        revision = (await client.memory.UpdateMemory(changed, timeout=TIMEOUT)).revision
        found = await client.find("Faro", min_revision=revision)
        assert [hit.memory.text for hit in found.hits][:1] == ["Ana lives in Faro"]
        made = await client.memory.CreateMemory(
            memory_pb2.CreateMemoryRequest(namespace="new", memory=memory_pb2.Memory(text="x", scope={"user_id": "a"})),
            timeout=TIMEOUT,
        )
        assert made.revision == 1
        for namespace in ("default", "new"):
            assert await client.server.composition.ledger.verify_chain(namespace)


async def test_afterwards_the_old_directory_is_not_served_and_nothing_is_done_twice(
    tmp_path: Path, there: Mapping[str, str], new_deployment: Callable[[], Mapping[str, str]]
) -> None:
    data = tmp_path / "data"
    await live(data)
    first = moved(data, there).object
    refused = memoir("serve", "--data", str(data), "--listen", "127.0.0.1:0", env=variables({"embedder.model": "hash"}))
    assert refused.status == 1
    assert "was moved to postgresql://" in refused.err
    assert "ledger.moved" in refused.err
    again = moved(data, there).object
    assert again["moved_before"]
    assert again["finished"]
    assert again["rows"] == first["rows"]
    plain = memoir("move", "--from", str(data), env=variables(there))
    assert plain.status == 0
    assert f"{data} was already moved to postgresql://" in plain.out
    assert "nothing was changed" in plain.out
    elsewhere = move(data, new_deployment())
    assert elsewhere.status == 1
    assert "was moved to" in elsewhere.err
    password = there["ledger.url"].partition("@")[0].rpartition(":")[2]
    for outcome in (refused, elsewhere, plain):
        assert password not in outcome.err + outcome.out


async def test_a_rehearsal_leaves_the_source_to_its_server(
    tmp_path: Path, there: Mapping[str, str], new_deployment: Callable[[], Mapping[str, str]]
) -> None:
    data = tmp_path / "data"
    await live(data)
    assert moved(data, there, "--keep-source").object["finished"]
    assert moved(data, there, "--keep-source").object["moved_before"]
    async with embedded(data) as client:
        await client.create("written after the rehearsal", "later")
    late = move(data, there)
    assert late.status == 1
    assert "has been written to since" in late.err
    last = new_deployment()
    assert moved(data, last).object["finished"]
    async with distributed(last, tmp_path) as client:
        assert (await client.get("later")).text == "written after the rehearsal"


async def test_what_is_not_empty_is_not_moved_into(
    tmp_path: Path, there: Mapping[str, str], new_deployment: Callable[[], Mapping[str, str]], four_stores: Stores
) -> None:
    data = tmp_path / "data"
    await live(data)
    async with distributed(there, tmp_path) as client:
        await client.create("somebody else's", "theirs")
    occupied = move(data, there)
    assert occupied.status == 1
    assert "holds the ledger" in occupied.err
    # Only the ledger is new: index and graph would lose what they have.
    mixed = {**there, "ledger.url": new_deployment()["ledger.url"]}
    mingled = move(data, mixed)
    assert mingled.status == 1
    assert "the index named in the settings belongs to the ledger" in mingled.err
    name = there["graph.name"]
    tables = four_stores.postgresql.create_database(f"{name}t")
    four_stores.postgresql.query("CREATE SCHEMA memoir; CREATE TABLE memoir.bills (id int)", database=f"{name}t")
    foreign = move(data, {**new_deployment(), "ledger.url": tables.url})
    assert foreign.status == 1
    assert "no ledger of Memoir" in foreign.err
    for outcome in (occupied, mingled, foreign):
        assert outcome.err.startswith("error: ")
        assert "Traceback" not in outcome.err
    assert not (data / "ledger.moved").exists()
    async with embedded(data) as client:
        assert (await client.get("kept")).text == "Ana keeps bees"
    async with distributed(there, tmp_path) as client:
        assert (await client.get("theirs")).text == "somebody else's"


async def test_interrupted_it_says_how_to_go_on(tmp_path: Path, there: Mapping[str, str]) -> None:
    data = tmp_path / "data"
    await live(data)
    process = await asyncio.create_subprocess_exec(
        *(MEMOIR, "move", "--from", str(data)),
        env=environment(variables(there)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            assert process.stderr is not None
            while await process.stderr.readline() != b"copying ...\n":
                pass
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, out) == (130, b"")
    assert b"run the same command again, it goes on where it stopped" in err
    assert b"Traceback" not in err
    assert moved(data, there).object["finished"]


async def test_an_empty_ledger_can_be_moved(tmp_path: Path, there: Mapping[str, str]) -> None:
    data = tmp_path / "data"
    async with embedded(data):
        pass
    result = moved(data, there).object
    assert (result["finished"], result["heads"], result["memories"]) == (True, {}, 0)
    async with distributed(there, tmp_path) as client:
        assert (await client.create("Ana likes tea")).revision == 1
