"""Values of settings: how each type is read, and how a wrong one is refused."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memoir_server.rpc.interceptors.auth import Role

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAMESPACE = re.compile(r"\*|[a-z][a-z0-9-]{0,62}")
_SECRET_HINT = "printf %s KEY | sha256sum"  # a command, not a secret


class SettingsError(Exception):
    """A setting cannot be used. Names the key, the value and the fix."""

    def __init__(self, key: str, value: object, problem: str, fix: str) -> None:
        super().__init__(f"setting {key} = {value!r} {problem}; {fix}")
        self.key = key
        self.value = value
        self.problem = problem
        self.fix = fix


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeySettings:
    """A key the server accepts. `sha256` is of the key itself, lower-case hex."""

    name: str
    sha256: str
    namespaces: tuple[str, ...]
    role: Role

    def public(self) -> dict[str, object]:
        """Without the hash: a guess could be confirmed with it."""
        return {"name": self.name, "namespaces": list(self.namespaces), "role": self.role.name.lower()}


def nearest(key: str, known: Iterable[str]) -> str:
    """The fix for an unknown key."""
    names = list(known)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(names))}"


def parse_value(key: str, value: Any, declared: str) -> Any:
    """The value of a key of that declared type, from TOML or from text. Raises SettingsError."""
    if declared == "bool":
        return _boolean(key, value)
    if declared in ("int", "float"):
        return _number(key, value, whole=declared == "int")
    if declared == "Path":
        return Path(_text(key, value)).expanduser()
    if declared == "str":
        return _text(key, value)
    if declared == "Mapping[str, float]":
        return _by_namespace(key, value)
    if declared == "Mapping[str, str]":
        return _options(key, value)
    if declared == "Mapping[str, Any]":
        return _fields(key, value)
    return _api_keys(key, value)


def from_json(key: str, value: Any, example: str) -> Any:
    """What the environment says in JSON; what a file says as it is. Raises SettingsError."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise SettingsError(key, "...", "is not JSON", f"in the environment, write {example}") from None


def _fields(key: str, value: Any) -> dict[str, Any]:
    """A table of anything that JSON has a word for."""
    value = from_json(key, value, '{"temperature": 0}')
    if not isinstance(value, dict):
        raise SettingsError(key, "...", "is not a table", f"write [{key}] and a line for each field below it")
    try:
        json.dumps(value)
    except TypeError:
        raise SettingsError(key, "...", "holds a date or a time", "write it as text") from None
    return dict(value)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingsError(key, value, "is not text", 'put it in quotes: "..."')
    return value


def _boolean(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if isinstance(value, str) and text in ("1", "true", "yes", "on"):
        return True
    if isinstance(value, str) and text in ("0", "false", "no", "off", ""):
        return False
    raise SettingsError(key, value, "is neither true nor false", "use true or false")


def _number(key: str, value: Any, *, whole: bool) -> int | float:
    if isinstance(value, str):
        try:
            return int(value.replace("_", "")) if whole else float(value)
        except ValueError:
            pass
    elif isinstance(value, int) and not isinstance(value, bool):
        return value if whole else float(value)
    elif isinstance(value, float) and not whole:
        return value
    kind = "a whole number" if whole else "a number"
    raise SettingsError(key, value, f"is not {kind}", f"give {kind}")


def _options(key: str, value: Any) -> dict[str, str]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise SettingsError(key, "...", "is not JSON", 'in the environment, write {"name": "value"}') from None
    if not isinstance(value, dict):
        raise SettingsError(key, "...", "is not a table", f"write [{key}] and a line for each option below it")
    for name, entry in value.items():
        if not isinstance(entry, str):
            raise SettingsError(f"{key}.{name}", "...", "is not text", 'put it in quotes: "..."')
    return dict(value)


def check_namespace(path: str, namespace: str, value: object) -> None:
    """Raises SettingsError where a key of a table is no name of a namespace."""
    if namespace == "*" or not _NAMESPACE.fullmatch(namespace):
        raise SettingsError(path, value, "names no namespace", "use lower-case letters, digits and hyphens")


def _by_namespace(key: str, value: Any) -> dict[str, float]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise SettingsError(key, value, "is not JSON", 'in the environment, write {"chat": 0.95}') from None
    if not isinstance(value, dict):
        raise SettingsError(key, value, "is not a table", f"write [{key}] and a line for each namespace below it")
    for namespace in value:
        check_namespace(f"{key}.{namespace}", namespace, value[namespace])
    return {namespace: float(_number(f"{key}.{namespace}", entry, whole=False)) for namespace, entry in value.items()}


def _api_keys(key: str, value: Any) -> tuple[ApiKeySettings, ...]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise SettingsError(key, "...", "is not JSON", "in the environment, write a JSON list of tables") from None
    if not isinstance(value, list):
        raise SettingsError(key, "...", "is not a list of tables", "write [[auth.api_keys]] for each key")
    keys = tuple(_api_key(f"{key}[{i}]", entry) for i, entry in enumerate(value))
    for attribute in ("name", "sha256"):
        seen = [getattr(entry, attribute) for entry in keys]
        if len(set(seen)) < len(seen):
            raise SettingsError(
                key, "...", f"holds two keys with the same {attribute}", f"give each its own {attribute}"
            )
    return keys


def _api_key(key: str, entry: Any) -> ApiKeySettings:
    expected = ("name", "sha256", "namespaces", "role")
    if not isinstance(entry, dict):
        raise SettingsError(key, "...", "is not a table", f"give it {', '.join(expected)}")
    for name in entry:
        if name not in expected:
            raise SettingsError(f"{key}.{name}", "...", "is not a setting", nearest(name, expected))
    for name in expected:
        if name not in entry:
            raise SettingsError(f"{key}.{name}", None, "is missing", f"give {', '.join(expected)}")
    if not isinstance(entry["name"], str) or not entry["name"]:
        raise SettingsError(f"{key}.name", entry["name"], "is not a name", "name the caller, such as support-bot")
    if not isinstance(entry["sha256"], str) or not _SHA256.fullmatch(entry["sha256"]):
        raise SettingsError(
            f"{key}.sha256", "...", "is not a SHA-256 in lower-case hex", f"hash the key: {_SECRET_HINT}"
        )
    namespaces = entry["namespaces"]
    if (
        not isinstance(namespaces, list)
        or not namespaces
        or not all(isinstance(n, str) and _NAMESPACE.fullmatch(n) for n in namespaces)
    ):
        raise SettingsError(
            f"{key}.namespaces", namespaces, "is not a list of namespaces", 'write ["*"] or a list such as ["default"]'
        )
    roles = {role.name.lower(): role for role in Role}
    if entry["role"] not in roles:
        raise SettingsError(f"{key}.role", entry["role"], "is not a role", f"use {', '.join(roles)}")
    return ApiKeySettings(
        name=entry["name"], sha256=entry["sha256"], namespaces=tuple(namespaces), role=roles[entry["role"]]
    )
