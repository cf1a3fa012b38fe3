"""The steps of the chain that need no server."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from memoir_server.rpc.contract import load_contract
from memoir_server.rpc.interceptors.auth import REQUIRED, ApiKey, ApiKeys, NoAuthentication, Role
from memoir_server.rpc.interceptors.limits import Limits
from memoir_server.rpc.interceptors.metadata import NOTHING, read_metadata
from memoir_server.rpc.interceptors.validate import RequestValidator, ValidatorBroken
from memoir_server.rpc.refusals import CredentialInvalid, Overloaded, PermissionDenied, RateLimited, RequestInvalid

TRACEPARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


def key(name: str, namespaces: tuple[str, ...], role: Role) -> ApiKey:
    return ApiKey(name, hashlib.sha256(name.encode()).digest(), namespaces, role)


def test_every_method_of_the_contract_has_a_role() -> None:
    methods = [name for methods in load_contract().methods.values() for name in methods]
    assert sorted(methods) == sorted(REQUIRED)
    assert len(methods) == len(set(methods)), "roles are given by method name alone"


def test_the_committed_contract_passes_its_self_test() -> None:
    try:
        RequestValidator().self_test(load_contract())
    except ValidatorBroken as broken:
        pytest.fail(f"it refuses the contract it came with: {broken}")


def test_a_validator_that_refuses_everything_is_broken_too() -> None:
    class Sour:
        def collect_violations(self, message: Any, /, *, fail_fast: bool = False) -> list[Any]:
            found = RequestValidator().violations(message)
            return [_Violation(v.field) for v in found] or [_Violation("memory_id")]

    class _Violation:
        def __init__(self, field: str) -> None:
            self.proto = self
            self.message = "no"
            self.rule_id = "no"
            self.field = self
            self.field_name = field
            self.subscript = None
            self.elements = [self]

    with pytest.raises(ValidatorBroken, match="good GetMemoryRequest was refused"):
        RequestValidator(Sour()).self_test(load_contract())


def test_stripped_copies_do_not_switch_validation_off() -> None:
    from memoir.v1 import memory_pb2

    contract, validator = load_contract(), RequestValidator()
    validator.self_test(contract)
    validator.violations(memory_pb2.GetMemoryRequest(namespace="NO", memory_id="/"))
    full = contract.message("memoir.v1.GetMemoryRequest")(namespace="NO", memory_id="/")
    assert [v.field for v in validator.violations(full)] == ["namespace", "memory_id"]


def test_undecodable_requests_name_the_message() -> None:
    method = load_contract().methods["memoir.v1.MemoryService"]["GetMemory"]
    with pytest.raises(RequestInvalid, match=r"memoir\.v1\.GetMemoryRequest"):
        RequestValidator().decode(method, b"\xff")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer nobody", "Basic bot", "bot"])
def test_unknown_credentials(header: str) -> None:
    with pytest.raises(CredentialInvalid):
        ApiKeys([key("bot", ("a",), Role.WRITER)], "default").authenticate(header)


def test_roles_and_namespaces() -> None:
    keys = ApiKeys([key("bot", ("a", "b"), Role.WRITER), key("ops", ("*",), Role.ADMIN)], "default")
    bot = keys.authenticate("bearer bot")
    assert bot.actor.principal == "bot"
    assert bot.namespace("", Role.READER) == "a"
    assert bot.namespace("b", Role.WRITER) == "b"
    for namespace, needed in (("c", Role.READER), ("a", Role.ADMIN)):
        with pytest.raises(PermissionDenied):
            bot.namespace(namespace, needed)
    ops = keys.authenticate("Bearer ops")
    assert ops.namespace("", Role.ADMIN) == "default"
    assert ops.namespace("anything", Role.ADMIN) == "anything"
    assert NoAuthentication("home").authenticate("Bearer whatever").namespace("", Role.ADMIN) == "home"


def test_the_bucket_refills_and_each_principal_has_its_own() -> None:
    now = 0.0
    limits = Limits(max_calls=100, max_watches=1, rate=2.0, burst=3, time=lambda: now)
    for _ in range(3):
        limits.enter("a", watch=False)
    with pytest.raises(RateLimited) as refusal:
        limits.enter("a", watch=False)
    assert refusal.value.retry_after == 0.5
    limits.enter("b", watch=False)
    now = 0.5
    limits.enter("a", watch=False)
    with pytest.raises(RateLimited):
        limits.enter("a", watch=False)
    now = 1000.0
    for _ in range(3):
        limits.enter("a", watch=False)
    with pytest.raises(RateLimited):
        limits.enter("a", watch=False)
    assert limits.in_hand == 8, "a refused call takes no place"


def test_places_are_limited_and_given_back() -> None:
    limits = Limits(max_calls=2, max_watches=1, rate=0, burst=1, time=lambda: 0.0)
    limits.enter("a", watch=False)
    limits.enter("b", watch=False)
    limits.enter("c", watch=True)
    with pytest.raises(Overloaded, match="2 calls"):
        limits.enter("d", watch=False)
    with pytest.raises(Overloaded, match="1 calls"):
        limits.enter("d", watch=True)
    limits.leave(watch=False)
    limits.enter("d", watch=False)
    assert limits.in_hand == 3


def test_metadata() -> None:
    assert read_metadata(None) is NOTHING
    assert read_metadata([("user-agent", "x"), ("a-bin", b"\x00")]) is NOTHING
    read = read_metadata([("authorization", "Bearer x"), ("traceparent", TRACEPARENT), ("tracestate", "a=b")])
    assert (read.authorization, read.traceparent, read.tracestate) == ("Bearer x", TRACEPARENT, "a=b")


@pytest.mark.parametrize(
    "header", ["", "00-xyz", f"00-{'0' * 32}-{'cd' * 8}-01", f"00-{'ab' * 16}-{'0' * 16}-01", TRACEPARENT.upper()]
)
def test_a_malformed_traceparent_is_none(header: str) -> None:
    assert read_metadata([("traceparent", header)]).traceparent == ""
