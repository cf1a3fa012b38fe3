"""Resets as rows, and receipts as canonical bytes."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from memoir_server.domain.filter import And, Compare, Filter, Not, Operator, Or
from memoir_server.domain.memory import Scope
from memoir_server.domain.metadata import decode_metadata, encode_metadata
from memoir_server.domain.reset import Reset, ResetReceipt, ResetState, ResetTarget, StoreEffect
from memoir_server.domain.store import StoreKind

_FORM: Final = b"\x01"


class _Row(msgspec.Struct, array_like=True, frozen=True):
    scope: Scope | None
    preserve: Any
    include_history: bool
    keep_vector: bool
    keep_graph: bool
    keep_history: bool
    effects: tuple[StoreEffect, ...]
    sample: tuple[str, ...]
    warnings: tuple[str, ...]
    planned_revision: int
    fence_revision: int
    create_time: int
    expire_time: int
    error: str
    sequence: int
    receipt: ResetReceipt | None
    waiting_for: StoreKind | None = None


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """What a step of a reset answered, as far as later steps change it."""

    reset_id: str
    state: ResetState
    effects: tuple[StoreEffect, ...]
    sequence: int
    error: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


def encode_reset(reset: Reset) -> bytes:
    """A reset without its namespace, id and state, which the row knows."""
    target = reset.target
    return _FORM + _encode(
        _Row(
            scope=target.scope,
            preserve=None if target.preserve is None else _encode_filter(target.preserve),
            include_history=target.include_history,
            keep_vector=target.keep_vector,
            keep_graph=target.keep_graph,
            keep_history=target.keep_history,
            effects=tuple(reset.effects),
            sample=tuple(reset.sample),
            warnings=tuple(reset.warnings),
            planned_revision=reset.planned_revision,
            fence_revision=reset.fence_revision,
            create_time=reset.create_time,
            expire_time=reset.expire_time,
            error=reset.error,
            sequence=reset.sequence,
            receipt=reset.receipt,
            waiting_for=reset.waiting_for,
        )
    )


def decode_reset(namespace: str, reset_id: str, state: int, data: bytes) -> Reset:
    """The reset of a row."""
    if data[:1] != _FORM:
        raise ValueError(f"reset of form {data[:1]!r}; this server knows {_FORM!r}")
    row = _decode(data[1:])
    return Reset(
        namespace=namespace,
        reset_id=reset_id,
        target=ResetTarget(
            scope=row.scope,
            preserve=None if row.preserve is None else _decode_filter(row.preserve),
            include_history=row.include_history,
            keep_vector=row.keep_vector,
            keep_graph=row.keep_graph,
            keep_history=row.keep_history,
        ),
        state=ResetState(state),
        effects=row.effects,
        sample=row.sample,
        warnings=row.warnings,
        planned_revision=row.planned_revision,
        fence_revision=row.fence_revision,
        create_time=row.create_time,
        expire_time=row.expire_time,
        error=row.error,
        sequence=row.sequence,
        receipt=row.receipt if row.receipt is not None and row.receipt.revision else None,
        waiting_for=row.waiting_for,
    )


def encode_answer(reset: Reset) -> bytes:
    """The answer of a step, for duplicates of its request."""
    return _encode(Answer(reset.reset_id, reset.state, reset.effects, reset.sequence, reset.error))


def decode_answer(data: bytes) -> Answer:
    """The inverse of `encode_answer`."""
    return _decode_answer(data)


def drafted_receipt(data: bytes) -> ResetReceipt | None:
    """The receipt in the row of a reset, also one that has no place in the log yet."""
    return _decode(data[1:]).receipt


def receipt_digest(chain: bytes, receipt: ResetReceipt) -> str:
    """SHA-256(chain before it || canonical receipt), lower-case hex.

    Canonical is MessagePack of (stores as (kind, removed, remaining), memories, events_erased, complete_time,
    revision).
    """
    stores = [(int(s.store), s.removed, s.remaining) for s in receipt.stores]
    canonical = _encode((stores, receipt.memories, receipt.events_erased, receipt.complete_time, receipt.revision))
    return hashlib.sha256(chain + canonical).hexdigest()


def _encode_filter(filter_: Filter) -> list[Any]:
    if isinstance(filter_, And):
        return ["and", *(_encode_filter(f) for f in filter_.filters)]
    if isinstance(filter_, Or):
        return ["or", *(_encode_filter(f) for f in filter_.filters)]
    if isinstance(filter_, Not):
        return ["not", _encode_filter(filter_.filter)]
    return ["compare", filter_.field, int(filter_.operator), encode_metadata({"": filter_.value})]


def _decode_filter(data: list[Any]) -> Filter:
    kind, *rest = data
    if kind == "and":
        return And(tuple(_decode_filter(f) for f in rest))
    if kind == "or":
        return Or(tuple(_decode_filter(f) for f in rest))
    if kind == "not":
        return Not(_decode_filter(rest[0]))
    field, operator, value = rest
    return Compare(field, Operator(operator), decode_metadata(value)[""])
