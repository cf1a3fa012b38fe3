"""Command line of the golden corpus.

python -m golden_runner                        run everything with every driver, write the parity matrix
python -m golden_runner --suite filters        one suite; --driver python: one driver
python -m golden_runner --profile distributed  the same on real stores
python -m golden_runner --record               rewrite the transcripts from the first driver; review the diff
python -m golden_runner --write-vectors        rewrite the wire vectors from the contract
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from google.protobuf.json_format import MessageToDict

from golden_runner import matrix, transcript
from golden_runner.corpus import VECTORS, KnownGap, load_suites, load_vectors
from golden_runner.driver import KINDS, ROOT
from golden_runner.edges import edge_vectors
from golden_runner.execute import CaseOutcome
from golden_runner.samples import contract_vectors
from golden_runner.scrub import canonical_json
from golden_runner.session import Session, on_stores
from golden_runner.vectors import run_vector
from memoir_golden_pb.golden_pb2 import Vector, VectorSet
from stores.four import bounded_stores

LINE = 400


def main() -> int:
    """Parse arguments and run. Returns the exit status: 0 when everything is as the corpus wants it."""
    parser = argparse.ArgumentParser(
        prog="golden_runner", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", action="append", help="only this suite (may be given again)")
    parser.add_argument(
        "--driver", action="append", choices=sorted(KINDS), help="only this driver (may be given again)"
    )
    parser.add_argument("--record", action="store_true", help="rewrite the transcripts of the suites that are run")
    parser.add_argument(
        "--write-vectors", action="store_true", help="rewrite golden-tests/vectors from the contract, and stop"
    )
    parser.add_argument(
        "--profile",
        choices=("embedded", "distributed"),
        help="only servers that keep their data like this; distributed starts the real stores",
    )
    arguments = parser.parse_args()
    if arguments.write_vectors:
        return _write_vectors()
    suites = load_suites()
    unknown = set(arguments.suite or ()) - {suite.name for suite in suites}
    if unknown:
        parser.error(
            f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(suite.name for suite in suites)}"
        )
    chosen = [suite for suite in suites if not arguments.suite or suite.name in arguments.suite]
    drivers = arguments.driver or list(KINDS)
    profiles = [arguments.profile] if arguments.profile else ["embedded", "distributed"]
    failed, outcomes, vector_counts = 0, list[CaseOutcome](), dict.fromkeys(drivers, 0)
    with ExitStack() as life:
        if "embedded" in profiles:
            session = life.enter_context(Session(chosen, drivers))
            failed += _run_suites(session, record=arguments.record)
            if not arguments.suite:
                failed += _run_vectors(session, drivers, vector_counts)
            outcomes += session.all_outcomes()
        if "distributed" in profiles:
            session = life.enter_context(on_stores(life.enter_context(bounded_stores()), chosen, drivers))
            failed += _run_suites(session, record=False)
            outcomes += session.all_outcomes()
    if not (arguments.suite or arguments.driver or arguments.profile or failed):
        matrix.write(matrix.tally(outcomes), vector_counts)
        print(f"parity matrix: {matrix.PATH.relative_to(ROOT)}")
    print(f"golden: {failed} failed" if failed else "golden: all passed")
    return 1 if failed else 0


def _run_suites(session: Session, *, record: bool) -> int:
    failed = 0
    for suite in session.suites.values():
        for number, driver in enumerate(session.drivers):
            outcomes = session.outcomes(driver, suite.name)
            failing = [
                found
                for found in outcomes
                if (found.differences or found.unsupported) and gap_of(session, found) is None
            ]
            if not outcomes:
                continue
            if record and number == 0 and not failing:
                transcript.write(suite, [found for found in outcomes if gap_of(session, found) is None])
            problems = {outcome.case: found for outcome in outcomes if (found := verdict(session, outcome))}
            failed += len(problems)
            print(
                f"{session.profile:12} {suite.name:18} {driver:12} {len(outcomes) - len(problems):3} of"
                f" {len(outcomes):3} passed",
                flush=True,
            )
            for case, lines in problems.items():
                print("\n".join(f"    {case}: {line[:LINE]}" for line in lines[:12]))
    return failed


def verdict(session: Session, outcome: CaseOutcome) -> list[str]:
    """What is wrong with one outcome, known gaps taken into account; empty when it is as it should be."""
    lines = outcome.differences or (
        [f"unsupported: {outcome.unsupported}"] if outcome.unsupported else transcript.differences(outcome)
    )
    gap = gap_of(session, outcome)
    if gap is None:
        return lines
    return [] if lines else [f"passes, but known-gaps.json lists it ({gap.reason}); remove the entry"]


def vector_verdict(session: Session, vectors: VectorSet, vector: Vector, driver: str) -> list[str]:
    """What is wrong with one vector, known gaps taken into account; empty when it is as it should be."""
    lines = run_vector(vectors, vector, session.driver(driver))
    gap = session.gaps.get((driver, f"{vectors.name}/{vector.name}"))
    if gap is None:
        return lines
    return [] if lines else [f"passes, but known-gaps.json lists it ({gap.reason}); remove the entry"]


def known_gaps_of(session: Session, vectors: VectorSet, driver: str) -> int:
    """How many vectors of a set are known to fail with a driver."""
    return sum((driver, f"{vectors.name}/{vector.name}") in session.gaps for vector in vectors.vectors)


def gap_of(session: Session, outcome: CaseOutcome) -> KnownGap | None:
    """The entry of known-gaps.json for one outcome."""
    return session.gaps.get((outcome.driver, f"{outcome.suite}/{outcome.case}"))


def _run_vectors(session: Session, drivers: Sequence[str], counts: dict[str, int]) -> int:
    failed = 0
    for vectors in load_vectors():
        for name in drivers:
            problems = {
                vector.name: found
                for vector in vectors.vectors
                if (found := vector_verdict(session, vectors, vector, name))
            }
            total = len(vectors.vectors)
            counts[name] += total - len(problems) - known_gaps_of(session, vectors, name)
            failed += len(problems)
            print(
                f"vectors/{vectors.name:16} {name:8} {total - len(problems):3} of {total:3} passed",
                flush=True,
            )
            for case, lines in problems.items():
                print("\n".join(f"    {case}: {line[:LINE]}" for line in lines[:4]))
    return failed


def _write_vectors() -> int:
    VECTORS.mkdir(exist_ok=True)
    for vectors in (contract_vectors(), edge_vectors()):
        (VECTORS / f"{vectors.name}.json").write_text(_compact(vectors), encoding="utf-8")
        print(f"vectors/{vectors.name}.json: {len(vectors.vectors)} vectors")
    return 0


def _compact(vectors: VectorSet) -> str:
    """One vector per line: a changed vector is one changed line of the diff."""
    value = MessageToDict(vectors)
    lines = [
        canonical_json(vector).replace("\n ", " ").replace("\n", "").replace("{ ", "{")
        for vector in value.pop("vectors")
    ]
    head = f'{{"name": "{value["name"]}", "description": "{value["description"]}", "vectors": [\n'
    return head + ",\n".join(lines) + "\n]}\n"


if __name__ == "__main__":
    sys.exit(main())
