"""Resets as rows."""

from __future__ import annotations

import msgspec

from memoir_server.adapters.ledger.forms.reset_codec import decode_reset, encode_reset
from memoir_server.domain.memory import Scope
from memoir_server.domain.reset import Reset, ResetState, ResetTarget
from memoir_server.domain.store import StoreKind

WAITING = Reset(
    namespace="n",
    reset_id="r",
    target=ResetTarget(scope=Scope("ana")),
    state=ResetState.RUNNING,
    error="it does not answer",
    waiting_for=StoreKind.INDEX,
)


def test_what_it_waits_for_is_kept() -> None:
    assert decode_reset("n", "r", int(ResetState.RUNNING), encode_reset(WAITING)) == WAITING


def test_a_row_of_before_resets_waited_is_read() -> None:
    row = encode_reset(WAITING)
    fields = msgspec.msgpack.decode(row[1:])
    older = row[:1] + msgspec.msgpack.encode(fields[:-1])
    assert decode_reset("n", "r", int(ResetState.RUNNING), older).waiting_for is None
