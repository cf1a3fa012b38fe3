"""Images in messages, over gRPC: described by a model, refused where there is none to see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from memoir.v1 import common_pb2, memory_pb2
from memoir_conformance.reasoner_suite import IMAGE
from tests.inference_corpus import settings_of
from tests.integration.harness import ANA, TIMEOUT, Client, refused, serving
from tests.provider_double import ProviderDouble, Refuses, Said
from tests.provider_double.exchange import Exchange, Match
from tests.service.inference import fact, facts

SHOWN = "A red cargo bike stands in a hallway."
DESCRIBES = Match(contains=("Describe this image.",))


@pytest.fixture
def double() -> Iterator[ProviderDouble]:
    with ProviderDouble() as double:
        yield double


@pytest.fixture(params=["anthropic", "openai"])
async def client(request: pytest.FixtureRequest, double: ProviderDouble, tmp_path: Path) -> AsyncIterator[Client]:
    async with serving(tmp_path, telemetry=None, **settings_of(double, tmp_path, adapter=request.param)) as client:
        yield client


def showing(*images: bytes, **fields: object) -> memory_pb2.AddMemoriesRequest:
    request = memory_pb2.AddMemoriesRequest(scope=ANA, **fields)  # type: ignore[arg-type]
    message = request.messages.add(role=memory_pb2.ROLE_USER, content="Look what came!", message_id="m1")
    for data in images:
        message.images.add(data=data)
    return request


async def send(client: Client, request: memory_pb2.AddMemoriesRequest) -> memory_pb2.AddMemoriesResponse:
    return await client.memory.AddMemories(request, timeout=TIMEOUT)


async def test_what_an_image_shows_can_be_remembered(client: Client, double: ProviderDouble) -> None:
    double.script.add(Exchange(match=DESCRIBES, answers=[Said(output=SHOWN)]))
    double.says(facts(fact("Ana has a red cargo bike.", "red cargo bike stands")))
    answer = await send(client, showing(IMAGE))
    [change] = answer.changes
    assert change.memory.text == "Ana has a red cargo bike."
    assert (change.source_quote, change.memory.provenance[0].message_id) == ("red cargo bike stands", "m1")
    assert answer.usage.llm_calls == 2
    described, extracted = double.asked()
    assert described.images == (("image/png", IMAGE),)
    assert extracted.images == ()
    assert SHOWN in extracted.text


async def test_an_image_that_cannot_be_described_costs_no_message(client: Client, double: ProviderDouble) -> None:
    double.script.add(Exchange(match=DESCRIBES, answers=[Refuses(status=400)]))
    answer = await send(client, showing(IMAGE, IMAGE))
    [change] = answer.changes
    assert (change.memory.kind, change.memory.text) == (memory_pb2.MEMORY_KIND_EPISODE, "Look what came!")
    assert answer.mode == memory_pb2.ADD_MODE_VERBATIM
    assert "2 images were not kept" in change.reason


async def test_accepted_work_describes_images_later(client: Client, double: ProviderDouble) -> None:
    double.script.add(Exchange(match=DESCRIBES, answers=[Said(output=SHOWN)]))
    double.says(facts(fact("Ana has a red cargo bike.", "red cargo bike stands")))
    accepted = await send(client, showing(IMAGE, durability=common_pb2.DURABILITY_ACCEPTED))
    request = memory_pb2.GetIngestionRequest(ingestion_id=accepted.ingestion_id)
    async with asyncio.timeout(TIMEOUT):
        while True:
            ingestion = (await client.memory.GetIngestion(request, timeout=TIMEOUT)).ingestion
            if ingestion.state not in (memory_pb2.Ingestion.STATE_PENDING, memory_pb2.Ingestion.STATE_RUNNING):
                break
            await asyncio.sleep(0.02)
    assert [change.memory.text for change in ingestion.changes] == ["Ana has a red cargo bike."]


@pytest.mark.parametrize("data", [b"%PDF-1.7", b"not an image at all"])
async def test_what_is_no_image_is_refused(client: Client, double: ProviderDouble, data: bytes) -> None:
    refusal = await refused(send(client, showing(IMAGE, data)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert refusal.fields == ["messages[0].images[1].data"]
    assert double.calls == []


async def test_bounds_of_the_contract(client: Client) -> None:
    assert (await refused(send(client, showing(*[IMAGE] * 9)))).fields == ["messages[0].images"]
    assert (await refused(send(client, showing(b"")))).fields == ["messages[0].images[0].data"]


async def test_verbatim_takes_no_images(client: Client) -> None:
    refusal = await refused(send(client, showing(IMAGE, mode=memory_pb2.ADD_MODE_VERBATIM)))
    assert refusal.fields == ["messages[0].images"]


async def test_without_a_model_images_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        refusal = await refused(send(client, showing(IMAGE)))
        assert refusal.fields == ["messages[0].images"]
        assert "set a reasoner" in refusal.details["BadRequest"].field_violations[0].description
        off = await refused(send(client, showing(IMAGE, mode=memory_pb2.ADD_MODE_INFER)))
        assert off.reason == "FEATURE_DISABLED"
