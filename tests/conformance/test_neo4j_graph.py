"""The graph in Neo4j: the suite of every graph, and what only a server can suffer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_conformance.graph_model import ALICE, OpenGraph, facts, laws, lives, names, run, select, snapshot
from memoir_conformance.graph_suite import GraphSuite
from memoir_server.adapters.graph.neo4j import GraphRefused, Neo4jGraph, Neo4jLogin, spaces
from memoir_server.adapters.graph.neo4j.schema import LAWS
from memoir_server.domain.consistency import Portion
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.graph import entity_id, normalise_name
from memoir_server.domain.memory import Scope
from memoir_server.ports.graph import EntityGraph, GraphAction, PutFacts
from memoir_server.ports.projection import Remove, Retire
from stores.four import bounded_stores
from stores.neo4j import Neo4j
from tests.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = pytest.mark.stores

LIFE_SECONDS = 1800.0
BEGIN = b"\xb1\x11"
COMMIT = b"\xb0\x12"
"""How the Bolt messages begin: a structure of that many fields, and its tag."""


@pytest.fixture(scope="session")
def server() -> Iterator[Neo4j]:
    with bounded_stores(("neo4j",), seconds=LIFE_SECONDS) as stores:
        yield stores.neo4j


def login(server: Neo4j) -> Neo4jLogin:
    address = server.address
    return Neo4jLogin(address.url, address.username, address.password)


@asynccontextmanager
async def opened(login: Neo4jLogin, name: str | None = None, *, seconds: float = 60.0) -> AsyncIterator[Neo4jGraph]:
    """A graph of its own in the server, or the one of that name."""
    graph = Neo4jGraph(login, graph=name or f"test {uuid.uuid4()}", seconds=seconds)
    await graph.open()
    try:
        yield graph
    finally:
        await graph.close()


@pytest.mark.timeout(900)
class TestNeo4jGraph(GraphSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def open_graph(cls, server: Neo4j) -> OpenGraph:
        where = login(server)

        def open_graph() -> AbstractAsyncContextManager[EntityGraph]:
            return opened(where)

        return open_graph


def held(server: Neo4j, graph: str) -> int:
    """Nodes of the graph in the server, beside those that stand for its namespaces."""
    query = (
        "MATCH (s:MemoirNamespace {graph: $graph}) MATCH (n {space: s.space}) WHERE NOT n:MemoirNamespace"
        " RETURN count(n)"
    )
    [[found]] = server.query(query, graph=graph)
    assert isinstance(found, int)
    return found


def namespaces(server: Neo4j, graph: str) -> int:
    """Namespaces of the graph in the server, dropped ones included."""
    [[found]] = server.query("MATCH (s:MemoirNamespace {graph: $graph}) RETURN count(s)", graph=graph)
    assert isinstance(found, int)
    return found


@asynccontextmanager
async def behind_proxy(server: Neo4j, graph: str) -> AsyncIterator[tuple[Neo4jGraph, TcpProxy]]:
    async with (
        tcp_proxy(server.address.host, server.address.port) as proxy,
        opened(replace(login(server), url=f"bolt://127.0.0.1:{proxy.port}"), graph) as found,
    ):
        yield found, proxy


async def test_it_remembers_over_a_restart(server: Neo4j) -> None:
    async with opened(login(server), "restarted") as graph:
        await graph.adopt("ledger")
        await graph.apply("ns", [PutFacts(facts(1, entities=["Anna"]))], applied=1)
        assert (await graph.ping()).startswith("Neo4j 5.26")
    with pytest.raises(StoreUnavailable, match="closed"):
        await graph.count("ns", ALICE)
    await asyncio.to_thread(server.restart)
    async with opened(login(server), "restarted") as graph:
        assert await graph.ledger_id() == "ledger"
        assert await graph.applied("ns") == 1
        assert await names(graph, "anna", select()) == ["m1"]


async def test_nothing_is_left_behind(server: Neo4j) -> None:
    said = [
        facts(n, f"m{n % 3}", entities=["Anna", f"E{n}"], relations=[("Anna", "knows", f"F{n % 2}")])
        for n in range(1, 9)
    ]
    async with opened(login(server), "left behind") as graph:
        await graph.apply("ns", [PutFacts(s) for s in (*said, *said[3:])], applied=9)
        await graph.apply("ns", [Remove("m0", 9), Remove("m1", 9, keep_relations=True)], applied=9)
        assert held(server, "left behind") > 0
        await graph.apply("ns", [Remove(f"m{n}", 9) for n in range(3)], applied=9)
        assert held(server, "left behind") == 0
        await graph.apply("ns", [PutFacts(s) for s in said], applied=9)
        await graph.drop("ns")
        assert (held(server, "left behind"), namespaces(server, "left behind")) == (0, 0)


async def test_what_was_acknowledged_outlives_a_kill(server: Neo4j) -> None:
    acknowledged: list[int] = []
    enough = asyncio.Event()

    def said(n: int) -> list[GraphAction]:
        put = PutFacts(facts(n, "m", entities=["Anna"], relations=[("Anna", "knows", f"N{n}")]))
        return [Retire("m", n - 1, n), put]

    async with opened(login(server), "killed") as graph:

        async def write() -> None:
            with suppress(StoreUnavailable):
                for n in range(1, 2000):
                    await graph.apply("ns", said(n), applied=n)
                    acknowledged.append(n)
                    if n == 20:
                        enough.set()

        writing = asyncio.create_task(write())
        await asyncio.wait({writing, asyncio.create_task(enough.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert enough.is_set()
        await asyncio.to_thread(server.kill)
        await writing
        for call in (graph.ping, graph.ledger_id, lambda: graph.count("ns", ALICE), lambda: graph.drop("ns")):
            with pytest.raises(StoreUnavailable, match="graph"):
                await call()
        late = Neo4jGraph(login(server), graph="killed")
        with pytest.raises(StoreUnavailable):
            await late.open()
        await asyncio.to_thread(server.start)
        # Neither is opened anew.
        applied = await graph.applied("ns")
        assert applied >= acknowledged[-1]
        assert await late.applied("ns") == applied
        await late.close()
        before = await snapshot(graph, "ns")
        assert [v.revision for v in await graph.scan("ns", Portion(), after=0, limit=9999)] == list(
            range(1, applied + 1)
        )
        assert await names(graph, "anna", select()) == ["m"]
        for n in (applied - 1, applied):
            await graph.apply("ns", said(n), applied=n)
        await graph.apply("ns", [Retire("m", applied - 1, applied)], applied=applied)
        assert await snapshot(graph, "ns") == before


async def test_a_server_that_hangs_is_unavailable(server: Neo4j, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(login(server)) as graph:
        await graph.apply("ns", [PutFacts(facts(1, entities=["Anna"]))], applied=1)
        assert await graph.count("ns", ALICE) == 1
        monkeypatch.setattr(graph._connection, "_seconds", 1.0)
        await asyncio.to_thread(server.suspend)
        try:
            for call in (
                graph.count("ns", ALICE),
                graph.apply("ns", [PutFacts(facts(2, entities=["Ben"]))], applied=2),
            ):
                with pytest.raises(StoreUnavailable, match="no answer within 1 s"):
                    await call
        finally:
            await asyncio.to_thread(server.resume)
        monkeypatch.undo()
        await graph.apply("ns", [PutFacts(facts(2, entities=["Ben"]))], applied=2)
        assert await graph.count("ns", ALICE) == 2


async def test_a_wrong_login_says_so(server: Neo4j) -> None:
    async with opened(login(server)):
        pass
    stranger = Neo4jGraph(replace(login(server), password="wrong-password"))
    with pytest.raises(StoreUnavailable, match="Unauthorized"):
        await stranger.open()
    await stranger.close()
    with pytest.raises(StoreUnavailable, match="give bolt://host:port"):
        await Neo4jGraph(replace(login(server), url="http://127.0.0.1:7474")).open()


async def test_a_transaction_that_lost_its_connection_is_repeated(server: Neo4j) -> None:
    async with behind_proxy(server, "cut before") as (graph, proxy):
        for n, message in enumerate((BEGIN, COMMIT), 1):
            await graph.apply("ns", [PutFacts(facts(n, entities=["Anna"]))], applied=n)
            proxy.cut_at, proxy.counted, proxy.count = message, BEGIN, 0
            try:
                await graph.apply("ns", [PutFacts(facts(n + 10, entities=["Anna"]))], applied=n)
                assert proxy.count > 1
            except StoreUnavailable:
                # Nobody knows whether a commit without an answer was done: the projector repeats it.
                assert message == COMMIT
                await graph.apply("ns", [PutFacts(facts(n + 10, entities=["Anna"]))], applied=n)
            assert proxy.cuts == n
        assert await names(graph, "anna", select()) == ["m1", "m11", "m12", "m2"]


async def test_a_question_by_itself_that_lost_its_connection_is_repeated(server: Neo4j) -> None:
    async with behind_proxy(server, "cut names") as (graph, proxy):
        await graph.apply("ns", [PutFacts(facts(1, entities=["Anna"]))], applied=1)
        for cuts, after in enumerate((False, True), 1):
            proxy.cut_at, proxy.after = b"h.space", after
            assert list(await graph.known_names("ns", ["anna"], ALICE)) == ["anna"]
            assert proxy.cuts == cuts
        assert list(await graph.known_names("elsewhere", ["anna"], ALICE)) == []


async def test_a_commit_whose_answer_was_lost_may_be_repeated(server: Neo4j) -> None:
    put = [PutFacts(facts(1, relations=[("Anna", "knows", "Ben")]))]
    async with behind_proxy(server, "cut after") as (graph, proxy):
        await graph.apply("ns", [], applied=1)
        proxy.cut_at, proxy.after = COMMIT, True
        with pytest.raises(StoreUnavailable):
            await graph.apply("ns", put, applied=2)
        assert proxy.cuts == 1
        assert await graph.applied("ns") == 2
        before = await snapshot(graph, "ns")
        await graph.apply("ns", put, applied=2)
        assert await snapshot(graph, "ns") == before
        assert held(server, "cut after") == 6


async def test_cleaning_up_that_was_broken_off_is_resumed(server: Neo4j, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "_SWEEP", 3)
    async with behind_proxy(server, "swept") as (graph, proxy):
        await graph.apply("ns", [PutFacts(facts(n, entities=[f"E{n}"])) for n in range(1, 11)], applied=10)
        for begin in (graph.adopt("ledger"), graph.drop("ns"), graph.settle("ns")):
            await graph.apply("ns", [PutFacts(facts(n, entities=[f"E{n}"])) for n in range(1, 11)], applied=10)
            old = held(server, "swept")
            proxy.cut_at, proxy.after = COMMIT, True
            with suppress(StoreUnavailable):
                await begin
            assert held(server, "swept") <= old
        assert proxy.cuts == 3
        await graph.drop("ns")
        assert (held(server, "swept"), namespaces(server, "swept")) == (0, 0)


async def test_writers_of_the_same_entities_do_not_block_each_other_for_good(server: Neo4j) -> None:
    people = [f"P{n}" for n in range(12)]

    def said(n: int, namespace: str) -> PutFacts:
        order = people[n % 12 :] + people[: n % 12]
        relations = [(order[i], "knows", order[i + 1]) for i in range(11)]
        return PutFacts(facts(n, entities=order, relations=relations, namespace=namespace))

    async with (
        opened(login(server), "shared") as one,
        opened(login(server), "shared") as two,
        opened(login(server)) as plain,
    ):
        await asyncio.gather(
            *(
                graph.apply(namespace, [said(n, namespace), said(n + 100, namespace)], applied=n)
                for n in range(1, 25)
                for graph in ((one, two)[n % 2],)
                for namespace in ("ns", "ns-1")
            )
        )
        for namespace in ("ns", "ns-1"):
            everything: list[GraphAction] = [said(n + m, namespace) for n in range(1, 25) for m in (0, 100)]
            await plain.apply(namespace, everything, applied=24)
            assert await one.scan(namespace, Portion(), after=0, limit=999) == await plain.scan(
                namespace, Portion(), after=0, limit=999
            )
            assert await one.applied(namespace) == 24
        assert await snapshot(one, "ns") == await snapshot(plain, "ns")


async def test_a_read_beside_a_writer_never_mixes_what_two_writes_say(server: Neo4j) -> None:
    async with opened(login(server)) as graph:
        start = entity_id("ns", ALICE, "thing", "Anna")

        async def read() -> list[str]:
            answer = await graph.traverse(
                "ns", [start], select(), depth=2, predicates=frozenset(), limit=9, hidden=frozenset()
            )
            found = [e.name for e in answer.found.entities]
            assert len(answer.versions) <= 1
            for revision in answer.versions:
                assert found == ["Anna", f"N{revision}", f"O{revision}"][: len(found)]
            return found

        async def write() -> None:
            for n in range(1, 40):
                put = PutFacts(facts(n, "m", relations=[("Anna", "knows", f"N{n}"), (f"N{n}", "knows", f"O{n}")]))
                await graph.apply("ns", [Remove("m", n - 1), put], applied=n)

        writing = asyncio.create_task(write())
        while not writing.done():
            await read()
        await writing
        assert await read() == ["Anna", "N39", "O39"]


async def test_several_servers_prepare_the_database_at_once(server: Neo4j) -> None:
    async with opened(login(server)):
        pass
    for name, law in LAWS.items():
        server.query(f"DROP {law.split()[0]} {name}")
    graphs = [Neo4jGraph(login(server)) for _ in range(4)]
    await asyncio.gather(*(graph.open() for graph in graphs))
    found = {row[0] for row in server.query("SHOW INDEXES YIELD name, state WHERE state = 'ONLINE' RETURN name")}
    assert found >= set(LAWS)
    await asyncio.gather(*(graph.close() for graph in graphs))


async def test_an_index_that_another_server_made_meanwhile_is_taken(
    server: Neo4j, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(login(server)):
        pass
    late = {f"{name}, as if missing": law.replace(" IF NOT EXISTS", "") for name, law in LAWS.items()}
    monkeypatch.setattr(spaces, "LAWS", late)
    async with opened(login(server)) as graph:
        assert await graph.ledger_id() == ""
    monkeypatch.setattr(spaces, "LAWS", {"broken": "INDEX broken FOR (n:MemoirName) ON ()"})
    with pytest.raises(GraphRefused, match="SyntaxError"):
        await Neo4jGraph(login(server)).open()


async def test_an_action_that_is_refused_leaves_nothing(server: Neo4j) -> None:
    async with opened(login(server), "refused") as graph:
        good = facts(1, entities=["Anna"])
        bad = replace(good, revision=2, entities=(replace(good.entities[0], entity_id="x" * 50_000),))
        with pytest.raises(GraphRefused, match="too large") as refused:
            await graph.apply("ns", [PutFacts(good), PutFacts(bad)], applied=2)
        assert refused.value.code.startswith("Neo.")
        assert (await graph.applied("ns"), held(server, "refused")) == (0, 0)
        await graph.apply("ns", [PutFacts(good)], applied=1)
        assert await graph.count("ns", ALICE) == 1


async def test_names_beyond_what_an_index_takes(server: Neo4j) -> None:
    long = normalise_name("\ufdfa" * 256)
    twin = f"{long} too"
    assert len(long.encode()) > 8_191
    async with opened(login(server)) as graph:
        await graph.apply("ns", [PutFacts(facts(1, entities=[long])), PutFacts(facts(2, entities=[twin]))], applied=2)
        assert await names(graph, long, select()) == ["m1"]
        assert await names(graph, twin, select()) == ["m2"]
        assert list(await graph.known_names("ns", [long], ALICE)) == [long, twin]
        assert list(await graph.known_names("ns", [f"{long} t"], ALICE)) == [twin]


async def test_listings_go_by_code_points(server: Neo4j) -> None:
    spelled = ["\ue000", "\U0001f600", "z", "é", "Z\u0301", "北京"]
    async with opened(login(server)) as graph:
        said = [PutFacts(facts(n, f"{name}-m", entities=[name, "all"])) for n, name in enumerate(spelled, 1)]
        await graph.apply("ns", said, applied=9)
        answer = await graph.entities("ns", select(), type_="", prefix="", after=None, limit=99, hidden=frozenset())
        assert [e.name for e in answer.found] == sorted([*spelled, "all"], key=normalise_name)
        assert await names(graph, "all", select()) == sorted(f"{name}-m" for name in spelled)


async def test_settling_deletes_what_no_version_says(server: Neo4j) -> None:
    async with opened(login(server), "damaged") as graph:
        said = [facts(1, relations=[("Anna", "knows", "Ben")]), facts(2, entities=["Carl"])]
        await graph.apply("ns", [PutFacts(s) for s in said], applied=2)
        of = "MATCH (s:MemoirNamespace {graph: 'damaged'}) "
        server.query(of + "MATCH (n:MemoirName {space: s.space, name: 'carl'}) DETACH DELETE n")
        [_, carl] = await graph.scan("ns", Portion(), after=0, limit=9)
        assert carl.resources == frozenset()
        server.query(of + "MATCH (n:MemoirVersion {space: s.space}) DETACH DELETE n")
        await graph.settle("ns")
        assert held(server, "damaged") == 0
        await graph.apply("ns", [PutFacts(s) for s in said], applied=2)
        server.query(of + "MATCH (e:MemoirEntity {space: s.space, name: 'ben'}) DETACH DELETE e")
        [anna, _] = await graph.scan("ns", Portion(), after=0, limit=9)
        assert anna.resources == {entity_id("ns", ALICE, "thing", "Anna")}
        await graph.settle("ns")
        assert held(server, "damaged") == 2 + 2 + 2


alike = st.sampled_from(("ns", "ns-1", "n", "NS", "ns/", "ns/ns", "", "/", "ns\x00", "=ns", "{ns}", "' OR true //"))


@pytest.mark.timeout(600)
@laws
@given(
    pair=st.tuples(st.tuples(alike, alike), st.tuples(alike, alike)).filter(lambda pair: pair[0] != pair[1]),
    actions=lives(steps=6),
)
def test_namespaces_and_graphs_that_contain_each_other_never_meet(
    server: Neo4j, pair: tuple[tuple[str, str], tuple[str, str]], actions: list[GraphAction]
) -> None:
    (mine, here), (theirs, there) = pair
    prefix = str(uuid.uuid4())

    async def check(graph: EntityGraph) -> None:
        async with opened(login(server), f"{prefix}{theirs}") as other:
            nothing = await snapshot(other, there)
            await graph.apply(here, actions, applied=6)
            told = await snapshot(graph, here)
            assert await snapshot(other, there) == nothing
            assert await other.applied(there) == 0
            await other.apply(there, [*actions, Remove("m", 9)], applied=9)
            await other.settle(there)
            assert await snapshot(graph, here) == told
            await other.drop(there)
            assert await snapshot(graph, here) == told
            if mine != theirs:
                await other.adopt("another")
                assert await snapshot(graph, here) == told
            assert await other.count(there, Scope()) == 0

    run(lambda: opened(login(server), f"{prefix}{mine}"), check)
