"""Views: the objects the SDK returns, in a JSON form that is equal in all languages.

Keys are camelCase; None and empty values are left out; times are RFC 3339 in microseconds; every whole number is a
decimal string, whatever its type; enumerations are their names; an error is its code, reason and text. Messages of the
contract are not part of a view.
"""

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from google.protobuf.message import Message

from memoir.errors import MemoirError


def view(value: object) -> str:
    """Write the view of an object."""
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, MemoirError):
        return _kept({"code": str(value.code.value[0]), "reason": value.reason, "message": value.message})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        given = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _kept({_camel(name): _plain(item) for name, item in given.items() if not isinstance(item, Message)})
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return _kept({key: _plain(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, timedelta):
        return _number(value.total_seconds())
    return _number(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _number(value: float) -> str | float:
    return str(int(value)) if isinstance(value, int) or value.is_integer() else value


def _kept(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in values.items() if value is not None and value != "" and value != [] and value != {}
    }


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
