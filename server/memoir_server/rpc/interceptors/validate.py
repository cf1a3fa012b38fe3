"""Decoding and validating requests by the rules in the contract.

protovalidate caches a message's rules by its full name. If a copy of a message without rules were the first that the
process validated, validation would be off for good; so the rules are primed with the full descriptors at start, and
the server refuses to start when a message that is known to be bad passes (semantics 20).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from google.protobuf.message import DecodeError, Message
from protovalidate import CompilationError, EvaluationError, Validator

from memoir_server.rpc.contract import PACKAGE, Contract, Method
from memoir_server.rpc.interceptors.plain_batch import sample_of
from memoir_server.rpc.interceptors.plain_search import GLANCES, Glance, never
from memoir_server.rpc.refusals import RequestInvalid, Violation

MAX_KEY_CHARACTERS = 64
"""Longest map key that the contract allows."""


class ValidatorBroken(Exception):
    """The validator does not do its work; the server must not start."""


class Rules(Protocol):
    """What is needed of protovalidate's Validator."""

    def collect_violations(self, message: Any, /, *, fail_fast: bool = False) -> Sequence[Any]:
        """All broken rules."""


class RequestValidator:
    """Decodes requests, and lists the rules they break."""

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules: Rules = Validator() if rules is None else rules
        self._glances: dict[type[Message], Glance] = {}

    def decode(self, method: Method, data: bytes) -> Message:
        """The request. Raises RequestInvalid for bytes that are not one."""
        try:
            return method.request_class.FromString(data)
        except DecodeError as error:
            raise RequestInvalid(
                [Violation("request", f"is not a {method.request_class.DESCRIPTOR.full_name}: {error}")]
            ) from None

    def violations(self, request: Message) -> Sequence[Violation]:
        """Every broken rule, with the path of its field in the request."""
        glance = self._glances.get(type(request))
        if glance is None:
            glance = self._glances[type(request)] = GLANCES.get(request.DESCRIPTOR.full_name, never)
        if glance(request):
            return ()
        sample = sample_of(request)
        try:
            if sample is not None and not self._rules.collect_violations(sample):
                return ()
            found = self._rules.collect_violations(request)
        except (EvaluationError, CompilationError) as error:
            return [Violation("request", f"could not be checked: {error}")]
        return [_violation(v.proto) for v in found] if found else ()

    def self_test(self, contract: Contract) -> None:
        """Primes every request, then checks that known-bad requests are refused and a good one passes.

        Raises ValidatorBroken.
        """
        for methods in contract.methods.values():
            for method in methods.values():
                self.violations(method.request_class())
        for name, spoil, field in _KNOWN_BAD:
            message = contract.message(f"{PACKAGE}.{name}")()
            spoil(message)
            found = [violation.field for violation in self.violations(message)]
            if field not in found:
                raise ValidatorBroken(
                    f"a {name} with a bad {field} passed validation (found: {found}); the contract's rules are not in "
                    "force. Reinstall memoir-server with protovalidate>=2.1, and validate no message before it starts"
                )
        good = contract.message(f"{PACKAGE}.GetMemoryRequest")(namespace="default", memory_id="m")
        if refused := self.violations(good):
            raise ValidatorBroken(f"a good GetMemoryRequest was refused: {refused}; reinstall memoir-server")


def _violation(proto: Any) -> Violation:
    path = ""
    for element in proto.field.elements if proto.field else ():
        path += ("." if path else "") + element.field_name
        subscript = element.subscript
        if subscript is not None:
            path += f'["{_key(subscript.value)}"]' if subscript.field == "string_key" else f"[{subscript.value}]"
    return Violation(path or "request", proto.message or proto.rule_id)


def _key(key: str) -> str:
    """A map's key for a path: only a bad one is longer than a good one may be."""
    return key if len(key) <= MAX_KEY_CHARACTERS else f"{key[:MAX_KEY_CHARACTERS]}..."


def _bad_create(message: Any) -> None:
    message.memory.scope.user_id = ""


def _bad_add(message: Any) -> None:
    message.scope.session_id = "only a session"
    message.messages.add(role=1, content="x")


def _bad_get(message: Any) -> None:
    message.namespace = "Not A Namespace"
    message.memory_id = "m"


def _bad_search(message: Any) -> None:
    message.spec.query = "q"
    message.spec.filter.compare.field = "Not a field"


def _bad_batch(message: Any) -> None:
    message.allow_partial = True


def _bad_reset(message: Any) -> None:
    message.target.scope.SetInParent()


def _bad_watch(message: Any) -> None:
    message.start_revision = -1


def _bad_rebuild(message: Any) -> None:
    message.store = 1


_KNOWN_BAD: Sequence[tuple[str, Callable[[Any], None], str]] = (
    ("CreateMemoryRequest", _bad_create, "memory.scope.user_id"),
    ("AddMemoriesRequest", _bad_add, "scope"),
    ("GetMemoryRequest", _bad_get, "namespace"),
    ("SearchMemoriesRequest", _bad_search, "spec.filter.compare.field"),
    ("StreamSearchMemoriesRequest", _bad_search, "spec.filter.compare.field"),
    ("BatchCreateMemoriesRequest", _bad_batch, "items"),
    ("PlanResetRequest", _bad_reset, "target.scope"),
    ("WatchHistoryRequest", _bad_watch, "start_revision"),
    ("RebuildProjectionRequest", _bad_rebuild, "store"),
)
"""Message, how to spoil it, and the field whose violation must be found: one for each kind of rule in use."""
