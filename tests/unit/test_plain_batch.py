"""The shortcut for batches of plain memories never accepts what the contract refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protovalidate import Validator

from memoir_server.rpc.contract import load_contract
from memoir_server.rpc.interceptors.plain_batch import MOST_CHARACTERS, MOST_ITEMS, sample_of
from memoir_server.rpc.interceptors.validate import RequestValidator

CONTRACT = load_contract()
Batch: Any = CONTRACT.message("memoir.v1.BatchCreateMemoriesRequest")
VALIDATOR = RequestValidator()
RULES = Validator()

odd_ids = st.sampled_from(["", "m", "m-1", "-m", "m\n", "m" * 128, "m" * 129, "ä", "a/b:c@d.e_f", "a b", "m\x00"])
odd_scopes = st.sampled_from(
    ["", "u", "u\n", "\n", "u\x7f", "ü" * 256, "ü" * 257, "日本", "a b", "\x1f", "\x20", "\U0001f642"]
)
odd_texts = st.sampled_from(
    ["", "t", "🙂" * 10, "x" * MOST_CHARACTERS, "ü" * MOST_CHARACTERS, "x" * (MOST_CHARACTERS + 1)]
)


@st.composite
def items(draw: st.DrawFn) -> Any:
    batch = Batch()
    item = batch.items.add(memory_id=draw(odd_ids | st.text(max_size=3)))
    if draw(st.integers(0, 9)):
        item.memory.text = draw(odd_texts | st.text(max_size=5))
        for name in draw(st.sets(st.sampled_from(["user_id", "agent_id", "session_id"]))):
            setattr(item.memory.scope, name, draw(odd_scopes | st.text(max_size=3)))
    extra = draw(st.integers(0, 12))
    if extra == 0:
        item.memory.importance = draw(st.sampled_from([0.5, 2.0, -1.0, float("nan")]))
    elif extra == 1:
        item.memory.kind = draw(st.sampled_from([1, 6, 7, -1]))
    elif extra == 2:
        item.supersedes.extend(draw(st.lists(odd_ids, max_size=2)))
    elif extra == 3:
        item.memory.create_time.seconds = draw(st.integers(-(2**63), 2**63 - 1))
        item.memory.valid_from.nanos = draw(st.integers(-(2**31), 2**31 - 1))
    elif extra == 4:
        item.memory.metadata[draw(st.text(max_size=3))].int_value = 1
    elif extra == 5:
        item.memory.entities.add(name=draw(odd_scopes))
    return item


@st.composite
def batches(draw: st.DrawFn) -> Any:
    return Batch(
        namespace=draw(st.sampled_from(["", "ns", "Not One", "n\n"])),
        request_id=draw(st.sampled_from(["", "r", "r r", "r" * 129])),
        durability=draw(st.sampled_from([0, 2, 9])),
        allow_partial=draw(st.booleans()),
        items=draw(st.lists(items(), max_size=4)),
    )


@given(batches())
def test_the_verdict_is_that_of_the_rules(batch: Any) -> None:
    refused = bool(RULES.collect_violations(batch))
    assert bool(VALIDATOR.violations(batch)) is refused
    sample = sample_of(batch)
    if sample is not None:
        assert bool(RULES.collect_violations(sample)) is refused


def _plain(count: int) -> Any:
    batch = Batch(namespace="ns", request_id="r")
    for number in range(count):
        item = batch.items.add(memory_id=f"m-{number}")
        item.memory.text = "likes tea"
        item.memory.scope.user_id = "ana"
    return batch


@pytest.mark.parametrize(
    ("count", "shortcut"), [(0, False), (1, False), (2, True), (MOST_ITEMS, True), (MOST_ITEMS + 1, False)]
)
def test_plain_batches_take_it(count: int, shortcut: bool) -> None:
    batch = _plain(count)
    before = batch.SerializeToString()
    assert (sample_of(batch) is not None) is shortcut
    assert bool(VALIDATOR.violations(batch)) is not (0 < count <= MOST_ITEMS)
    assert batch.SerializeToString() == before


def test_every_violation_is_still_found_by_its_path() -> None:
    batch = _plain(3)
    batch.items[1].memory.scope.user_id = "a\n"
    batch.items[2].memory_id = "-"
    assert [v.field for v in VALIDATOR.violations(batch)] == ["items[1].memory.scope.user_id", "items[2].memory_id"]


def test_the_rules_of_plain_fields_are_those_that_are_checked() -> None:
    """The shortcut repeats these rules: look at it before you change what is expected here."""
    item = Batch.DESCRIPTOR.nested_types_by_name["Item"]
    memory = item.fields_by_name["memory"].message_type
    scope = memory.fields_by_name["scope"].message_type
    rules = {
        field.name: field.GetOptions().SerializeToString()
        for message in (item, memory, scope)
        for field in message.fields
        if field.name in RULED and (message, field.name) != (memory, "memory_id")
    }
    assert rules == RULED
    for message in (item, memory, scope):
        assert not message.GetOptions().SerializeToString()


IDENTITY = b"\xbaH\x1cr\x1a\x10\x01\x18\x80\x022\x13^[^\\x00-\\x1f\\x7f]+$"
RULED = {
    "memory_id": b"\xbaH,\xd8\x01\x01r'2%^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$",
    "memory": b"\xbaH\x03\xc8\x01\x01",
    "text": b"\xbaH\x06r\x04\x18\x80\x80\x04",
    "scope": b"",
    "create_time": b"",
    "valid_from": b"",
    "user_id": IDENTITY,
    "agent_id": IDENTITY,
    "session_id": IDENTITY,
}
"""Options of the fields as they were when the shortcut was written."""
