"""What is written of a copy is read back as it was, whatever stands in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import astuple, replace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memoir_server.adapters.ledger.forms.encoding import encode_memory
from memoir_server.adapters.ledger.postgres import PostgresOptions
from memoir_server.adapters.ledger.postgres.copied_rows import WALKS
from memoir_server.adapters.ledger.postgres.copying import PostgresLedgerTarget
from memoir_server.domain.memory import Memory, Moment, Scope
from memoir_server.ports.ledger_copy import ROWS, Copied, Identity, MoveRecord, Part, Row, VersionCopy

pytestmark = pytest.mark.timeout(600)

NUMBERS = st.integers(-(2**63), 2**63 - 1)
REVISIONS = st.integers(1, 2**40 - 1)
NAMESPACES = st.integers(1, 2**23 - 1)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x00\x01"), max_size=40)
VALUES = st.one_of(
    TEXTS,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=True),
    st.booleans(),
    st.builds(Moment, NUMBERS),
    st.lists(TEXTS, max_size=3).map(tuple),
)
MEMORIES = st.builds(
    Memory,
    namespace=st.just("x"),
    memory_id=TEXTS,
    text=TEXTS,
    scope=st.builds(Scope, st.none() | TEXTS, st.none() | TEXTS, st.none() | TEXTS),
    metadata=st.dictionaries(TEXTS, VALUES, max_size=4),
    importance=st.none() | st.floats(0, 1),
    create_time=NUMBERS,
    update_time=NUMBERS,
    revision=REVISIONS,
)
FIELDS: Mapping[str, st.SearchStrategy[Any]] = {
    "ns": NAMESPACES,
    "revision": REVISIONS,
    "before": st.none() | REVISIONS,
    "type": st.integers(1, 9),
    "state": st.integers(1, 5),
    "family": st.integers(1, 5),
    "model": st.integers(1, 2**40),
    "reset": st.integers(1, 2**40),
    "number": st.integers(1, 2**40),
    **dict.fromkeys(("user_id", "agent_id", "session_id"), st.none() | TEXTS),
    **dict.fromkeys(("detail", "salt"), st.none() | st.binary(max_size=20)),
    "mentions": st.lists(TEXTS, max_size=3).map(tuple),
}
TYPES: Mapping[str, st.SearchStrategy[Any]] = {
    "int": NUMBERS,
    "Instant": NUMBERS,
    "str": TEXTS,
    "bytes": st.binary(max_size=20),
    "bool": st.booleans(),
}
"""By the name of the field, then by its declared type."""


def rows_of(part: Part) -> st.SearchStrategy[list[Row]]:
    kind = ROWS[part]
    if kind is VersionCopy:
        versions = st.builds(
            lambda memory, ns, born, retired, gone: VersionCopy(
                ns, memory.revision, memory.memory_id, born, retired, gone, memory.text, encode_memory(memory)
            ),
            *(MEMORIES, NAMESPACES, REVISIONS, NUMBERS, NUMBERS),
        )
        return st.lists(versions, max_size=5, unique_by=KEYS[part])
    declared = kind.__annotations__.items()
    fields = {name: FIELDS[name] if name in FIELDS else TYPES[str(type_)] for name, type_ in declared}
    return st.lists(st.builds(kind, **fields), max_size=5, unique_by=KEYS.get(part, astuple))


KEYS: Mapping[Part, Any] = {
    Part.NAMESPACES: (lambda row: row.ns, lambda row: row.name),
    Part.MODELS: (lambda row: row.model, lambda row: (row.name, row.version, row.dimension, row.asymmetric)),
    Part.EVENTS: lambda row: (row.ns, row.revision),
    Part.VERSIONS: lambda row: (row.ns, row.revision),
    Part.TURNS: lambda row: (row.ns, row.user_id, row.agent_id, row.session_id),
    Part.SPEAKERS: lambda row: (row.ns, row.name, row.user_id, row.agent_id, row.session_id),
    Part.REQUESTS: lambda row: (row.namespace, row.request_id, row.principal, row.method),
    Part.VECTORS: lambda row: (row.ns, row.content_hash, row.model),
    Part.KEPT_FACTS: lambda row: (row.ns, row.revision),
    Part.RESETS: (lambda row: row.reset, lambda row: (row.ns, row.reset_id)),
    Part.INGESTIONS: (lambda row: row.number, lambda row: (row.ns, row.ingestion_id)),
    Part.ACCESSES: lambda row: (row.ns, row.memory_id),
}
"""What no two rows may have in common; of other parts, all of it."""


@pytest.mark.parametrize("part", list(Part))
def test_rows_come_back_as_they_were(there: Mapping[str, str], part: Part) -> None:
    url = there["ledger.url"]
    first = MoveRecord(move_id="m", source="here", began=1)

    async def begin() -> None:
        target = PostgresLedgerTarget(PostgresOptions(url=url))
        await target.open()
        await target.begin(Identity("an-id", b"secret"), first)
        await target.close()

    async def there_and_back(rows: list[Row]) -> list[Row]:
        target = PostgresLedgerTarget(PostgresOptions(url=url))
        await target.open()
        try:
            standing = (await target.standing()).record
            assert standing is not None
            moved = standing.parts.get(part, Copied())
            record = replace(standing, parts={part: Copied(moved.rows + len(rows), 7, b"\x00\xff")})
            await target.write(part, rows, record, standing)
            found: list[Row] = []
            page = await target.read(part, b"")
            while page.rows:
                found.extend(page.rows)
                page = await target.read(part, page.position)
            return found
        finally:
            await target.close()

    asyncio.run(begin())

    @given(rows=rows_of(part))
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def comes_back(rows: list[Row]) -> None:
        with psycopg.connect(url, autocommit=True) as plain:
            plain.execute(f"TRUNCATE memoir.{WALKS[part].table}, memoir.metadata, memoir.cursors")
        assert sorted(asyncio.run(there_and_back(rows)), key=repr) == sorted(rows, key=repr)

    comes_back()
