"""The golden corpus: every case and every vector with every SDK, the transcripts, and the completeness of it all."""

from collections.abc import Iterator

import pytest

from golden_runner import completeness, filter_forms, matrix
from golden_runner.__main__ import known_gaps_of, vector_verdict, verdict
from golden_runner.corpus import load_not_yet, load_suites, load_vectors
from golden_runner.driver import KINDS
from golden_runner.requests import REAL
from golden_runner.session import Session, cases_for, on_stores
from stores.four import Stores

# Whoever is the first to ask for an outcome runs the suite, or all of them, with every driver.
pytestmark = pytest.mark.timeout(900)

SUITES = load_suites()
VECTORS = load_vectors()
DRIVERS = tuple(KINDS)
ON_STORES = [
    (driver, suite.name, case.name)
    for suite in SUITES
    if suite.backend in REAL
    for driver in matrix.ON_STORES
    for case in suite.cases
]
CASES = [(driver, suite.name, case.name) for suite in SUITES for driver in DRIVERS for case in cases_for(driver, suite)]


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session(SUITES) as running:
        yield running


@pytest.fixture(scope="module")
def stored(four_stores: Stores) -> Iterator[Session]:
    with on_stores(four_stores, SUITES) as running:
        yield running


@pytest.mark.parametrize(("driver", "suite", "case"), CASES, ids=["/".join(found) for found in CASES])
def test_case(session: Session, driver: str, suite: str, case: str) -> None:
    assert verdict(session, session.outcome(driver, suite, case)) == []


@pytest.mark.parametrize(("driver", "suite", "case"), ON_STORES, ids=["/".join(found) for found in ON_STORES])
def test_case_on_the_real_stores(stored: Session, driver: str, suite: str, case: str) -> None:
    """With the same transcript as embedded."""
    assert verdict(stored, stored.outcome(driver, suite, case)) == []


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("vectors", VECTORS, ids=[vectors.name for vectors in VECTORS])
def test_vectors(session: Session, driver: str, vectors: object) -> None:
    chosen = next(found for found in VECTORS if found is vectors)
    found = {vector.name: vector_verdict(session, chosen, vector, driver) for vector in chosen.vectors}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_known_gaps_name_cases_of_the_corpus(session: Session) -> None:
    known = {(driver, f"{suite}/{case}") for driver, suite, case in CASES}
    known |= {
        (driver, f"{found.name}/{vector.name}") for driver in DRIVERS for found in VECTORS for vector in found.vectors
    }
    assert [gap for gap in session.gaps if gap not in known] == []


def test_every_method_is_called() -> None:
    assert completeness.missing_methods(SUITES) == []


def test_every_oneof_arm_occurs_or_is_listed() -> None:
    assert completeness.misjudged_arms(SUITES, load_not_yet()) == []


def test_every_form_of_a_request_occurs_or_is_listed() -> None:
    assert filter_forms.misjudged_forms(SUITES, load_not_yet()) == []


def test_every_field_of_every_response_is_played_back() -> None:
    assert completeness.missing_response_fields(SUITES) == []


def test_every_reason_occurs_or_is_listed(session: Session) -> None:
    assert completeness.misjudged_reasons(session.all_outcomes(), load_not_yet()) == []


def test_methods_not_built_are_listed(session: Session) -> None:
    assert completeness.misjudged_methods(session.all_outcomes(), load_not_yet()) == []


def _written(*, on_stores: bool) -> list[list[str]]:
    """That part of docs/parity-matrix.md."""
    return matrix.cells(matrix.PATH.read_text(encoding="utf-8"), on_stores=on_stores)


def _holes(rows: list[list[str]]) -> list[list[str]]:
    return [row for row in rows if "half" in row or "-" in row]


def test_the_parity_matrix_is_current_and_without_holes(session: Session) -> None:
    counts = {
        driver: sum(len(vectors.vectors) - known_gaps_of(session, vectors, driver) for vectors in VECTORS)
        for driver in DRIVERS
    }
    text = matrix.render(matrix.tally(session.all_outcomes()), counts)
    found, written = matrix.cells(text, on_stores=False), _written(on_stores=False)
    assert found == written, "docs/parity-matrix.md is not current: run make golden"
    assert _holes(found) == []
    about = [line for line in text.splitlines() if not line.startswith("|")]
    assert [line for line in matrix.PATH.read_text(encoding="utf-8").splitlines() if line[:1] != "|"] == about


def test_the_parity_matrix_is_current_of_the_real_stores(stored: Session) -> None:
    found = matrix.cells(matrix.render(matrix.tally(stored.all_outcomes()), {}), on_stores=True)
    assert found == _written(on_stores=True), "docs/parity-matrix.md is not current: run make golden"
    assert _holes(found) == []
