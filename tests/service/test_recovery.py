"""What a start repairs (decision 008, semantics 12)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.reset import ResetState
from memoir_server.domain.store import Durability, StoreKind
from tests.service.harness import ANA, NS, Memoir, World, calling, knows
from tests.service.test_doctor import doctor_of, findings

FILES = {StoreKind.INDEX: "index", StoreKind.GRAPH: "graph"}


class Killed(Exception):
    """Ends a start as a kill would: nothing after it is done."""


async def fill(memoir: Memoir) -> None:
    """Ten versions of eight memories, one of them removed."""
    for i in range(8):
        await memoir.create(f"Ana drinks tea number {i} with Bo", memory_id=f"m{i}", **knows("Ana", f"Bo{i}"))
    await memoir.update("m0", text="Ana drinks coffee")
    await memoir.update("m1", metadata={"cup": "blue"})
    await memoir.delete("m2")


async def check(memoir: Memoir) -> None:
    """Index and graph hold what `fill` left."""
    await memoir.settle()
    assert await memoir.index.count(NS, ANA) == 9
    assert sorted(await memoir.found("tea coffee", limit=100)) == ["m0", "m1", "m3", "m4", "m5", "m6", "m7"]
    assert (await memoir.found("coffee"))[0] == "m0"
    assert await memoir.index.find(NS, ["m2"]) == []
    assert await memoir.graph.find(NS, ["m2"]) == []
    [hit] = [hit for hit in (await memoir.search("Bo3")).hits if hit.relations]
    assert hit.memory.memory_id == "m3"
    assert await memoir.index.ledger_id() == await memoir.graph.ledger_id() == memoir.ledger.ledger_id


def files(world: World, store: StoreKind) -> list[Path]:
    found = sorted(world.directory.glob(f"{FILES[store]}*"))
    assert found
    return found


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def scribble(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)


@pytest.mark.parametrize("store", [StoreKind.INDEX, StoreKind.GRAPH])
@pytest.mark.parametrize("damage", [delete, truncate, scribble])
async def test_a_lost_or_damaged_projection_is_rebuilt_without_embedding(
    world: World, store: StoreKind, damage: Callable[[Path], None]
) -> None:
    async with world.running() as memoir:
        await fill(memoir)
        await memoir.settle()
    for path in files(world, store):
        damage(path)
    async with world.running() as memoir:
        await memoir.settle()
        assert memoir.model.texts == [], "the ledger keeps the vectors"
        await check(memoir)


async def test_an_undamaged_projection_is_left_alone(world: World) -> None:
    async with world.running() as memoir:
        await fill(memoir)
        await memoir.settle()
    async with world.running() as memoir:
        await check(memoir)
        assert memoir.index_faults.calls["adopt"] == memoir.graph_faults.calls["adopt"] == 0
        # The place written with a batch is the one before it, so a little may be applied again.
        assert memoir.index_faults.calls["apply"] <= 1


@pytest.mark.parametrize("store", [StoreKind.INDEX, StoreKind.GRAPH])
async def test_a_projection_of_another_ledger_is_rebuilt(world: World, store: StoreKind, tmp_path: Path) -> None:
    other = World(tmp_path / "other", entropy=world.entropy)
    async with other.running() as memoir:
        await memoir.create("Ana drinks wine, says another ledger", memory_id="m3", **knows("Ana", "Zoe"))
    async with world.running() as memoir:
        await fill(memoir)
        await memoir.settle()
    for path in files(world, store):
        path.unlink()
    for path in files(other, store):
        path.rename(world.directory / path.name)
    async with world.running() as memoir:
        await check(memoir)
        assert "wine" not in str(await memoir.search("wine another ledger"))
        assert not [hit for hit in (await memoir.search("Zoe")).hits if hit.relations]


@pytest.mark.parametrize("store", [StoreKind.INDEX, StoreKind.GRAPH])
async def test_a_projection_restored_from_an_old_copy_catches_up(world: World, store: StoreKind) -> None:
    async with world.running() as memoir:
        await memoir.create("Ana drinks tea number 0 with Bo", memory_id="m0", **knows("Ana", "Bo0"))
        await memoir.create("Ana drinks tea number 2 with Bo", memory_id="m2", **knows("Ana", "Bo2"))
        await memoir.settle()
    old = {path: path.read_bytes() for path in files(world, store)}
    async with world.running() as memoir:
        for i in (1, 3, 4, 5, 6, 7):
            await memoir.create(f"Ana drinks tea number {i} with Bo", memory_id=f"m{i}", **knows("Ana", f"Bo{i}"))
        await memoir.update("m0", text="Ana drinks coffee")
        await memoir.update("m1", metadata={"cup": "blue"})
        await memoir.delete("m2")
        await memoir.settle()
    for path in files(world, store):
        path.unlink()
    for path, content in old.items():
        path.write_bytes(content)
    async with world.running() as memoir:
        await check(memoir)
        assert memoir.model.texts.count("Ana drinks coffee") == 0


async def test_another_model_rebuilds_the_index_with_its_own_vectors(world: World) -> None:
    async with world.running() as memoir:
        await fill(memoir)
        await memoir.settle()
    async with world.running(model=HashEmbedder(64)) as memoir:
        await memoir.settle()
        assert sorted(set(memoir.model.texts)) == sorted(memoir.model.texts), "each text once"
        assert len(memoir.model.texts) == 8
        assert await memoir.index.model() == memoir.embedder.model
        assert memoir.graph_faults.calls["adopt"] == 0, "the graph does not care about the model"
        await check(memoir)
    async with world.running() as memoir:
        await memoir.settle()
        assert memoir.model.texts == [], "the first model's vectors are still kept"
        await check(memoir)


@pytest.mark.parametrize("again", [256, 64])
async def test_a_crash_between_adopting_the_ledger_and_naming_the_model(world: World, again: int) -> None:
    """The index follows the ledger, but does not know its model: what is applied next must still be of one model, and
    a later change of the model must be noticed."""
    with pytest.raises(Killed):
        async with world.running(prepare=lambda f: f[StoreKind.INDEX].fail("set_model", times=1, error=Killed)):
            pass
    async with world.running() as memoir:
        await fill(memoir)
        await check(memoir)
        assert await memoir.index.model() == memoir.embedder.model
    async with world.running(model=HashEmbedder(again)) as memoir:
        await check(memoir)
        assert await memoir.index.model() == memoir.embedder.model


async def test_a_crash_in_the_middle_of_a_rebuild_is_made_good(world: World) -> None:
    async with world.running() as memoir:
        await fill(memoir)
        await memoir.settle()
    for path in files(world, StoreKind.INDEX):
        path.unlink()
    with pytest.raises(StoreUnavailable):
        async with world.running(prepare=lambda faults: faults[StoreKind.LEDGER].fail("requeue", times=1)):
            pass
    async with world.running() as memoir:
        await check(memoir)
        # The questions of the check were embedded; of the memories nothing was.
        assert not [text for text in memoir.model.texts if text.startswith("Ana drinks")]


async def test_work_left_by_an_outage_is_taken_up_at_the_next_start(world: World) -> None:
    async with world.running() as memoir:
        memoir.index_faults.down()
        memoir.graph_faults.down()
        for i in range(8):
            call = calling(durability=Durability.ACCEPTED)
            await memoir.create(f"tea number {i} with Bo", memory_id=f"m{i}", call=call, **knows("Ana", f"Bo{i}"))
    async with world.running() as memoir:
        await memoir.settle()
        assert len(await memoir.found("tea", limit=100)) == 8


async def test_a_rebuild_while_the_service_runs(memoir: Memoir) -> None:
    await fill(memoir)
    await memoir.settle()
    embedded = list(memoir.model.texts)
    await memoir.projector.rebuild(StoreKind.INDEX)
    await memoir.projector.rebuild(StoreKind.GRAPH)
    await memoir.settle()
    assert memoir.model.texts == embedded
    await check(memoir)


async def keep_relations(memoir: Memoir) -> None:
    await memoir.create("Ana knows Bo", memory_id="m", **knows("Ana", "Bo"))
    await memoir.settle()
    assert (await memoir.finished(await memoir.reset(keep_graph=True))).state is ResetState.SUCCEEDED
    assert await memoir.graph.known_names(NS, ["bo"], ANA) == ["bo"]


async def test_a_rebuilt_graph_has_the_relations_that_a_reset_kept(world: World) -> None:
    async with world.running() as memoir:
        await keep_relations(memoir)
    for path in files(world, StoreKind.GRAPH):
        path.unlink()
    async with world.running() as memoir:
        await memoir.settle()
        assert await memoir.graph.known_names(NS, ["bo"], ANA) == ["bo"]


async def test_a_crash_while_the_kept_relations_are_put_back(world: World) -> None:
    async with world.running() as memoir:
        await keep_relations(memoir)
    for path in files(world, StoreKind.GRAPH):
        path.unlink()
    with pytest.raises(Killed):
        async with world.running(prepare=lambda faults: faults[StoreKind.GRAPH].fail("apply", times=1, error=Killed)):
            pass
    async with world.running() as memoir:
        await memoir.settle()
        assert await memoir.graph.known_names(NS, ["bo"], ANA) == ["bo"]


async def keep_several(memoir: Memoir) -> None:
    """Kept relations of two versions' memories, with work before and after them."""
    await memoir.create("Ana knows Bo", memory_id="m", **knows("Ana", "Bo"))
    await memoir.create("Ana knows Dee", memory_id="o", **knows("Ana", "Dee"))
    await memoir.update("m", text="Ana knows Cy", **knows("Ana", "Cy"))
    assert (await memoir.finished(await memoir.reset(keep_graph=True))).state is ResetState.SUCCEEDED
    await memoir.create("Eve knows Flo", memory_id="later", **knows("Eve", "Flo"))
    await memoir.settle()


