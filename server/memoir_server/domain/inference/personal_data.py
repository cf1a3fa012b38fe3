"""Personal data and secrets in a text, found by patterns whose hits can be checked.

Each pattern is narrow, and what has a checksum is only believed with it: an IBAN by its remainder and the length of its
country, a card number by Luhn's sum, an address by being one. Names and postal addresses are not found: that takes a
model, and the reasoner's instruction is the place to ask for it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final


class DataCategory(Enum):
    """What was found; the value is the word a masked text shows."""

    SECRET = "secret"
    EMAIL = "email"
    IBAN = "iban"
    CARD = "card"
    IP = "ip"
    PHONE = "phone"


@dataclass(frozen=True, slots=True)
class Found:
    """`text[start:end]` is data of the category."""

    category: DataCategory
    start: int
    end: int


def find_personal_data(text: str) -> tuple[Found, ...]:
    """What the patterns find, in the order of the text, without overlaps: of two, the one whose category stands first
    in `DataCategory` is kept."""
    kept: list[Found] = []
    taken = bytearray(len(text))
    for category, pattern, check in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span("data") if "data" in pattern.groupindex else match.span()
            if not any(taken[start:end]) and check(text[start:end]):
                kept.append(Found(category, start, end))
                taken[start:end] = b"\1" * (end - start)
    return tuple(sorted(kept, key=lambda found: found.start))


def mask(category: DataCategory) -> str:
    """What stands in a masked text for data of the category, such as `[email]`."""
    return f"[{category.value}]"


def masked(text: str, categories: frozenset[DataCategory]) -> str:
    """The text with data of the categories replaced by its mask."""
    return "".join(_masked_parts(text, categories))


def _masked_parts(text: str, categories: frozenset[DataCategory]) -> Iterator[str]:
    at = 0
    for found in find_personal_data(text):
        if found.category in categories:
            yield text[at : found.start]
            yield mask(found.category)
            at = found.end
    yield text[at:]


def _always(_: str) -> bool:
    return True


def luhn(digits: str) -> bool:
    """Luhn's checksum over a text of digits (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


_IBAN_LENGTHS: Final = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
"""Length of an IBAN by country (ISO 13616 registry)."""


def iban_valid(text: str) -> bool:
    """Whether a text is an IBAN: the length of its country, and remainder 1 by 97 (ISO 7064)."""
    compact = re.sub(r"[\s-]", "", text).upper()
    if _IBAN_LENGTHS.get(compact[:2]) != len(compact):
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def _card_valid(text: str) -> bool:
    digits = re.sub(r"[ -]", "", text)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn(digits)


def _ip_valid(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    # "::" and "::1" are code more often than anybody's address, and 0.0.0.0 and 127.0.0.1 are nobody's.
    return not (address.is_loopback or address.is_unspecified)


def _phone_valid(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 8 <= len(digits) <= 15 and not _DATE.search(text)


_DATE: Final = re.compile(
    r"\b(?:19|20)[0-9]{2}[-./ ][0-9]{1,2}[-./ ][0-9]{1,2}\b|\b[0-9]{1,2}[-./][0-9]{1,2}[-./][0-9]{4}\b"
)


def _secret_valid(text: str) -> bool:
    """A word given as a password is one when it looks like no word: it has a digit or a symbol within it."""
    return bool(re.search(r"[0-9]|[^\w\s.,;:!?'\"-]", text))


_KEY_WORDS: Final = (
    r"pass(?:word|wd|phrase|code)?|pwd|pin(?:\s?code)?|secret(?:\s?key)?|(?:api|access|private|auth)[\s_-]?(?:key|token)|"
    r"token|bearer|senha|palavra-passe|contrase[nñ]a|clave|mot\s+de\s+passe|passwort|kennwort|wachtwoord|"
    r"パスワード|暗証番号|密码|비밀번호|كلمة\s+(?:المرور|السر)|пароль"
)
_IS: Final = r"\s*(?:=|:|は|：|\bis\b|\bé\b|\bes\b|\best\b|\bist\b|هي)\s*"

_PATTERNS: Final[tuple[tuple[DataCategory, re.Pattern[str], Callable[[str], bool]], ...]] = tuple(
    (category, re.compile(pattern, flags), check)
    for category, pattern, flags, check in (
        (
            DataCategory.SECRET,
            r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:[\s\S]*?-----END (?:[A-Z]+ )*PRIVATE KEY-----|[\s\S]*)",
            0,
            _always,
        ),
        (
            DataCategory.SECRET,
            (
                r"(?<![A-Za-z0-9_-])(?:"
                r"sk-(?:[a-z]+-)*[A-Za-z0-9_-]{16,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{30,}|"
                r"github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,}|"
                r"(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|"
                r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{30,}|"
                r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
                r")(?![A-Za-z0-9])"
            ),
            0,
            _always,
        ),
        (
            DataCategory.SECRET,
            # Punctuation after it belongs to the sentence.
            rf"(?:{_KEY_WORDS}){_IS}[\"'`“«]?(?P<data>[^\s\"'`”»]{{3,199}}[^\s\"'`”».,;:)])",
            re.I,
            _secret_valid,
        ),
        (DataCategory.SECRET, r"\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@]{1,100}:(?P<data>[^\s/@]{1,200})@", re.I, _always),
        (
            DataCategory.EMAIL,
            r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])",
            0,
            _always,
        ),
        (
            DataCategory.IBAN,
            r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?(?![A-Za-z0-9])",
            0,
            iban_valid,
        ),
        (DataCategory.CARD, r"(?<![\w-])(?<![0-9] )[2-6](?:[ -]?[0-9]){12,18}(?![\w-])", re.A, _card_valid),
        (DataCategory.IP, r"(?<![\w.])(?<!ersion )[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w]|\.[0-9])", re.A, _ip_valid),
        (DataCategory.IP, r"(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])", re.A, _ip_valid),
        (
            DataCategory.PHONE,
            r"(?<![\w+])(?<![0-9] )(?:\+|00)[1-9](?:[ ./()-]{0,2}[0-9]){6,14}(?!\w)",
            re.A,
            _phone_valid,
        ),
        (DataCategory.PHONE, r"(?<!\w)\([0-9]{2,5}\)[ ]?[0-9]{3,5}(?:[ .-]?[0-9]{2,5}){0,3}(?!\w)", re.A, _phone_valid),
        (
            DataCategory.PHONE,
            r"(?<![\w.-])(?<![0-9] )0[0-9]{1,4}[ /-][0-9]{2,8}(?:[ -][0-9]{2,4}){0,4}(?![\w-])",
            re.A,
            _phone_valid,
        ),
        (
            DataCategory.PHONE,
            r"(?<![\w.-])(?<![0-9] )[2-9][0-9]{2}([ .-])[0-9]{3}\1[0-9]{4}(?![\w-])",
            re.A,
            _phone_valid,
        ),
    )
)
