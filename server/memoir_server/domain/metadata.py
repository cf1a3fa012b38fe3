"""Metadata as plain values that MessagePack can carry, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memoir_server.domain.memory import MetadataValue, Moment


def encode_metadata(metadata: Mapping[str, MetadataValue]) -> dict[str, Any]:
    """Metadata in MessagePack's types: a list of one integer is a moment, any other list is one of strings."""
    return {k: [v.instant] if isinstance(v, Moment) else v for k, v in metadata.items()}


def decode_metadata(data: dict[str, Any]) -> dict[str, MetadataValue]:
    """The inverse of `encode_metadata`; may change its argument."""
    for name, value in data.items():
        if type(value) is list:
            data[name] = Moment(value[0]) if len(value) == 1 and type(value[0]) is int else tuple(value)
    return data
