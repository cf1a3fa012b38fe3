"""The yardstick of writing: the server's own embedder class alone.

A process of its own, like the server: what it measures is what embedding costs when nothing else is done.

    python -m bench.embedding   (reads one Job as JSON from standard input, writes the seconds it took)
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass

from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.adapters.embedder.models import locate
from memoir_server.adapters.embedder.onnx_minilm import OnnxEmbedder
from memoir_server.domain.embedding import EmbedKind
from memoir_server.ports.embedder import Embedder


@dataclass(frozen=True, slots=True)
class Job:
    """Texts to embed, in batches of `batch`, `in_flight` of them at a time."""

    model: str
    threads: int
    texts: list[str]
    batch: int
    in_flight: int


async def run(job: Job) -> float:
    """Seconds for all texts, with the model loaded and warm."""
    embedder: Embedder = HashEmbedder() if job.model == "hash" else OnnxEmbedder(locate(job.model), threads=job.threads)
    waiting = iter([job.texts[start : start + job.batch] for start in range(0, len(job.texts), job.batch)])

    async def caller() -> None:
        for texts in waiting:
            await embedder.embed(texts, kind=EmbedKind.DOCUMENT)

    await embedder.embed([f"warming the model up, {i}" for i in range(job.batch)], kind=EmbedKind.DOCUMENT)
    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(job.in_flight)))
    seconds = time.perf_counter() - began
    await embedder.close()
    return seconds


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(Job(**json.load(sys.stdin))))))
