"""Bare Weaviate through its own client: the same memories and vectors, filled in batches, and the two queries that a
search needs, sent side by side.

    python -m bench.bare_weaviate   (reads one Job as JSON from standard input, writes one Result as JSON)
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import uvloop
import weaviate
from weaviate.classes.config import Configure, DataType, Property, Tokenization, VectorDistances
from weaviate.classes.data import DataObject
from weaviate.classes.init import Auth
from weaviate.classes.query import Filter

from bench.corpus import Corpus
from bench.vectors import vectors_of

_COLLECTION = "BareBench"
_DEPTH = 200
"""Candidates per query, as many as Memoir takes."""
_BATCH = 500
"""Objects per insert, as many as Memoir's projector sends."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to do: fill with the corpus, or ask (user, query) pairs one after the other."""

    host: str
    http_port: int
    grpc_port: int
    api_key: str
    users: int
    memories_per_user: int
    dimension: int
    fill: bool
    queries: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds of the filling, and of each pair of queries."""

    filled: float
    times: tuple[float, ...]


async def run(job: Job) -> Result:
    """Carries out one job. Raises weaviate's exceptions, RuntimeError when an object was refused."""
    corpus = Corpus(job.users, job.memories_per_user)
    async with _client(job) as client:
        filled = await _fill(client, corpus, job.dimension) if job.fill else 0.0
        times = await _ask(client, job) if job.queries else ()
    return Result(filled, tuple(times))


async def _fill(client: weaviate.WeaviateAsyncClient, corpus: Corpus, dimension: int) -> float:
    collection = await client.collections.create(
        _COLLECTION,
        vector_config=Configure.Vectors.self_provided(
            vector_index_config=Configure.VectorIndex.hnsw(
                distance_metric=VectorDistances.DOT, quantizer=Configure.VectorIndex.Quantizer.none()
            )
        ),
        properties=[
            Property(name="memory_id", data_type=DataType.TEXT, tokenization=Tokenization.FIELD),
            Property(name="user", data_type=DataType.TEXT, tokenization=Tokenization.FIELD),
            Property(name="text", data_type=DataType.TEXT, tokenization=Tokenization.WORD),
        ],
        multi_tenancy_config=Configure.multi_tenancy(enabled=True, auto_tenant_creation=True),
    )
    tenant = collection.with_tenant("bench")
    took = 0.0
    # The clock stands while a batch is made: a million made beforehand would not fit.
    for batch in _batches(corpus, dimension):
        began = time.perf_counter()
        answer = await tenant.data.insert_many(batch)
        took += time.perf_counter() - began
        if answer.has_errors:
            raise RuntimeError(f"{len(answer.errors)} objects were refused: {next(iter(answer.errors.values()))}")
    return took


def _batches(corpus: Corpus, dimension: int) -> Iterator[list[DataObject[Any, None]]]:
    batch: list[DataObject[Any, None]] = []
    for number in range(corpus.users):
        user = corpus.user(number)
        for i, (text, vector) in enumerate(
            zip(corpus.texts(number), vectors_of(corpus, number, dimension), strict=True)
        ):
            batch.append(DataObject({"memory_id": f"{user}-{i}", "user": user, "text": text}, vector=vector.tolist()))
            if len(batch) == _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


async def _ask(client: weaviate.WeaviateAsyncClient, job: Job) -> list[float]:
    tenant = client.collections.use(_COLLECTION).with_tenant("bench")
    chance = np.random.default_rng(5)
    times = []
    for user, query in job.queries:
        vector = chance.standard_normal(job.dimension, dtype=np.float32)
        near = (vector / np.linalg.norm(vector)).tolist()
        owned = Filter.by_property("user").equal(user)
        began = time.perf_counter()
        # What a search has to read of its candidates: properties, and vectors for exact cosines.
        await asyncio.gather(
            tenant.query.near_vector(near, limit=_DEPTH, filters=owned, include_vector=True),
            tenant.query.bm25(query, query_properties=["text"], limit=_DEPTH, filters=owned),
        )
        times.append(time.perf_counter() - began)
    return times


@asynccontextmanager
async def _client(job: Job) -> AsyncIterator[weaviate.WeaviateAsyncClient]:
    client = weaviate.use_async_with_custom(
        http_host=job.host,
        http_port=job.http_port,
        http_secure=False,
        grpc_host=job.host,
        grpc_port=job.grpc_port,
        grpc_secure=False,
        auth_credentials=Auth.api_key(job.api_key),
        skip_init_checks=True,
    )
    await client.connect()
    try:
        yield client
    finally:
        await client.close()


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(Job(**json.load(sys.stdin)))))))
