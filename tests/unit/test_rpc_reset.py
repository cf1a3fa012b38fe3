"""What a reset's message says of its troubles."""

from __future__ import annotations

import pytest
from google.rpc import error_details_pb2 as details  # type: ignore[import-untyped]

from memoir.v1 import reset_pb2
from memoir_server.domain.memory import Scope
from memoir_server.domain.reset import Reset, ResetState, ResetTarget
from memoir_server.domain.store import StoreKind
from memoir_server.rpc.convert.reset import write_reset


def told(reset: Reset) -> reset_pb2.Reset:
    message = reset_pb2.Reset()
    write_reset(message, reset)
    return message


def reset(state: ResetState, error: str, waiting_for: StoreKind | None = None) -> Reset:
    target = ResetTarget(scope=Scope("ana"))
    return Reset(namespace="n", reset_id="r", target=target, state=state, error=error, waiting_for=waiting_for)


@pytest.mark.parametrize("store", [StoreKind.LEDGER, StoreKind.INDEX, StoreKind.GRAPH, StoreKind.CACHE])
def test_one_that_waits_names_the_store(store: StoreKind) -> None:
    message = told(reset(ResetState.RUNNING, "it does not answer", store))
    assert message.state == reset_pb2.Reset.STATE_RUNNING
    assert (message.error.code, message.error.message) == (14, "it does not answer")
    info, retry = details.ErrorInfo(), details.RetryInfo()
    assert message.error.details[0].Unpack(info)
    assert message.error.details[1].Unpack(retry)
    assert (info.reason, dict(info.metadata)) == ("STORE_UNAVAILABLE", {"store": store.name.lower()})


def test_one_that_failed_says_why() -> None:
    message = told(reset(ResetState.FAILED, "the probe still found entries"))
    assert (message.error.code, message.error.message) == (13, "the probe still found entries")
    info = details.ErrorInfo()
    assert message.error.details[0].Unpack(info)
    assert (info.reason, info.metadata["reset_id"]) == ("INTERNAL", "r")


def test_one_without_trouble_says_nothing() -> None:
    assert not told(reset(ResetState.RUNNING, "")).HasField("error")
