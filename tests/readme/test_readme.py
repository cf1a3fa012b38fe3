"""The README does what it says, and points at files that exist."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from scripts import readme_matrix, run_readme
from scripts.run_readme import Block, BlockFailed, Report, blocks_of

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


@pytest.fixture(scope="module")
def text() -> str:
    return README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report() -> Report:
    return run_readme.run_readme()


def test_every_block_runs_as_pasted(report: Report, text: str) -> None:
    assert report.blocks == len(blocks_of(text)) == 4
    python, node, shell = report.outputs
    first, before, after = python.splitlines()[0], *python.splitlines()[-2:]
    assert re.fullmatch(r"[01]\.\d\d We moved from Leeds to Ghent in April\. \['m1'\]", first)
    assert (before, after) == ("Nora's concert is on 28 November.", "Nora's concert is on 21 November.")
    assert re.search(r"^KEYWORD [01]\.\d\d My sister had a baby in July\.$", node, re.MULTILINE)
    assert re.search(r"^3n UPDATED ", node, re.MULTILINE)
    assert "275 memories of nora from 275 messages" in shell


def test_a_first_hit_comes_soon_after_the_start(
    report: Report, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = f"first search hit {report.seconds_to_first_hit:.1f} s after the start"
    with capsys.disabled():
        pytestconfig.get_terminal_writer().line(f"\nREADME: {seconds} (embedder {report.embedder}, no downloads)")
    assert 0 < report.seconds_to_ready < report.seconds_to_first_hit < 60


def test_the_two_examples_are_about_ten_lines(text: str) -> None:
    for block in blocks_of(text):
        if block.language in {"python", "javascript"}:
            assert 8 <= len([line for line in block.code.splitlines() if line.strip()]) <= 11


def test_links_lead_somewhere(text: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(targets) >= 5
    # The matrix is written by `make golden`, which runs after these tests in a fresh clone.
    missing = [target for target in targets if not (ROOT / target).exists() and target != "docs/parity-matrix.md"]
    assert missing == []


def test_blocks_marked_as_not_run_are_left_out() -> None:
    page = "a\n```sh\necho 1\n```\n<!-- readme: not run -->\n```sh\nexit 1\n```\n\n```text\nno\n```\n"
    assert blocks_of(page) == [Block("sh", "echo 1", 3)]


def page_with(tmp_path: Path, code: str) -> Path:
    page = tmp_path / "README.md"
    page.write_text(f"text\n```sh\n{code}\n```\n", encoding="utf-8")
    return page


def test_a_block_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(BlockFailed, match=r"README line 3 \(sh\), status 3:\n(?s:.*)so far"):
        run_readme.run_readme(page_with(tmp_path, "echo so far; exit 3"))


def test_a_page_without_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BlockFailed, match="must hold"):
        run_readme.run_readme(page_with(tmp_path, "echo fine"))


def test_the_matrix_goes_between_the_markers(text: str) -> None:
    once = readme_matrix.with_matrix(text, "# Parity matrix\n\n| method |\n|---|\n| Get |\n")
    assert f"{readme_matrix.BEGIN}\n| method |\n|---|\n| Get |\n\n{readme_matrix.END}" in once
    assert readme_matrix.with_matrix(once, "| other |") == readme_matrix.with_matrix(text, "| other |")
    with pytest.raises(ValueError, match="parity-matrix: begin"):
        readme_matrix.with_matrix("no markers", "")


def test_the_check_sees_an_old_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: ModuleType | Any = readme_matrix
    page, matrix = tmp_path / "README.md", tmp_path / "matrix.md"
    page.write_text(f"{readme_matrix.BEGIN}{readme_matrix.END}\n", encoding="utf-8")
    monkeypatch.setattr(module, "README", page)
    monkeypatch.setattr(module, "MATRIX", matrix)
    monkeypatch.setattr("sys.argv", ["readme_matrix.py", "--check"])
    assert readme_matrix.main() == 1  # no matrix yet
    matrix.write_text("| method |\n", encoding="utf-8")
    assert readme_matrix.main() == 1
    monkeypatch.setattr("sys.argv", ["readme_matrix.py"])
    assert readme_matrix.main() == 0
    monkeypatch.setattr("sys.argv", ["readme_matrix.py", "--check"])
    assert readme_matrix.main() == 0
