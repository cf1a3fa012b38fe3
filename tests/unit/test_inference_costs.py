"""The table of costs follows from the exchanges and the prices."""

from __future__ import annotations

from golden_inference.exchange import load_all
from memoir_server.domain.reasoning import Prompt, TextPart, TokenUsage
from scripts.inference_costs import MODELS, Add, adds, main, table, tokens_of


def test_the_page_says_what_the_exchanges_cost() -> None:
    assert main(["--check"]) == 0


def test_an_add_in_one_window_takes_two_questions_at_most() -> None:
    found = list(adds(load_all()))
    assert len(found) >= 60
    assert {add.questions for add in found} <= {0, 1, 2}


def test_a_row_is_the_price_of_its_tokens() -> None:
    rows = table([Add(1, TokenUsage(input=1000, output=100)), Add(2, TokenUsage(input=3000, output=0))]).splitlines()
    assert [cell.strip("` ") for cell in rows[0].split("|")[5:-1]] == [name for name, _ in MODELS]
    assert rows[2].split("|")[2:6] == [" 1 ", " 1,000 ", " 100 ", " $1.50 "]
    assert rows[3].split("|")[2:6] == [" 1 ", " 3,000 ", " 0 ", " $3.00 "]


def test_every_part_of_a_question_counts() -> None:
    plain = Prompt(name="n", version="1", system="one two", content=(TextPart("three"), TextPart("four")))
    assert tokens_of(plain) == 5
