"""The pages say what the code says: links, settings, telemetry, file names, make targets, the contract."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from memoir.v1 import error_reason_pb2
from memoir_server.app.composition import _TRACED_STORES
from memoir_server.app.settings import Settings
from memoir_server.rpc.contract import load_contract
from scripts.contract_rules import UnknownRule, in_words

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SERVER = ROOT / "server" / "memoir_server"
# Where a path in a page may begin.
BASES = (ROOT, SERVER, ROOT / "sdk-python", ROOT / "golden-tests")


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def section(title: str) -> str:
    """A section of the operations page."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", OPERATIONS, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/operations.md has no section {title!r}"
    return found[1]


def first_cells(table: str) -> list[str]:
    """First cells of all rows, as written."""
    return re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)


def source() -> str:
    """All code of the server."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(SERVER.rglob("*.py")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        target, _, anchor = link.partition("#")
        if re.match(r"https?:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or not path.is_relative_to(ROOT) or (anchor and anchor not in anchors(path)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize(
    "name", ["adapters", "architecture", "contract", "operations", "versioning", "decisions/README"]
)
def test_the_readme_leads_to_every_page(name: str) -> None:
    assert f"](docs/{name}.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_and_targets_exist(page: Path) -> None:
    names = re.findall(r"`([\w-]+(?:/[\w.-]+)+\.(?:py|ts))`", prose(page))
    assert [name for name in names if not any((base / name).is_file() for base in BASES)] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert [name for name in re.findall(r"`make ([a-z-]+)", prose(page)) if name not in targets] == []


def test_the_settings_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| `(.*?)` \| \S", section("Settings"), re.MULTILINE)
    shown = {key: json.loads(value) for key, value in rows}
    assert len(shown) == len(rows)
    assert shown == Settings().public()
    assert [type(value) for value in shown.values()] == [type(value) for value in Settings().public().values()]


def test_the_metrics_are_those_of_the_code() -> None:
    created = re.findall(r'\.create_(?!scalar_function)\w+\(\s*"([^"]+)"', source())
    assert len(created) >= 7
    table = section("Telemetry").partition("Spans:")[0]
    assert sorted(cell.strip("`") for cell in first_cells(table)) == sorted(created)


def test_the_spans_are_those_of_the_code() -> None:
    cells = first_cells(section("Telemetry").partition("Spans:")[2])
    shown = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    of_stores = {f"{store} {method}" for store, methods in _TRACED_STORES.items() for method in methods}
    assert {name for name in shown if name.partition(" ")[0] in _TRACED_STORES} == of_stores
    literal = re.findall(r'(?:start_as_current_span\(|child_span\(tracer,)\s*f?"([^"{]+)', source())
    others = [name for name in shown if name not in of_stores and not name.startswith("memoir.v1.")]
    assert {name for name in others if not name.startswith(tuple(literal))} == set()
    assert {start for start in literal if not any(name.startswith(start) for name in others)} == set()


def test_the_contract_page_is_complete() -> None:
    page = ROOT / "docs" / "contract.md"
    text = page.read_text(encoding="utf-8")
    paths = [method.path for methods in load_contract().methods.values() for method in methods.values()]
    assert sorted(re.findall(r"^`(/memoir\.v1\.\w+/\w+)`", text, re.MULTILINE)) == sorted(paths)
    reasons = [name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()[1:]]
    assert first_cells(text.partition("## Error reasons")[2]) == [f"`{reason}`" for reason in reasons]
    # An anchor that two headings share would lead to the first of them.
    assert len(anchors(page)) == len(re.findall(r"^#+ ", text, re.MULTILINE))


def test_the_adapters_page_leads_to_every_port_and_suite() -> None:
    text = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    ports = [path for path in (SERVER / "ports").glob("*.py") if path.name != "__init__.py"]
    suites = [*(ROOT / "server" / "memoir_conformance").glob("*_suite.py")]
    assert min(len(ports), len(suites)) >= 6
    links = [f"](../{path.relative_to(ROOT).as_posix()})" for path in ports + suites]
    assert [link for link in links if link not in text] == []


@pytest.fixture(scope="module")
def field_rules() -> Any:
    """The class buf.validate.FieldRules of the server's image."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString((SERVER / "rpc" / "contract.binpb").read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("buf.validate.FieldRules"))


def test_rules_are_told_in_words(field_rules: Any) -> None:
    text = field_rules(string={"min_len": 1, "max_len": 9}, ignore=1)
    assert in_words(text, {}) == ["may be empty", "not empty", "at most 9 characters"]
    kinds = field_rules(repeated={"min_items": 1, "items": {"enum": {"defined_only": True, "not_in": [0]}}})
    assert in_words(kinds, {0: "NONE"}) == ["at least 1 item", "each a defined value", "each not `NONE`"]
    assert in_words(field_rules(double={"gte": 0, "lte": 0.5}, required=True), {}) == ["required", ">= 0", "<= 0.5"]
    assert in_words(None, {}) == []


@pytest.mark.parametrize("rules", [{"string": {"email": True}}, {"bytes": {"prefix": b"a"}}])
def test_a_rule_without_words_is_refused(field_rules: Any, rules: dict[str, Any]) -> None:
    with pytest.raises(UnknownRule, match="give it words"):
        in_words(field_rules(**rules), {})