async def check_kept(memoir: Memoir) -> None:
    await memoir.settle()
    assert await findings(doctor_of(memoir)) == []
    assert await memoir.graph.known_names(NS, ["cy", "dee", "flo"], ANA) == ["cy", "dee", "flo"]


@pytest.mark.parametrize(
    ("store", "method"),
    [(StoreKind.GRAPH, "apply"), (StoreKind.LEDGER, "kept_facts"), (StoreKind.LEDGER, "requeue")],
)
async def test_a_crash_in_the_middle_of_a_rebuild_leaves_no_kept_relation_out(
    world: World, store: StoreKind, method: str
) -> None:
    """The graph is this ledger's already, and holds nothing: removals are replayed, and bring what they had kept."""
    async with world.running() as memoir:
        await keep_several(memoir)
    for path in files(world, StoreKind.GRAPH):
        path.unlink()
    with pytest.raises(Killed):
        async with world.running(prepare=lambda faults: faults[store].fail(method, times=1, error=Killed)):
            pass
    async with world.running() as memoir:
        await check_kept(memoir)


@pytest.mark.parametrize(("store", "method"), [(StoreKind.GRAPH, "apply"), (StoreKind.LEDGER, "kept_facts")])
async def test_a_crash_while_one_namespace_is_rebuilt_leaves_no_kept_relation_out(
    world: World, store: StoreKind, method: str
) -> None:
    async with world.running() as memoir:
        await keep_several(memoir)
        # Nobody goes on with it in this life.
        memoir.ledger_faults.hold("claim")
        memoir.faults[store].fail(method, times=1, error=Killed)
        with pytest.raises(Killed):
            await memoir.projector.rebuild_namespace(StoreKind.GRAPH, NS)
    async with world.running() as memoir:
        await check_kept(memoir)


