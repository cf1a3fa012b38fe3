"""A language model for the benchmark: the double of a provider in a process of its own, which answers at once.

    python -m bench.model PORT_FILE

Every conversation holds five facts; one of those said in a second conversation contradicts what was stored. It ends
when its standard input closes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.provider_double import ProviderDouble

KEY = "sk-bench-0123456789abcdef"
SECOND = "By the way"
"""Begins the second conversation of a user, and no other."""
_DAILY = ("walks to work", "drinks green tea", "has two cats", "plays the cello", "reads crime novels")
_LATER = ("cycles to work", "works in a bakery", "grows tomatoes", "learns Basque", "saves for a boat")


def messages(*, second: bool) -> list[str]:
    """Six messages of a conversation, five of which hold a fact."""
    said = [f"I should say that Ana {habit} these days." for habit in (_LATER if second else _DAILY)]
    return [f"{SECOND}, there is news." if second else "Let me tell you about us.", *said]


def _facts(habits: tuple[str, ...]) -> str:
    return json.dumps(
        {
            "facts": [
                {"text": f"Ana {habit}.", "kind": "fact", "message": number, "quote": f"Ana {habit}"}
                for number, habit in enumerate(habits, start=1)
            ],
            "forget": [],
        }
    )


def _decisions() -> str:
    made = [{"item": 1, "action": "SUPERSEDE", "memory": 1, "reason": "it is newer"}]
    made += [{"item": item, "action": "ADD", "memory": 0, "reason": "it is new"} for item in range(2, 6)]
    return json.dumps({"decisions": made})


def main(port_file: Path) -> None:
    """Serves until standard input closes."""
    with ProviderDouble(key=KEY) as double:
        double.says(_facts(_LATER), form="remember", contains=(SECOND,))
        double.says(_facts(_DAILY), form="remember")
        double.says(_decisions(), form="reconcile")
        temporary = port_file.with_suffix(".new")
        temporary.write_text(double.url)
        temporary.replace(port_file)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
