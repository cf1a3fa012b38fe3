"""What an add in mode INFER costs, from the tokens of the authored exchanges; writes the table in docs/providers.md.

`--check` fails when the page says something else. Tokens are counted by `memoir-words-1`, which counts high (decision
012). No price list is asked: the prices below, in US dollars per million tokens, were those of 2026.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "golden-tests")]

from golden_inference.exchange import Exchange, load_all  # noqa: E402
from golden_inference.replay import replay  # noqa: E402
from memoir_server.domain.reasoning import Prices, Prompt, TextPart, TokenUsage  # noqa: E402
from memoir_server.domain.tokens import count_tokens  # noqa: E402

PAGE = ROOT / "docs" / "providers.md"
BEGIN, END = "<!-- costs: written by scripts/inference_costs.py -->", "<!-- end of costs -->"
MODELS = (
    ("claude-haiku-4-5", Prices(input=1.0, output=5.0)),
    ("gpt-5-mini", Prices(input=0.25, output=2.0)),
    ("deepseek-chat", Prices(input=0.28, output=0.42)),
)


@dataclass(frozen=True, slots=True)
class Add:
    """The questions of one add: how many, and their tokens."""

    questions: int
    usage: TokenUsage


def tokens_of(prompt: Prompt) -> int:
    """Tokens of a question: its fixed part, the form of the answer, and what differs from call to call."""
    schema = f"{prompt.schema.description}{prompt.schema.document}" if prompt.schema else ""
    texts = [part.text for part in prompt.content if isinstance(part, TextPart)]
    return sum(count_tokens(text) for text in (prompt.system, schema, *texts))


def adds(exchanges: Sequence[Exchange]) -> Iterator[Add]:
    """The adds of the exchanges that fit one window and hold no image and no repair."""
    for exchange in exchanges:
        if exchange.images or any(answer.to == "repair" for answer in exchange.answers):
            continue
        outcome = replay(exchange)
        if outcome.windows == 1:
            read = sum(tokens_of(prompt) for prompt in outcome.asked)
            written = sum(count_tokens(answer.output) for answer in exchange.answers)
            yield Add(len(outcome.asked), TokenUsage(input=read, output=written))


def table(found: Sequence[Add]) -> str:
    """The rows of the page."""
    lines = [
        "| | adds | tokens read | written | " + " | ".join(f"`{name}`" for name, _ in MODELS) + " |",
        "|---|---|---|---|" + "---|" * len(MODELS),
    ]
    for questions, words in ((1, "nothing similar is stored: 1 question"), (2, "something similar is: 2 questions")):
        chosen = [add.usage for add in found if add.questions == questions]
        usage = TokenUsage(
            input=round(mean(each.input for each in chosen)), output=round(mean(each.output for each in chosen))
        )
        costs = " | ".join(f"${1000 * prices.cost(usage):.2f}" for _, prices in MODELS)
        lines.append(f"| {words} | {len(chosen)} | {usage.input:,} | {usage.output:,} | {costs} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Writes or checks; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args(arguments)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    current = f"{before}{BEGIN}\n\n{table(list(adds(load_all())))}\n\n{END}{after}"
    if options.check:
        if current != page:
            print("docs/providers.md: the table of costs is out of date; run scripts/inference_costs.py")
        return int(current != page)
    PAGE.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
