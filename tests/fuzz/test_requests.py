"""Good and hostile requests to every RPC: no defect, no crash, and every refusal says what is wrong."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from google.protobuf import text_format

from memoir.v1 import memory_pb2, transfer_pb2
from memoir_server.rpc.interceptors import chain
from tests.fuzz.judging import judge
from tests.fuzz.requests import NOT_BUILT, QUIET, RECIPES, Requests, World
from tests.fuzz.seeds import LONG, examples, random_of, told
from tests.fuzz.shapes import Shapes
from tests.integration.harness import Client, Refusal, serving

WANTED = 300 if LONG else 100
"""Accepted and refused requests per method, each."""
MOST_TRIES = 20
"""Requests per wanted answer before the run gives up."""
TIMEOUT = 20.0
PATIENCE = 0.25
"""Seconds that the server waits for a revision when the caller sets no deadline."""
KEYS = json.dumps(
    [
        {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "namespaces": spaces, "role": role}
        for name, spaces, role in (("all", ["*"], "admin"), ("elsewhere", ["elsewhere"], "reader"))
    ]
)
GOOD_KEY = "Bearer all"
BAD_KEYS = ("", "Bearer", "Bearer ", "Bearer guess", "Basic all", "all", "Bearer elsewhere", "Bearer " + "x" * 5000)
WATCHED = ("WatchHistory", "WatchReset")
"""Methods that would wait for what never comes: their first answer is enough."""


class Fuzzer:
    """One client that asks every method of a server, and remembers what exists."""

    def __init__(self, client: Client) -> None:
        self.world = World()
        self._stubs = (
            client.memory, client.search, client.graph, client.history, client.reset, client.transfer, client.admin
        )  # fmt: skip
        self._sync = grpc.insecure_channel(client.server.address)
        self._import: Any = self._sync.stream_stream(
            "/memoir.v1.TransferService/ImportMemories",
            request_serializer=transfer_pb2.ImportMemoriesRequest.SerializeToString,
            response_deserializer=transfer_pb2.ImportMemoriesResponse.FromString,
        )

    def close(self) -> None:
        self._sync.close()

    async def ask(self, method: str, request: Any, authorization: str = GOOD_KEY) -> list[Any]:
        """The answers. Raises grpc.RpcError."""
        # A client's own timer may run out before it has read the server's answer. The server's deadline cannot.
        timeout = None if waits(request) else TIMEOUT
        metadata = [("authorization", authorization)]
        if method == "ImportMemories":
            # By gRPC's other Python API: asyncio's loses the status of a call that ends while a message is being sent.
            return await asyncio.to_thread(
                lambda: list(self._import(iter(request), timeout=TIMEOUT, metadata=metadata))
            )
        stub = next(getattr(s, method) for s in self._stubs if hasattr(s, method))
        call = stub(request, timeout=timeout, metadata=metadata)
        async with asyncio.timeout(2 * TIMEOUT):
            return await self._answers(method, call)

    async def _answers(self, method: str, call: Any) -> list[Any]:
        if not isinstance(call, grpc.aio.UnaryStreamCall):
            return [await call]
        answers: list[Any] = []
        async for answer in call:
            answers.append(answer)
            if method in WATCHED:
                call.cancel()
                break
        return answers

    async def prepare(self) -> None:
        """A few memories in the small namespace, which some methods walk as a whole."""
        for number in range(5):
            request = memory_pb2.CreateMemoryRequest(namespace=QUIET, memory_id=f"q{number}")
            request.memory.text = f"statement {number}"
            request.memory.scope.user_id = "ana"
            await self.ask("CreateMemory", request)

    def learn(self, method: str, answers: list[Any]) -> None:
        """Notes what an accepted call has made or shown."""
        for answer in answers:
            if method == "CreateMemory" and answer.memory.namespace != QUIET:
                self.world.memories.append(answer.memory.memory_id)
            elif method == "ListEntities":
                self.world.entities.extend(e.entity_id for e in answer.entities)
            elif method == "PlanReset":
                self.world.plans.append((answer.reset.reset_id, answer.confirm_token))

    async def judged(self, method: str, request: Any, authorization: str) -> Refusal | None:
        """None for an accepted call. Fails for an answer that no request may get."""
        try:
            answers = await self.ask(method, request, authorization)
        except grpc.RpcError as error:
            refusal = judge(
                error, max(request, key=lambda p: int(p.ByteSize())) if isinstance(request, list) else request
            )
        else:
            self.learn(method, answers)
            return None
        return refusal


def waits(request: Any) -> bool:
    """Whether the request asks to see a revision, which may never come."""
    return bool(getattr(request, "min_revision", 0) or getattr(getattr(request, "spec", None), "min_revision", 0))


def shown(request: Any) -> str:
    """A request for a human."""
    parts = request if isinstance(request, list) else [request]
    return "; ".join(text_format.MessageToString(p, as_one_line=True, as_utf8=False) for p in parts)


def broken(random: Random, request: Any) -> Any:
    """The request with one to three hostile fields."""
    shapes = Shapes(random)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        shapes.break_(random.choice(request) if isinstance(request, list) else request)
    return request


async def fuzz(fuzzer: Fuzzer, method: str, wanted: int) -> Counter[str]:
    """Asks until there were enough answers of both kinds, or more tries than can be right. Counts by outcome."""
    random = random_of(method)
    requests = Requests(random, fuzzer.world)
    seen: Counter[str] = Counter()
    for number in range(wanted * MOST_TRIES):
        accepted = seen["OK"]
        refused = seen.total() - accepted
        if refused >= wanted and (accepted >= wanted or method in NOT_BUILT):
            break
        request, authorization = requests.of(method), GOOD_KEY
        if method == "CancelReset" and number % 4 == 0:
            fuzzer.learn("PlanReset", await fuzzer.ask("PlanReset", requests.of("PlanReset")))
        luck = random.random()
        if refused < wanted and luck < 0.8:
            if luck < 0.05:
                authorization = random.choice(BAD_KEYS)
            else:
                request = broken(random, request)
        elif luck > 0.9:
            Shapes(random).add_unknown_field(request[0] if isinstance(request, list) else request)
        with told(f"{method} {number}, {authorization[:40]!r}: {shown(request)}"):
            refusal = await fuzzer.judged(method, request, authorization)
        seen["OK" if refusal is None else refusal.reason] += 1
    return seen


@pytest.mark.timeout(3600)
async def test_every_rpc_answers_good_and_hostile_requests_by_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "DEFAULT_DEADLINE_SECONDS", PATIENCE)
    wanted = examples(WANTED)
    async with serving(tmp_path, auth__api_keys=KEYS) as client:
        fuzzer = Fuzzer(client)
        methods = {name for stub in fuzzer._stubs for name in vars(stub)}
        assert methods == set(RECIPES), "every RPC has a recipe"
        try:
            await fuzzer.prepare()
            outcomes = {method: await fuzz(fuzzer, method, wanted) for method in RECIPES}
        finally:
            fuzzer.close()
        assert await client.health_of("") == "SERVING"
    for method, seen in outcomes.items():
        refused = seen.total() - seen["OK"]
        with told(f"{method}: {dict(seen)}"):
            assert refused >= wanted
            if method in NOT_BUILT:
                assert seen["OK"] == 0
                assert seen["FEATURE_DISABLED"] > 0
            else:
                assert seen["OK"] >= wanted
            assert seen["FIELD_INVALID"] > 0
            assert seen["CREDENTIAL_INVALID"] > 0
