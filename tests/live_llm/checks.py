"""What every provider has to do, asked of a real one."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from memoir_conformance.embedder_suite import EmbedderSuite
from memoir_conformance.reasoner_suite import PROMPT
from memoir_server.app.providers import build_reasoner, build_remote_embedder
from memoir_server.domain.reasoning import ImagePart, Prompt, TextPart
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.reasoner import Reasoner, ReasonerOutput, ReasonerRefused
from tests.live_llm.target import Target, embedder_target, reasoner_target


@pytest.fixture
def target() -> Target:
    found = reasoner_target(os.environ)
    assert found is not None, "make live-llm looks for a key first"
    return found


@pytest.fixture
async def reasoner(target: Target) -> AsyncIterator[Reasoner]:
    built = build_reasoner(target.settings)
    assert built is not None
    yield built
    await built.close()


async def test_an_answer_in_the_form_asked_for(reasoner: Reasoner) -> None:
    reply = await reasoner.ask(PROMPT, namespace="live")
    facts = json.loads(reply.output)["facts"]
    assert any("Anna" in fact["text"] for fact in facts)
    assert all(set(fact) == {"text", "since"} for fact in facts)
    assert reply.usage.input > 0
    assert reply.usage.output > 0


async def test_plain_text(reasoner: Reasoner) -> None:
    prompt = Prompt(name="p", version="1", system="Answer in one word.", content=(TextPart("Capital of France?"),))
    assert "Paris" in (await reasoner.ask(prompt, namespace="live")).output


async def test_an_image_is_seen(target: Target, reasoner: Reasoner) -> None:
    prompt = Prompt(
        name="describe",
        version="1",
        system="Answer in one word.",
        content=(ImagePart(red_square(), "image/png"), TextPart("Which colour is this?")),
    )
    if target.settings.vision:
        assert "red" in (await reasoner.ask(prompt, namespace="live")).output.lower()
    else:
        with pytest.raises(ReasonerRefused):
            await reasoner.ask(prompt, namespace="live")


async def test_an_answer_that_is_too_long_is_cut(reasoner: Reasoner) -> None:
    with pytest.raises(ReasonerOutput) as failure:
        await reasoner.ask(replace(PROMPT, max_output=8), namespace="live")
    assert failure.value.cut


async def test_a_model_that_does_not_exist(target: Target) -> None:
    reasoner = build_reasoner(replace(target.settings, model="no-such-model"))
    assert reasoner is not None
    with pytest.raises(ReasonerRefused) as refusal:
        await reasoner.ask(PROMPT, namespace="live")
    assert refusal.value.status in (400, 404)
    await reasoner.close()


async def test_a_wrong_key(target: Target) -> None:
    if not target.upstream or "127.0.0.1" in target.upstream:
        return  # a cloud's own credentials, or a server that asks for no key
    wrong = "sk-wrong-0123456789abcdef"
    reasoner = build_reasoner(replace(target.settings, key_variable="WRONG", key_file=""), {"WRONG": wrong})
    assert reasoner is not None
    with pytest.raises(ReasonerRefused) as refusal:
        await reasoner.ask(PROMPT, namespace="live")
    assert wrong[:8] not in f"{refusal.value!r} {refusal.value.__context__!r}"
    await reasoner.close()


if embedder_target(os.environ) is not None:

    class TestEmbedder(EmbedderSuite):
        """The port's suite, as it is. A service that does not give the same bits twice fails it where that matters."""

        @pytest.fixture
        async def embedder(self) -> AsyncIterator[Embedder]:
            settings = embedder_target(os.environ)
            assert settings is not None
            built = build_remote_embedder(settings)
            await built.open()
            yield built
            await built.close()


def red_square(side: int = 64) -> bytes:
    """A red square as a PNG."""
    rows = (b"\x00" + b"\xff\x00\x00" * side) * side

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
