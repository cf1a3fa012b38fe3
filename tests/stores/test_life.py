"""Start, restart, kill, freeze and stop of each real store."""

from __future__ import annotations

import ipaddress
import json
import socket
import stat
import threading
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError

import grpc
import pytest

from stores import settings
from stores.bolt import Bolt
from stores.errors import StoreError
from stores.four import Stores
from stores.ports import LOOPBACK
from stores.process import Identity
from stores.redis import Redis
from tests.stores.conftest import Case

pytestmark = pytest.mark.timeout(900)


def family(case: Case) -> list[Identity]:
    pid = case.store.pid
    assert pid is not None
    process = Identity.of(pid)
    assert process is not None
    return process.family()


def test_it_has_the_pinned_version(case: Case) -> None:
    found = case.store.reported_version()
    assert found == case.store.version or found.startswith(f"{case.store.version}.")
    assert case.store.running
    assert case.store.memory() > 1_000_000


def test_a_second_start_leaves_it_alone(case: Case) -> None:
    pid, address = case.store.pid, case.store.address
    assert case.store.start() == address
    assert case.store.pid == pid


def test_a_restart_keeps_data_and_address(case: Case) -> None:
    case.kept.write("restarted", "kept over a restart")
    pid, address = case.store.pid, case.store.address
    assert case.store.restart() == address
    assert case.store.pid != pid
    assert case.kept.read("restarted") == "kept over a restart"


def test_a_kill_ends_all_of_it_and_acknowledged_data_comes_back(case: Case) -> None:
    case.kept.write("killed", "kept over a kill")
    members, address = family(case), case.store.address
    case.store.kill()
    assert not any(member.alive for member in members)
    assert not case.store.running
    assert case.store.pid is None
    assert case.store.start() == address
    assert case.kept.read("killed") == "kept over a kill"


def test_a_stop_leaves_no_process_and_frees_the_ports(case: Case) -> None:
    members = family(case)
    ports = [port for port in vars_of(case.store.address) if port]
    case.store.stop()
    assert not any(member.alive for member in members)
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
    # Neither is an error when nothing runs.
    case.store.stop()
    case.store.kill()
    case.store.start()


def vars_of(address: object) -> list[int]:
    """The ports among an address's fields."""
    return [getattr(address, name) for name in ("port", "http_port", "grpc_port") if hasattr(address, name)]


def test_a_port_in_use_is_named_and_nothing_is_left(case: Case) -> None:
    case.kept.write("waited", "kept meanwhile")
    port = vars_of(case.store.address)[-1]
    case.store.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((LOOPBACK, port))
        other.listen()
        with pytest.raises(StoreError, match=rf"port {port} .* in use"):
            case.store.start()
        assert not case.store.running
    case.store.start()
    assert case.kept.read("waited") == "kept meanwhile"


def test_a_suspended_store_answers_when_it_is_resumed(case: Case) -> None:
    case.kept.write("frozen", "kept in the cold")
    answers: list[str] = []
    case.store.suspend()
    try:
        reader = threading.Thread(target=lambda: answers.append(case.kept.read("frozen")))
        reader.start()
        reader.join(timeout=1.0)
        assert answers == []
        assert case.store.running
    finally:
        case.store.resume()
    reader.join(timeout=60.0)
    assert answers == ["kept in the cold"]


def test_it_listens_on_loopback_only(case: Case) -> None:
    places = {place for member in family(case) for place in listening(member.pid)}
    ports = json.loads((case.store.directory / "store.json").read_text(encoding="utf-8"))["ports"]
    assert {port for _, port in places} == set(ports.values())
    assert {host for host, _ in places} == {LOOPBACK}


def listening(pid: int) -> set[tuple[str, int]]:
    """Addresses the process listens on, as the kernel has them."""
    links = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in sockets:
                host, _, port = words[1].partition(":")
                # Four bytes at a time, each in the machine's order.
                packed = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
                address = ipaddress.ip_address(packed)
                mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
                found.add((str(mapped or address), int(port, 16)))
    return found


