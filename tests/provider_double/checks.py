"""Reading a request's body as an API does: each wrong field is refused by name."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from tests.provider_double.exchange import Refuses

IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")


class BadRequest(Exception):
    """The request is not one the API takes."""

    def __init__(self, message: str, *, code: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.refusal = Refuses(status=status, code=code, message=message)


def need(body: Any, name: str, kind: type, path: str = "") -> Any:
    """A field that has to be there, of its type."""
    where = f"{path}{name}"
    if not isinstance(body, dict) or name not in body:
        raise BadRequest(f"{where}: Field required")
    if not isinstance(body[name], kind) or (kind is int and isinstance(body[name], bool)):
        raise BadRequest(f"{where}: Input should be a valid {kind.__name__}")
    return body[name]


def decode_image(media_type: str, data: str, where: str) -> tuple[str, bytes]:
    """An image given in base64."""
    if media_type not in IMAGE_TYPES:
        raise BadRequest(f"{where}.media_type: Input should be {' or '.join(IMAGE_TYPES)}")
    try:
        return media_type, base64.b64decode(data, validate=True)
    except binascii.Error:
        raise BadRequest(f"{where}.data: invalid base64 data") from None


def check_strict(schema: Any, where: str) -> None:
    """What the strict modes demand of a schema: every object closed, and all its properties required."""
    if not isinstance(schema, dict):
        raise BadRequest(f"Invalid schema for {where}: not an object", code="invalid_json_schema")
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            raise BadRequest(
                f"Invalid schema for {where}: 'additionalProperties' is required to be supplied and to be false",
                code="invalid_json_schema",
            )
        if sorted(schema.get("required", [])) != sorted(properties):
            raise BadRequest(
                f"Invalid schema for {where}: 'required' is required to be supplied and to be an array including every "
                "key in properties",
                code="invalid_json_schema",
            )
        for name, inner in properties.items():
            check_strict(inner, f"{where}.{name}")
    if isinstance(schema.get("items"), dict):
        check_strict(schema["items"], f"{where}[]")


def tokens_of(text: str) -> int:
    """About as many tokens as a provider would count: one for four bytes."""
    return -(-len(text.encode()) // 4)
