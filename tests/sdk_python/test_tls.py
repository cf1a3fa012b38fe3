"""TLS against a real TLS server, with certificates that openssl makes for the test."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from memoir import AsyncMemoir, Memoir, Unavailable
from memoir.v1 import history_pb2, memory_pb2
from tests.sdk_python.fake_server import FakeServer, fake_server

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
Pem = Callable[[str], bytes]


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Pem:
    """Reads "NAME.pem" or "NAME.key" of what was made: two authorities, servers and clients."""
    directory = tmp_path_factory.mktemp("certificates")
    for authority in ("ca", "other-ca"):
        files = ("-keyout", f"{authority}.key", "-out", f"{authority}.pem")
        _openssl(directory, "req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={authority}", *files)
    _issue(directory, "server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    _issue(directory, "elsewhere", "ca", "subjectAltName=DNS:memoir.example")
    _issue(directory, "client", "ca", "extendedKeyUsage=clientAuth")
    _issue(directory, "stranger", "other-ca", "extendedKeyUsage=clientAuth")
    return lambda name: (directory / name).read_bytes()


def _openssl(directory: Path, *command: str) -> None:
    subprocess.run(("openssl", *command), cwd=directory, check=True, capture_output=True, timeout=30)


def _issue(directory: Path, name: str, authority: str, extension: str) -> None:
    (directory / f"{name}.ext").write_text(f"{extension}\n", encoding="utf-8")
    _openssl(directory, "req", *_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    signer = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial")
    files = ("-in", f"{name}.csr", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    _openssl(directory, "x509", "-req", *signer, "-days", "2", *files)


def _server(pem: Pem, name: str = "server", client_authority: str = "") -> grpc.ServerCredentials:
    pair = (pem(f"{name}.key"), pem(f"{name}.pem"))
    if not client_authority:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials([pair], pem(client_authority), require_client_auth=True)


def _answering(fake: FakeServer) -> FakeServer:
    async def watch(_: history_pb2.WatchHistoryRequest):  # type: ignore[no-untyped-def]
        yield history_pb2.WatchHistoryResponse(resume_token="t", event=history_pb2.HistoryEvent(revision=3))

    fake.answers["GetMemory"] = lambda q: memory_pb2.GetMemoryResponse(memory=memory_pb2.Memory(memory_id=q.memory_id))
    fake.answers["WatchHistory"] = watch
    return fake


async def _get(fake: FakeServer, credentials: grpc.ChannelCredentials | None) -> str:
    async with AsyncMemoir(fake.target, timeout=5.0, credentials=credentials) as memoir:
        return (await memoir.get("m-1")).id


async def test_calls_and_watches_go_over_tls_to_a_server_whose_authority_is_trusted(pem: Pem) -> None:
    trusting = grpc.ssl_channel_credentials(pem("ca.pem"))
    async with fake_server(_server(pem)) as fake:
        _answering(fake)
        assert await _get(fake, trusting) == "m-1"
        async with AsyncMemoir(fake.target, credentials=trusting) as memoir, memoir.watch() as events:
            assert (await anext(events)).revision == 3


async def test_a_server_of_another_authority_or_name_is_not_spoken_to(pem: Pem) -> None:
    async with fake_server(_server(pem)) as fake:
        for credentials in (grpc.ssl_channel_credentials(pem("other-ca.pem")), grpc.ssl_channel_credentials()):
            with pytest.raises(Unavailable):
                await _get(_answering(fake), credentials)
        assert fake.calls == []
    async with fake_server(_server(pem, "elsewhere")) as fake:
        with pytest.raises(Unavailable):
            await _get(_answering(fake), grpc.ssl_channel_credentials(pem("ca.pem")))
        assert fake.calls == []


async def test_plain_text_is_not_understood_by_a_tls_server(pem: Pem) -> None:
    async with fake_server(_server(pem)) as fake:
        with pytest.raises(Unavailable):
            await _get(_answering(fake), None)


async def test_a_server_that_wants_a_certificate_of_the_client_gets_it_and_takes_no_other(pem: Pem) -> None:
    authority = pem("ca.pem")
    async with fake_server(_server(pem, client_authority="ca.pem")) as fake:
        _answering(fake)
        assert await _get(fake, grpc.ssl_channel_credentials(authority, pem("client.key"), pem("client.pem"))) == "m-1"
        stranger = grpc.ssl_channel_credentials(authority, pem("stranger.key"), pem("stranger.pem"))
        for credentials in (grpc.ssl_channel_credentials(authority), stranger):
            with pytest.raises(Unavailable):
                await _get(fake, credentials)
        assert len(fake.calls) == 1


async def test_the_synchronous_client_passes_its_credentials_on(pem: Pem) -> None:
    async with fake_server(_server(pem)) as fake:
        _answering(fake)

        def get() -> str:
            with Memoir(fake.target, credentials=grpc.ssl_channel_credentials(pem("ca.pem"))) as memoir:
                return memoir.get("m-1").id

        assert await asyncio.to_thread(get) == "m-1"
