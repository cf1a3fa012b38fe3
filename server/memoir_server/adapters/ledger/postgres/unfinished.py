"""The record of a move into this ledger, and what it forbids: a copy that is not whole must not be served."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import psycopg

from memoir_server.domain.errors import StoreUnavailable
from memoir_server.ports.ledger_copy import MoveRecord, Stage

RECORD_NAME: Final = "move"
"""Its row in the table meta."""
_FIND: Final = "SELECT value FROM meta WHERE name = %s"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(MoveRecord).decode


def encode_record(record: MoveRecord) -> bytes:
    """The value of its row."""
    return _encode(record)


def decode_record(value: bytes) -> MoveRecord:
    """The inverse of `encode_record`."""
    return _decode(value)


def refuse_unfinished(plain: psycopg.Connection[Any]) -> None:
    """To be called before a server opens the ledger. Raises StoreUnavailable while a move into it is not finished."""
    found = plain.execute(_FIND, (RECORD_NAME,)).fetchone()
    if found is None:
        return
    record = decode_record(found[0])
    if record.stage is not Stage.FINISHED:
        raise StoreUnavailable(
            "ledger",
            f"the move of {record.source} into it is not finished ({record.stage}); run the same `memoir move` again, "
            "which goes on where it stopped, and then start servers",
        )