def test_its_files_are_private(case: Case) -> None:
    for name in ("store.json", "log.txt"):
        assert stat.S_IMODE((case.store.directory / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((case.store.directory / "data").stat().st_mode) & 0o077 == 0 or case.store.name == "neo4j"
    # Its address can be shown and logged.
    assert len(secret(case)) >= 48
    assert secret(case) not in repr(case.store.address)


def test_the_password_is_in_no_command_line(case: Case) -> None:
    for member in family(case):
        assert secret(case).encode() not in Path(f"/proc/{member.pid}/cmdline").read_bytes()


def secret(case: Case) -> str:
    address = case.store.address
    return str(getattr(address, "password", None) or address.api_key)


def test_a_wrong_password_is_refused(four_stores: Stores) -> None:
    for store in four_stores.each:
        store.start()
    addresses = four_stores.addresses
    with pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(f"{addresses.weaviate.url}/v1/schema", timeout=10)
    refused.value.close()
    assert refused.value.code == 401
    with pytest.raises(StoreError, match="unauthorized"):
        Bolt(replace(addresses.neo4j, password="wrong"))
    grpc_place = f"{addresses.weaviate.host}:{addresses.weaviate.grpc_port}"
    with grpc.insecure_channel(grpc_place) as channel, pytest.raises(grpc.RpcError, match="unauthorized"):
        channel.unary_unary("/weaviate.v1.Weaviate/Search", request_serializer=bytes)(b"", timeout=10)
    with socket.create_connection((addresses.redis.host, addresses.redis.port), timeout=10) as connection:
        connection.sendall(b"GET x\r\n")
        assert connection.recv(100).startswith(b"-NOAUTH")
    rules = four_stores.postgresql.query("SELECT DISTINCT auth_method FROM pg_hba_file_rules")
    assert rules == "scram-sha-256"


def test_the_settings_of_the_file_are_in_force(four_stores: Stores) -> None:
    for store in four_stores.each:
        store.start()
    for key in ("max_connections", "shared_buffers", "synchronous_commit", "fsync"):
        assert four_stores.postgresql.query(f"SHOW {key}") == settings.POSTGRESQL_PARAMETERS[key]
    assert four_stores.postgresql.query("SELECT 'Z' < 'a', 'é' > 'z', lower('É')") == "t|t|é"
    info = four_stores.redis.command("INFO", "memory")
    assert "maxmemory_policy:allkeys-lru" in info
    assert "maxmemory_human:256.00M" in info
    heap = four_stores.neo4j.query("CALL dbms.listConfig('server.memory.heap.max_size') YIELD value RETURN value")
    assert heap == [["512.00MiB"]]
    nodes = four_stores.weaviate.request("GET", "/v1/nodes")
    assert isinstance(nodes, dict)
    assert [node["name"] for node in nodes["nodes"]] == [settings.WEAVIATE_ENVIRONMENT["CLUSTER_HOSTNAME"]]


def test_a_database_of_ones_own(four_stores: Stores) -> None:
    store = four_stores.postgresql
    store.start()
    address = store.create_database("of_a_test")
    assert address.database == "of_a_test"
    store.query("CREATE TABLE t AS SELECT 1", database="of_a_test")
    store.create_database("of_a_test")
    assert store.query("SELECT count(*) FROM pg_tables WHERE tablename = 't'", database="of_a_test") == "0"
    with pytest.raises(StoreError, match="no database name"):
        store.create_database("x; DROP DATABASE memoir")


def test_what_dies_while_starting_tells_why(tmp_path: Path) -> None:
    store = Redis(tmp_path, settings={"maxmemory": "plenty"})
    with pytest.raises(StoreError, match="maxmemory"):
        store.start()
    assert not store.running


def test_another_version_is_refused_and_ended(tmp_path: Path) -> None:
    class Later(Redis):
        version = "999"

    store = Later(tmp_path)
    with pytest.raises(StoreError, match=r"says it is 7\.0.*, not 999"):
        store.start()
    assert not store.running
    with pytest.raises(StoreError, match="made by version 999"):
        Redis(tmp_path).start()
