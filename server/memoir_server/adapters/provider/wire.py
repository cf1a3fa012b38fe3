"""Text and images in the forms that HTTP APIs take."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlsplit

from memoir_server.domain.reasoning import ImagePart, JsonSchema


def clean(text: str) -> str:
    """The text with lone surrogates replaced: JSON in UTF-8 cannot carry them."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text


def image_base64(image: ImagePart) -> str:
    """The image's bytes in base64."""
    return base64.b64encode(image.data).decode("ascii")


def schema_document(schema: JsonSchema) -> dict[str, Any]:
    """The schema as the client libraries take it."""
    document: dict[str, Any] = json.loads(schema.document)
    return document


def host_of(url: str) -> str:
    """host, or host:port, of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "" if parts.port is None else f"{parts.hostname}:{parts.port}"


def json_object(text: str) -> bool:
    """Whether the text is one JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def text_of_json(raw: bytes) -> str:
    """The text that a JSON string holds; any other JSON as it is written."""
    if raw[:1] == b'"':
        found: str = json.loads(raw)
        return found
    return raw.decode()
