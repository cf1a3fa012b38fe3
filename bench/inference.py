"""What inference costs beside the model's own time: adds of six messages with five facts, the model answering at once.

Each user has two conversations: the first meets nothing, so that one question is asked; the second meets the facts of
the first, and a second question reconciles them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import grpc

from bench import model
from bench.filling import Progress
from bench.options import Options
from bench.processes import ServerProcess, memoir_server, server
from bench.results import InferenceRow, Latency
from memoir.v1 import common_pb2, memory_pb2, memory_pb2_grpc
from stores.deployment import deployment
from stores.four import bounded_stores

_LIFE_SECONDS = 3600.0
_WARMING = 5
_FACTS = 5


def measure(options: Options, root: Path, say: Progress) -> list[InferenceRow]:
    """Both profiles."""
    port_file = root / "model.port"
    with server([sys.executable, "-m", "bench.model", str(port_file)], port_file, {}) as found:
        environment = {
            "MEMOIR_EMBEDDER__MODEL": options.model,
            "MEMOIR_REASONER__ADAPTER": "anthropic",
            "MEMOIR_REASONER__MODEL": "double-1",
            "MEMOIR_REASONER__URL": found.address,
            "ANTHROPIC_API_KEY": model.KEY,
        }
        with memoir_server(root / "inference", environment) as process:
            rows = _profile("embedded", process, options, say)
        say("starting the stores for inference")
        with bounded_stores(seconds=_LIFE_SECONDS) as stores:
            place = {**environment, **deployment(stores, "inference").environment}
            with memoir_server(root / "inference-on-stores", place) as process:
                rows += _profile("distributed", process, options, say)
    return rows


def _profile(name: str, process: ServerProcess, options: Options, say: Progress) -> list[InferenceRow]:
    times: Mapping[int, list[float]] = {1: [], 2: []}
    say(f"inference, {name}: {options.adds} users")
    with grpc.insecure_channel(process.address) as channel:
        stub = memory_pb2_grpc.MemoryServiceStub(channel)
        for number in range(_WARMING + options.adds):
            for second in (False, True):
                took = _add(stub, f"user-{number}", second=second)
                if number >= _WARMING:
                    times[1 + second].append(took)
    return [InferenceRow(name, questions, Latency.of(found)) for questions, found in times.items()]


def _add(stub: memory_pb2_grpc.MemoryServiceStub, user: str, *, second: bool) -> float:
    """Seconds of one add. Raises RuntimeError when it is not what was asked for."""
    request = memory_pb2.AddMemoriesRequest(
        scope=common_pb2.Scope(user_id=user),
        mode=memory_pb2.ADD_MODE_INFER,
        messages=[
            memory_pb2.Message(role=memory_pb2.ROLE_USER, content=text) for text in model.messages(second=second)
        ],
        request_id=f"{user}-{second}",
    )
    began = time.perf_counter()
    answer = stub.AddMemories(request, timeout=60)
    took = time.perf_counter() - began
    expected = 2 if second else 1
    if answer.usage.llm_calls != expected or len(answer.changes) != _FACTS + second:
        raise RuntimeError(f"{expected} questions and {_FACTS + second} changes were expected: {answer}")
    return took
