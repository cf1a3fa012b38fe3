"""Prompts, schemas, images and prices: what is held to which form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_conformance.reasoner_suite import IMAGE, SCHEMA
from memoir_server.domain.conversation import Message
from memoir_server.domain.inference.order import Order
from memoir_server.domain.ingestion import Ingestion
from memoir_server.domain.memory import Role, Scope
from memoir_server.domain.reasoning import (
    IMAGE_TYPES,
    ImagePart,
    JsonSchema,
    Prices,
    Prompt,
    TextPart,
    TokenUsage,
    image_type,
)
from memoir_server.service.call import Call
from memoir_server.service.orders import decode_work, encode_work

WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 "


def closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (IMAGE, "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"GIF87a...", "image/gif"),
        (b"GIF89a...", "image/gif"),
        (WEBP, "image/webp"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", None),
        (b"%PDF-1.7", None),
        (b"<svg>", None),
        (b"", None),
    ],
)
def test_images_are_told_by_how_they_begin(data: bytes, media_type: str | None) -> None:
    assert image_type(data) == media_type
    assert media_type is None or media_type in IMAGE_TYPES


@pytest.mark.parametrize(("data", "media_type"), [(b"x", "image/tiff"), (b"x", ""), (b"", "image/png")])
def test_an_image_that_no_provider_takes_is_refused(data: bytes, media_type: str) -> None:
    with pytest.raises(ValueError, match="give"):
        ImagePart(data, media_type)


def test_an_image_is_not_shown_in_a_traceback() -> None:
    assert repr(ImagePart(IMAGE, "image/png")) == f"ImagePart({len(IMAGE)} bytes, 'image/png')"


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "array"}, "of an object"),
        ([], "of an object"),
        ({"type": "object", "properties": {}}, r"\$\.additionalProperties"),
        (closed(a={"type": "string"}) | {"required": []}, r"\$\.required"),
        (closed(a=closed() | {"additionalProperties": True}), r"\$\.properties\.a\.additionalProperties"),
        (closed(a={"type": "string", "maxLength": 3}), r"\$\.properties\.a\.maxLength"),
        (closed(a={"type": "array", "items": {"type": "object"}}), r"\$\.properties\.a\.items\.additionalProperties"),
        (closed(a={"anyOf": [{"type": "null"}, {"minimum": 1}]}), r"\$\.properties\.a\.anyOf\.1\.minimum"),
        (closed() | {"$defs": {"x": {"type": "object"}}}, r"\$\.\$defs\.x\.additionalProperties"),
        (closed() | {"properties": 3}, r"\$\.properties"),
        (closed(a={"oneOf": []}), r"\$\.properties\.a\.oneOf"),
    ],
)
def test_what_only_some_providers_enforce_is_refused(schema: Any, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        JsonSchema.of("s", "d", schema)


@pytest.mark.parametrize("name", ["", "a b", "é" * 65, "a" * 65, "a.b"])
def test_a_schema_has_a_name_that_every_provider_takes(name: str) -> None:
    with pytest.raises(ValueError, match="name="):
        JsonSchema(name, "d", SCHEMA.document)


def test_a_schema_is_json() -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        JsonSchema("s", "d", "{")


@pytest.mark.parametrize("changes", [{"content": ()}, {"max_output": 0}])
def test_a_prompt_asks_something(changes: dict[str, Any]) -> None:
    given: dict[str, Any] = {"name": "n", "version": "1", "system": "s", "content": (TextPart("t"),)}
    with pytest.raises(ValueError, match="give"):
        Prompt(**(given | changes))


@given(
    tokens=st.lists(st.integers(0, 10**6), min_size=4, max_size=4),
    prices=st.lists(st.floats(0, 100), min_size=4, max_size=4),
)
def test_a_cost_is_that_of_its_parts(tokens: list[int], prices: list[float]) -> None:
    plain, cached, written, output = tokens
    usage = TokenUsage(input=plain + cached + written, output=output, cached_input=cached, cache_write=written)
    priced = Prices(input=prices[0], cached_input=prices[1], cache_write=prices[2], output=prices[3])
    parts = (plain, cached, written, output)
    assert priced.cost(usage) == pytest.approx(sum(n * price for n, price in zip(parts, prices, strict=True)) / 1e6)
    assert priced.cost(usage + usage) == pytest.approx(2 * priced.cost(usage))


def test_accepted_work_keeps_its_images() -> None:
    message = Message(
        role=Role.USER,
        content="look",
        actor_id="Ana",
        message_id="m1",
        create_time=5,
        images=(ImagePart(IMAGE, "image/png"), ImagePart(WEBP, "image/webp")),
    )
    order = Order(
        namespace="n",
        scope=Scope(user_id="ana"),
        messages=[message, Message(role=Role.ASSISTANT, content="nice")],
        accepted=9,
    )
    work = encode_work(order, Call(deadline=1.0))
    ingestion = Ingestion(
        namespace="n", ingestion_id="i", scope=order.scope, create_time=9, update_time=9, due=9, work=work
    )
    kept, _ = decode_work(ingestion, 2.0)
    assert list(kept.messages) == list(order.messages)
