"""Resets, their targets and receipts."""

from __future__ import annotations

from typing import Any

import grpc

from memoir.v1 import reset_pb2
from memoir_server.domain.errors import FieldInvalid
from memoir_server.domain.reset import Reset, ResetReceipt, ResetTarget
from memoir_server.rpc.convert.filter import read_optional_filter, write_filter
from memoir_server.rpc.convert.memory import read_scope, write_scope
from memoir_server.rpc.convert.time import write_time
from memoir_server.rpc.errors import STORE_RETRY_SECONDS, Failure, to_status


def read_target(target: Any, namespace: str) -> ResetTarget:
    """A ResetTarget message. Raises FieldInvalid when entire_namespace spells another namespace."""
    scope = None
    if target.WhichOneof("extent") == "scope":
        scope = read_scope(target.scope)
    elif target.entire_namespace != namespace:
        raise FieldInvalid(
            "target.entire_namespace",
            f"{target.entire_namespace!r} is not the namespace of the request, {namespace!r}; spell that one again",
        )
    return ResetTarget(
        scope=scope,
        preserve=read_optional_filter(target, "preserve", "target.preserve"),
        include_history=target.include_history,
        keep_vector=target.keep_vector,
        keep_graph=target.keep_graph,
        keep_history=target.keep_history,
    )


def write_reset(target: reset_pb2.Reset, reset: Reset) -> None:
    """Sets a Reset message."""
    target.namespace = reset.namespace
    target.reset_id = reset.reset_id
    _write_target(target.target, reset.target, reset.namespace)
    target.state = reset.state  # type: ignore[assignment]  # the numbers are the contract's
    for effect in reset.effects:
        target.effects.add(store=effect.store, planned=effect.planned, removed=effect.removed)
    target.sample_memory_ids.extend(reset.sample)
    target.warnings.extend(reset.warnings)
    target.planned_revision = reset.planned_revision
    target.fence_revision = reset.fence_revision
    write_time(target.create_time, reset.create_time)
    write_time(target.expire_time, reset.expire_time)
    if reset.error:
        target.error.CopyFrom(to_status(_trouble(reset)))
    target.sequence = reset.sequence
    if reset.receipt is not None:
        _write_receipt(target.receipt, reset.receipt)


def _trouble(reset: Reset) -> Failure:
    """Why it failed, or which store it waits for."""
    if reset.waiting_for is not None:
        return Failure(
            code=grpc.StatusCode.UNAVAILABLE,
            reason="STORE_UNAVAILABLE",
            message=reset.error,
            metadata={"store": reset.waiting_for.name.lower()},
            retry_after=STORE_RETRY_SECONDS,
        )
    return Failure(
        code=grpc.StatusCode.INTERNAL,
        reason="INTERNAL",
        message=reset.error,
        metadata={"trace_id": "", "reset_id": reset.reset_id},
    )


def _write_target(message: reset_pb2.ResetTarget, target: ResetTarget, namespace: str) -> None:
    if target.scope is None:
        message.entire_namespace = namespace
    else:
        write_scope(message.scope, target.scope)
    if target.preserve is not None:
        write_filter(message.preserve, target.preserve)
    message.include_history = target.include_history
    message.keep_vector = target.keep_vector
    message.keep_graph = target.keep_graph
    message.keep_history = target.keep_history


def _write_receipt(message: reset_pb2.ResetReceipt, receipt: ResetReceipt) -> None:
    for store in receipt.stores:
        message.stores.add(store=store.store, removed=store.removed, remaining=store.remaining)
    message.memories = receipt.memories
    message.events_erased = receipt.events_erased
    write_time(message.complete_time, receipt.complete_time)
    message.revision = receipt.revision
    message.digest = receipt.digest
