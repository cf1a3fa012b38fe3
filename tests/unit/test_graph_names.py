from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.graph import SORT_CHARACTERS, normalise_name, normalise_prefix, sort_name
from memoir_server.rpc.tokens import EntityToken, RelationToken, Tokens, fingerprint

MARK = fingerprint(b"a")
TOKENS = Tokens("ledger-1")
MAX_TOKEN_CHARACTERS = 4096
"""Of the contract."""


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("", ""), ("  ", ""), ("ANA", "ana"), (" ana\t", "ana "), ("ana \n s", "ana s"), ("ß", "ss")],
)
def test_prefixes(prefix: str, expected: str) -> None:
    assert normalise_prefix(prefix) == expected


@given(st.lists(st.sampled_from(["Ana", "sOUSA", "Öl", "ｆｕｌｌ", "北京"]), min_size=1).map("  ".join), st.data())
def test_the_beginning_of_a_name_finds_it(name: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(name)))
    assert normalise_name(name).startswith(normalise_prefix(name[:length]).rstrip())
    assert normalise_name(name).startswith(sort_name(name))


@pytest.mark.parametrize("letter", ["a", "北", "\U0001f600", "\ufdfa"])
def test_the_longest_name_fits_into_a_token(letter: str) -> None:
    name = sort_name(letter * 256)
    assert len(name) == SORT_CHARACTERS
    token = EntityToken(MARK, 2**40, name, "e" * 64)
    text = TOKENS.encode(token)
    assert len(text) <= MAX_TOKEN_CHARACTERS
    assert TOKENS.decode(text, EntityToken, MARK, field="f") == token


@pytest.mark.parametrize("valid_from", [None, -(2**60), 0])
def test_a_place_among_relations_is_kept(valid_from: int | None) -> None:
    token = RelationToken(MARK, 7, 5, valid_from, "r")
    assert TOKENS.decode(TOKENS.encode(token), RelationToken, MARK, field="f") == token
