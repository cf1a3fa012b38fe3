"""What may be remembered: patterns for personal data, masks, instructions."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoir_server.domain.errors import FieldInvalid
from memoir_server.domain.inference.personal_data import DataCategory, find_personal_data, iban_valid, luhn, masked
from memoir_server.domain.inference.policy import MAX_INSTRUCTION, DataRule, Policy, checked_instruction
from memoir_server.domain.inference.turns import Turn
from memoir_server.domain.memory import MemoryKind, Role

ALL = frozenset(DataCategory)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to mira.k+news@mail.example.org today", "write to [email] today"),
        ("é josé@exemplo.pt.", "é [email]."),
        ("IBAN DE89 3704 0044 0532 0130 00, thanks", "IBAN [iban], thanks"),
        ("GB82WEST12345698765432", "[iban]"),
        ("card 4111-1111-1111-1111 exp", "card [card] exp"),
        ("5500 0000 0000 0004", "[card]"),
        ("call +44 20 7946 0958", "call [phone]"),
        ("call 0031 20 555 0123 now", "call [phone] now"),
        ("(212) 555-0147 or 212-555-0147", "[phone] or [phone]"),
        ("030 1234567 nach sechs", "[phone] nach sechs"),
        ("from 192.168.1.20 and 2001:db8::8a2e:370:7334", "from [ip] and [ip]"),
        ("my password is hunter2!", "my password is [secret]"),
        ('"api_key": "a1b2-c3d4-e5f6"', '"api_key": "a1b2-c3d4-e5f6"'),
        ("api_key = 'a1b2-c3d4-e5f6'", "api_key = '[secret]'"),
        ("A minha senha é Gato#77", "A minha senha é [secret]"),
        ("key AKIAIOSFODNN7EXAMPLE.", "key [secret]."),
        ("ghp_" + "a1B2" * 9, "[secret]"),
        ("sk-proj-" + "Zz9_" * 8, "[secret]"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJlcw", "[secret]"),
        ("postgres://bob:pa55w0rd@db.internal/x", "postgres://bob:[secret]@db.internal/x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nok", "[secret]\nok"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "[secret]"),
    ],
)
def test_personal_data_is_masked(text: str, expected: str) -> None:
    assert masked(text, ALL) == expected


@pytest.mark.parametrize(
    "text",
    [
        "DE89 3704 0044 0532 0130 01",  # wrong checksum
        "DE89 3704 0044 0532 0130",  # wrong length
        "order 4111 1111 1111 1112",  # fails Luhn
        "0000 0000 0000 0000",
        "2026-03-01 10:20:30.123",
        "01.02.2026 - 03.04.2026",
        "ISBN 978-3-16-148410-0",
        "version 1.2.3.4 and v1.2.3.4",
        "127.0.0.1 and ::1 and std::vector::x and 999.1.1.1",
        "the password is strong and the token is on the table",
        "a@b and @home and foo@bar",
        "12:30:45 sharp, 1,250,000 people",
        "room 12-34",
    ],
)
def test_what_only_looks_like_personal_data_is_left(text: str) -> None:
    assert find_personal_data(text) == ()


def test_only_the_categories_asked_for_are_masked() -> None:
    text = "a@b.example, password: x1y2z3"
    assert masked(text, frozenset({DataCategory.EMAIL})) == "[email], password: x1y2z3"
    assert masked(text, frozenset()) == text


@settings(deadline=None)
@given(
    st.text(max_size=300)
    | st.lists(
        st.sampled_from("4111 1111 +44 20 7946 0958 a@b.co :: 1.2.3.4 GB82 WEST key = sk- ".split()), max_size=20
    ).map(" ".join)
)
def test_findings_lie_in_order_without_overlap(text: str) -> None:
    end = 0
    for found in find_personal_data(text):
        assert end <= found.start < found.end <= len(text)
        end = found.end


@pytest.mark.parametrize(
    "text",
    [
        "a." * 32_000,
        "-eyJ" * 16_000,
        "4 " * 32_000,
        "key:" * 16_000,
        "::" * 32_000,
        "a@b.co " * 9000,
        "-----BEGIN PRIVATE KEY-----" * 2400,
        "+1" * 32_000,
        "SG." * 20_000,
    ],
)
def test_a_hostile_text_of_full_length_is_read_in_bounded_work(text: str) -> None:
    began = time.process_time()
    find_personal_data(text)
    # Seconds of the processor, where a backtracking pattern takes minutes.
    assert time.process_time() - began < 20


def test_checksums() -> None:
    assert luhn("79927398713")
    assert not luhn("79927398710")
    assert iban_valid("FR14 2004 1010 0505 0001 3M02 606")
    assert not iban_valid("XX00 0000 0000 0000")


def turns() -> list[Turn]:
    return [Turn(index=0, role=Role.USER, text="a@b.example, pin: 4711#", said=0, images=("a sign: c@d.example",))]


@pytest.mark.parametrize(
    ("policy", "text", "image", "refused"),
    [
        (Policy(), "a@b.example, pin: [secret]", "a sign: c@d.example", DataCategory.SECRET),
        (Policy(secrets=DataRule.KEEP), "a@b.example, pin: 4711#", "a sign: c@d.example", None),
        (Policy(secrets=DataRule.MASK), "a@b.example, pin: [secret]", "a sign: c@d.example", None),
        (Policy(personal=DataRule.MASK), "[email], pin: [secret]", "a sign: [email]", DataCategory.SECRET),
        (Policy(personal=DataRule.DROP), "[email], pin: [secret]", "a sign: [email]", DataCategory.SECRET),
        (
            Policy(personal=DataRule.DROP, secrets=DataRule.KEEP),
            "[email], pin: 4711#",
            "a sign: [email]",
            DataCategory.EMAIL,
        ),
    ],
)
def test_rules_for_data(policy: Policy, text: str, image: str, refused: DataCategory | None) -> None:
    (hidden,) = policy.hide(turns())
    assert hidden.text == text
    assert hidden.images == (image,)
    assert policy.refuses(text) == refused
    assert policy.refuses("a@b.example, pin: 4711#") == refused


def test_a_mask_in_other_letters_is_refused_too() -> None:
    assert Policy().refuses("The code is [SECRET].") is DataCategory.SECRET


def test_instructions_are_added_to_those_of_the_namespace() -> None:
    policy = Policy(instructions=("Only dietary facts.",))
    assert policy.with_instruction("  \n ") is policy
    assert policy.with_instruction(" No brands.\n").instructions == ("Only dietary facts.", "No brands.")


@pytest.mark.parametrize(
    ("instruction", "problem"),
    [
        ("x" * (MAX_INSTRUCTION + 1), "instruction: has 2049 characters; at most 2048 are taken: shorten it"),
        ("a\x07b", "instruction: has the control character U\\+0007 at 1: take it out"),
    ],
)
def test_an_instruction_that_is_refused(instruction: str, problem: str) -> None:
    with pytest.raises(FieldInvalid, match=problem):
        Policy().with_instruction(instruction)
    with pytest.raises(FieldInvalid, match="inference"):
        checked_instruction(instruction, "inference.instruction")


def test_a_policy_that_keeps_nothing_or_the_wrong_kinds_is_refused() -> None:
    with pytest.raises(ValueError, match="kinds=none: give some of"):
        Policy(kinds=frozenset())
    with pytest.raises(ValueError, match="kinds=EPISODE: give some of"):
        Policy(kinds=frozenset({MemoryKind.EPISODE, MemoryKind.FACT}))


@pytest.mark.parametrize("language", ["english please", "e", "pt_BR", "en-" + "x" * 9])
def test_a_language_that_is_no_tag_is_refused(language: str) -> None:
    with pytest.raises(ValueError, match="give a language tag"):
        Policy(language=language)
