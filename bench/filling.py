"""Servers with memories in them, imported with ready vectors of the model's dimension."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from bench.batches import PROJECTIONS
from bench.corpus import Corpus
from bench.processes import ServerProcess, memoir_server
from bench.vectors import vectors_of
from memoir import FreshnessTimeout, Memoir, StoreUnavailable
from memoir.v1 import admin_pb2, admin_pb2_grpc, transfer_pb2, transfer_pb2_grpc
from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.adapters.embedder.models import locate
from memoir_server.domain.embedding import EmbeddingModel

NAMESPACE = "bench"
_INDEXED_SECONDS = 4 * 3600.0

Progress = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A running server with a corpus in it, everything indexed."""

    process: ServerProcess
    corpus: Corpus
    folder: Path
    loaded_per_second: float

    @property
    def memories(self) -> int:
        """Memories in all."""
        return self.corpus.users * self.corpus.memories_per_user

    def disk_mib(self) -> float:
        """Size of the data directory in MiB."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file()) / 2**20


@contextmanager
def filled(
    folder: Path, corpus: Corpus, model: str, say: Progress, *, environment: Mapping[str, str] | None = None
) -> Iterator[Filled]:
    """A server on a new data directory below `folder`, filled with the corpus; `environment` adds settings."""
    with memoir_server(folder, {"MEMOIR_EMBEDDER__MODEL": model, **(environment or {})}) as process:
        began = time.perf_counter()
        count = corpus.users * corpus.memories_per_user
        say(f"loading {count:,} memories")
        with grpc.insecure_channel(process.address) as channel:
            _import(channel, corpus, model)
        wait_indexed(process, NAMESPACE)
        yield Filled(process, corpus, folder / "data", count / (time.perf_counter() - began))


def model_of(name: str) -> EmbeddingModel:
    """Identity of the model that a server started with this setting has."""
    return HashEmbedder().model if name == "hash" else locate(name).model


def wait_indexed(process: ServerProcess, namespace: str) -> None:
    """Returns when everything written to the namespace so far is in every projection. Writes one memory.

    Raises RuntimeError when that takes longer than four hours.
    """
    deadline = time.monotonic() + _INDEXED_SECONDS
    with Memoir(process.address, namespace=namespace, timeout=60) as client:
        revision = client.create("everything before this one is indexed", user_id="bench").write_revision
        # A search waits in the server; asking how far it is would be work for it and all stores, ten times a second.
        while time.monotonic() < deadline and not _answered(client, revision):
            time.sleep(0.1)
    with grpc.insecure_channel(process.address) as channel:
        info = admin_pb2_grpc.AdminServiceStub(channel)
        while True:
            stores = info.GetServerInfo(admin_pb2.GetServerInfoRequest(namespace=namespace), timeout=60).stores
            if all(store.applied_revision >= revision for store in stores if store.store in PROJECTIONS):
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"not indexed after {_INDEXED_SECONDS:g} s: {stores}")
            time.sleep(0.1)


def _answered(client: Memoir, revision: int) -> bool:
    """Whether a search that is to see the revision got its answer."""
    try:
        client.search("indexed", user_id="bench", graph_depth=0, min_revision=revision)
    except (FreshnessTimeout, StoreUnavailable):
        return False
    return True


def _import(channel: grpc.Channel, corpus: Corpus, model: str) -> None:
    identity = model_of(model)
    stub = transfer_pb2_grpc.TransferServiceStub(channel)
    refused = [
        result
        for result in stub.ImportMemories(_items(corpus, identity), timeout=_INDEXED_SECONDS)
        if result.WhichOneof("outcome") == "error"
    ]
    if refused:
        raise RuntimeError(f"{len(refused)} memories were refused, the first because of {refused[0].error}")


def _items(corpus: Corpus, model: EmbeddingModel) -> Iterator[transfer_pb2.ImportMemoriesRequest]:
    yield transfer_pb2.ImportMemoriesRequest(header=transfer_pb2.ImportMemoriesRequest.Header(namespace=NAMESPACE))
    sequence = 0
    for number in range(corpus.users):
        vectors = vectors_of(corpus, number, model.dimension)
        for i, (text, vector) in enumerate(zip(corpus.texts(number), vectors.tolist(), strict=True)):
            sequence += 1
            request = transfer_pb2.ImportMemoriesRequest()
            request.item.sequence = sequence
            memory = request.item.memory.memory
            memory.memory_id, memory.text = f"{corpus.user(number)}-{i}", text
            memory.scope.user_id = corpus.user(number)
            embedding = request.item.memory.embedding
            embedding.model, embedding.version = model.name, model.version
            embedding.values.extend(vector)
            yield request
