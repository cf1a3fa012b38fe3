"""Asks a real provider what the tests ask its double, and records what it answers. Costs money where the provider does.

The language model is that of MEMOIR_REASONER__ADAPTER, __MODEL and so on in the environment; without them Anthropic's
or OpenAI's, whichever key is there first, with the model of MEMOIR_LIVE_MODEL or a small one. MEMOIR_EMBEDDER__ADAPTER
and so on name an embedding service, which is then held to the port's suite. Without a key nothing is run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "golden-tests")]

from golden_inference.exchange import load_all  # noqa: E402
from tests.live_llm.conversations import converse, write  # noqa: E402
from tests.live_llm.target import embedder_target, reasoner_target  # noqa: E402

RECORDED = ROOT / "golden-tests" / "recorded"


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="conversations whose names contain this")
    parser.add_argument("--checks", action="store_true", help="the checks alone, no conversations")
    parser.add_argument("--folder", type=Path, default=RECORDED, help="where the recording goes")
    options = parser.parse_args(arguments)
    target, embedder = reasoner_target(environment), embedder_target(environment)
    if target is None and embedder is None:
        print(
            "live-llm: no key in ANTHROPIC_API_KEY or OPENAI_API_KEY, and no MEMOIR_REASONER__ADAPTER: nothing was run"
        )
        return 0
    status = 0
    if target is not None:
        print(f"live-llm: {target.settings.adapter}, {target.settings.model}", flush=True)
    only = [] if target is not None else ["-k", "TestEmbedder"]
    status |= subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *only, "tests/live_llm/checks.py"],
        cwd=ROOT,
        check=False,
        env=dict(environment),
    ).returncode
    if target is None or options.checks:
        return status
    if not target.upstream:
        print("live-llm: requests to a cloud are signed for its host, so nothing can stand between and record them")
        return status
    exchanges = [exchange for exchange in load_all() if options.only in exchange.name and exchange.budget is None]
    with tempfile.TemporaryDirectory(prefix="memoir-live-") as directory:
        tally, conversations = asyncio.run(converse(target, exchanges, Path(directory)))
    for line in tally.lines():
        print(f"live-llm: {line}")
    path = write(target, conversations, tally, options.folder)
    print(f"live-llm: recorded in {path}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
