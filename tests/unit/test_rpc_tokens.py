from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.errors import TokenInvalid
from memoir_server.rpc.tokens import HistoryToken, ListToken, ResumeToken, Tokens, fingerprint

TOKENS = Tokens("ledger-1")
MARK = fingerprint(b"a", b"b")
ORIGINAL = TOKENS.encode(ResumeToken(MARK, 7))


@given(st.integers(0, 2**53), st.integers(-(2**60), 2**60), st.text(max_size=40))
def test_what_was_written_is_read(revision: int, create_time: int, memory_id: str) -> None:
    token = ListToken(MARK, revision, create_time, memory_id)
    assert TOKENS.decode(TOKENS.encode(token), ListToken, MARK, field="page_token") == token


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_token_is_refused(position: int, byte: int) -> None:
    text = ORIGINAL
    position %= len(text)
    changed = text[:position] + chr(byte) + text[position + 1 :]
    if changed == text:
        assert TOKENS.decode(changed, ResumeToken, MARK, field="f").revision == 7
        return
    if position == len(text) - 1 and readable(changed):
        # Only the unused bits of the last base64 digit differ.
        assert TOKENS.decode(changed, ResumeToken, MARK, field="f").revision == 7
        return
    with pytest.raises(TokenInvalid) as caught:
        TOKENS.decode(changed, ResumeToken, MARK, field="f")
    assert caught.value.field == "f"


def readable(text: str) -> bool:
    """Whether the text stands for the same bytes as the original."""

    def decoded(digits: str) -> bytes:
        return base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))

    return text.isascii() and text[-1].isalnum() and decoded(text) == decoded(ORIGINAL)


@pytest.mark.parametrize("text", ["", "A", "AAAA", "not a token", "ä", "=" * 9, "A" * 4096])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.decode(text, ResumeToken, MARK, field="resume_token")


def test_a_token_is_of_one_kind_one_ledger_and_one_set_of_parameters() -> None:
    text = TOKENS.encode(HistoryToken(MARK, 1, 2))
    assert TOKENS.decode(text, HistoryToken, MARK, field="f") == HistoryToken(MARK, 1, 2)
    with pytest.raises(TokenInvalid):
        TOKENS.decode(text, ResumeToken, MARK, field="f")
    with pytest.raises(TokenInvalid):
        TOKENS.decode(text, HistoryToken, fingerprint(b"ab"), field="f")
    with pytest.raises(TokenInvalid):
        Tokens("ledger-2").decode(text, HistoryToken, MARK, field="f")


def test_fingerprints_keep_their_parts_apart() -> None:
    assert fingerprint(b"a", b"b") != fingerprint(b"ab")
    assert fingerprint(b"a", b"") != fingerprint(b"", b"a")
