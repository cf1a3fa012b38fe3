"""The prompt files: versions that stay as they are, reasons that are not sent, a size that every call pays for."""

from __future__ import annotations

import hashlib
from importlib import resources

import pytest

from memoir_server import prompts
from memoir_server.domain.inference.extraction import EXTRACTION_SCHEMA
from memoir_server.domain.inference.prompt_text import read_prompt
from memoir_server.domain.inference.reconciliation import RECONCILE_SCHEMA
from memoir_server.domain.reasoning import JsonSchema
from memoir_server.domain.tokens import count_tokens
from memoir_server.prompts import CURRENT, load

FILES = sorted(
    path.name.removesuffix(".md") for path in resources.files(prompts).iterdir() if path.name.endswith(".md")
)

# What each version says, for good. Another wording gets another number, and a new line here.
DIGESTS = {
    "describe-image-v1": "3045d72ae41f17a7",
    "extract-v1": "7e3a6362e70a938a",
    "procedure-v1": "713b167afbeef7e5",
    "reconcile-v1": "8a2a8c5899fc32e0",
    "repair-v1": "c67545f06c5cc06c",
}


def tokens(schema: JsonSchema) -> int:
    return count_tokens(schema.name) + count_tokens(schema.description) + count_tokens(schema.document)


def test_the_fixed_part_of_an_add_is_at_most_2500_tokens() -> None:
    """System prompts and schemas of both calls together, by `memoir-words-1`."""
    texts = sum(count_tokens(load(name).text) for name in ("extract", "reconcile"))
    assert texts + tokens(EXTRACTION_SCHEMA) + tokens(RECONCILE_SCHEMA) <= 2500


def test_the_fixed_part_for_traces_is_smaller_still() -> None:
    texts = sum(count_tokens(load(name).text) for name in ("procedure", "reconcile"))
    assert texts + tokens(EXTRACTION_SCHEMA) + tokens(RECONCILE_SCHEMA) <= 2500


@pytest.mark.parametrize("label", FILES)
def test_a_version_says_what_it_said_when_it_was_made(label: str) -> None:
    name, _, version = label.rpartition("-v")
    text = load(name, int(version)).text
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[label]


def test_every_prompt_has_its_current_version() -> None:
    assert {f"{name}-v{version}" for name, version in CURRENT.items()} <= set(FILES) == set(DIGESTS)


@pytest.mark.parametrize("name", [name for name in CURRENT if name != "repair"])
def test_every_rule_has_a_reason_and_no_reason_is_sent(name: str) -> None:
    prompt = load(name)
    assert len(prompt.rules) >= 4
    assert "<!--" not in prompt.text
    assert "why:" not in prompt.text
    assert f"# {prompt.label}" not in prompt.text
    sent = " ".join(prompt.text.split())
    for rule in prompt.rules:
        assert rule.text in sent
        assert len(rule.why) > 20
        assert rule.why not in sent


def test_injected_instructions_are_declared_data_in_every_prompt() -> None:
    assert all(" data" in load(name).text for name in CURRENT)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("extract\n- a rule", "has to begin with a line"),
        ("# extract-v1\n- a rule\n", "has no '<!-- why"),
        ("# extract-v1\n- a rule\n<!-- because -->\n", "has no '<!-- why"),
        ("# extract-v1\n- a rule\n<!-- why: it is -->\nand <!-- open\n", "opened and not closed"),
    ],
)
def test_a_file_that_is_no_prompt_is_refused(source: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_prompt(source)


def test_reading_a_prompt() -> None:
    prompt = read_prompt(
        "# greet-v3\n\nSay hello.\n- Be short,\n  always.\n<!-- why: people are\nbusy -->\n"
        "- Be kind. <!-- why: so -->\n"
    )
    assert (prompt.name, prompt.version, prompt.label) == ("greet", 3, "greet-v3")
    assert prompt.text == "Say hello.\n- Be short,\n  always.\n- Be kind."
    assert [(rule.text, rule.why) for rule in prompt.rules] == [
        ("Be short, always.", "people are busy"),
        ("Be kind.", "so"),
    ]


def test_a_prompt_that_does_not_exist() -> None:
    with pytest.raises(KeyError):
        load("guess")
    with pytest.raises(FileNotFoundError):
        load("extract", 99)
