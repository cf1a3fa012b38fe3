"""Tables of the embedded index, and how entries, ids and terms are written in them."""

from __future__ import annotations

import hashlib
import re
from typing import Final

VERSION: Final = 1

USER_BITS: Final = 32
"""An entry's rowid is its user's number shifted by these bits, plus a counter: what belongs to one user is one range of
rowids, in the tables and in each posting list of FTS5, so a scoped read never walks over other users."""

TABLES: Final = """
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, user TEXT NOT NULL, UNIQUE (namespace, user)
);
CREATE TABLE IF NOT EXISTS owners (
    user_id INTEGER NOT NULL, agent TEXT NOT NULL,
    entries INTEGER NOT NULL, documents INTEGER NOT NULL, terms INTEGER NOT NULL,
    PRIMARY KEY (user_id, agent)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, memory_id TEXT NOT NULL, revision INTEGER NOT NULL,
    retired INTEGER NOT NULL, user TEXT NOT NULL, agent TEXT NOT NULL, session TEXT NOT NULL, kind INTEGER NOT NULL,
    create_time INTEGER NOT NULL, valid_from INTEGER, valid_until INTEGER, importance REAL, speaker TEXT NOT NULL,
    turn INTEGER NOT NULL, asks INTEGER NOT NULL, length INTEGER NOT NULL, terms TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS entries_revision ON entries (namespace, revision);
CREATE INDEX IF NOT EXISTS entries_memory ON entries (namespace, memory_id, revision);
CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS postings USING fts5 (
    tokens, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);
"""
# Without detail: positions serve FTS5's own ranking and phrases only; ranking is the domain's.

COLUMNS: Final = (
    "id, revision, retired, memory_id, user, agent, session, kind, create_time, valid_from, valid_until, importance,"
    " speaker, turn, asks, length, terms"
)

"""Of `entries`, as `Segment.extend` takes them."""

_PLAIN: Final = re.compile(r"[a-z0-9]{1,64}", re.ASCII)


def token(namespace: int, term: str) -> str:
    """The term as one token of FTS5, of a-z and 0-9 only, so that its plain tokenizer keeps it whole in any script.

    Equal tokens mean equal terms of the same namespace: plain terms stand for themselves after "t", others as
    hexadecimal UTF-8 after "x", very long ones as SHA-256 after "h".
    """
    if _PLAIN.fullmatch(term):
        return f"n{namespace}t{term}"
    data = term.encode("utf-8", "surrogatepass")
    return f"n{namespace}h{hashlib.sha256(data).hexdigest()}" if len(data) > 1024 else f"n{namespace}x{data.hex()}"


class Tokens(dict[str, str]):
    """`token` of terms in one namespace, each made once."""

    def __init__(self, namespace: int) -> None:
        super().__init__()
        self._namespace = namespace

    def __missing__(self, term: str) -> str:
        made = self[term] = token(self._namespace, term)
        return made


def join_terms(terms: tuple[str, ...]) -> str:
    """Terms as one column. A term holds no white space (domain.analysis), so a line feed parts them."""
    return "\n".join(terms)


def split_terms(column: str) -> list[str]:
    """Terms of a column written by `join_terms`."""
    return column.split("\n") if column else []


def user_range(user_number: int) -> tuple[int, int]:
    """First and last rowid of a user's entries."""
    return user_number << USER_BITS, ((user_number + 1) << USER_BITS) - 1
