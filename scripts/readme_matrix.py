"""Copies the table of docs/parity-matrix.md into the README, between its markers.

    .venv/bin/python scripts/readme_matrix.py [--check]

With --check nothing is written; the status is 1 when the README's table differs.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = ROOT / "README.md"
MATRIX: Final = ROOT / "docs" / "parity-matrix.md"
BEGIN: Final = "<!-- parity-matrix: begin -->\n"
END: Final = "<!-- parity-matrix: end -->"


def with_matrix(readme: str, matrix: str) -> str:
    """The README with the matrix in place, without its title.

    Raises:
        ValueError: The README lacks one of the markers.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md must hold the lines {BEGIN.strip()!r} and {END!r}")
    table = "\n".join(line for line in matrix.splitlines() if not line.startswith("# ")).strip()
    return f"{before}{BEGIN}\n{table}\n\n{END}{after}"


def main() -> int:
    """Rewrites or checks the README."""
    parser = argparse.ArgumentParser(description="Copies the parity matrix into the README.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the README is behind")
    arguments = parser.parse_args()
    if not MATRIX.is_file():
        print("docs/parity-matrix.md does not exist; run: make golden", file=sys.stderr)
        return 1
    present = README.read_text(encoding="utf-8")
    wanted = with_matrix(present, MATRIX.read_text(encoding="utf-8"))
    if wanted == present:
        return 0
    if arguments.check:
        print("README.md shows an old parity matrix; run: .venv/bin/python scripts/readme_matrix.py", file=sys.stderr)
        return 1
    README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