@pytest.mark.parametrize("ended_by", ["delete", "reset", "keep_vector"])
async def test_a_later_memory_of_the_same_id_does_not_take_kept_relations_along(memoir: Memoir, ended_by: str) -> None:
    await keep_relations(memoir)
    await memoir.create("Ana knows Cy", memory_id="m", **knows("Ana", "Cy"))
    if ended_by == "delete":
        await memoir.delete("m")
    else:
        reset = await memoir.reset(keep_vector=ended_by == "keep_vector")
        assert (await memoir.finished(reset)).state is ResetState.SUCCEEDED
    doctor = doctor_of(memoir)
    for _ in range(2):
        await memoir.settle()
        assert await memoir.graph.known_names(NS, ["bo", "cy"], ANA) == ["bo"]
        assert await findings(doctor) == []
        await memoir.projector.rebuild_namespace(StoreKind.GRAPH, NS)


async def test_an_erasure_takes_the_relations_kept_of_every_memory_of_the_id(memoir: Memoir) -> None:
    await keep_relations(memoir)
    await memoir.create("Ana knows Cy", memory_id="m", **knows("Ana", "Cy"))
    done = await memoir.finished(await memoir.reset(include_history=True))
    assert done.state is ResetState.SUCCEEDED
    assert await memoir.graph.known_names(NS, ["bo", "cy"], ANA) == []
    assert await findings(doctor_of(memoir)) == []


async def test_an_old_copy_of_the_graph_gets_the_relations_that_a_reset_kept(world: World) -> None:
    async with world.running() as memoir:
        await memoir.create("something else", memory_id="other", **knows("Cy", "Di"))
        await memoir.settle()
    old = {path: path.read_bytes() for path in files(world, StoreKind.GRAPH)}
    async with world.running() as memoir:
        await keep_relations(memoir)
    for path in files(world, StoreKind.GRAPH):
        path.unlink()
    for path, content in old.items():
        path.write_bytes(content)
    async with world.running() as memoir:
        await memoir.settle()
        assert await memoir.graph.known_names(NS, ["bo"], ANA) == ["bo"]


async def test_a_graph_that_was_down_gets_the_relations_that_a_reset_kept(memoir: Memoir) -> None:
    memoir.graph_faults.down()
    await memoir.create("Ana knows Bo", memory_id="m", call=calling(0.25), **knows("Ana", "Bo"))
    reset = await memoir.reset(keep_graph=True)
    memoir.graph_faults.up()
    assert (await memoir.finished(reset)).state is ResetState.SUCCEEDED
    assert await memoir.graph.known_names(NS, ["bo"], ANA) == ["bo"]
