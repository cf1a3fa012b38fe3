"""Loads the corpus: suites, vectors, the list of known gaps and the list of what cannot occur yet."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.json_format import ParseDict, ParseError

from memoir_golden_pb.golden_pb2 import Suite, VectorSet

GOLDEN: Final = Path(__file__).resolve().parent.parent
SUITES: Final = GOLDEN / "suites"
VECTORS: Final = GOLDEN / "vectors"
TRANSCRIPTS: Final = GOLDEN / "transcripts"
KNOWN_GAPS: Final = GOLDEN / "known-gaps.json"
NOT_YET: Final = GOLDEN / "not-yet.json"


class CorpusInvalid(Exception):
    """A file of the corpus breaks a rule; the message names file and rule."""


@dataclass(frozen=True, slots=True)
class KnownGap:
    """A case that is known to fail with one driver. It is executed all the same; the run fails when it passes."""

    driver: str
    case: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """What cannot be shown yet, with its reason: error reasons, methods that answer FEATURE_DISABLED, oneof arms, and
    forms of requests (see `filter_forms`)."""

    reasons: dict[str, str]
    methods: dict[str, str]
    arms: dict[str, str]
    forms: dict[str, str]


def load_suites(directory: Path = SUITES) -> list[Suite]:
    """Load every suite, by name. Raises `CorpusInvalid` for a file that does not parse or breaks a rule."""
    suites = []
    for path in sorted(directory.glob("*.json")):
        try:
            suite = ParseDict(json.loads(path.read_text(encoding="utf-8")), Suite())
        except (ParseError, json.JSONDecodeError) as error:
            raise CorpusInvalid(f"{path.name}: {error}") from error
        names = [case.name for case in suite.cases]
        if suite.name != path.stem:
            raise CorpusInvalid(f"{path.name}: the suite is called {suite.name!r}; name and file name must be equal")
        if len(set(names)) != len(names):
            raise CorpusInvalid(f"{path.name}: two cases have the same name")
        if suite.backend in (Suite.BACKEND_UNSPECIFIED, Suite.BACKEND_NONE):
            raise CorpusInvalid(f"{path.name}: a suite needs a server as its backend; cases without one are vectors")
        suites.append(suite)
    return suites


def load_vectors(directory: Path = VECTORS) -> list[VectorSet]:
    """Load every vector set, by name. Raises `CorpusInvalid` for a file that does not parse or is misnamed."""
    sets = []
    for path in sorted(directory.glob("*.json")):
        try:
            vectors = ParseDict(json.loads(path.read_text(encoding="utf-8")), VectorSet())
        except (ParseError, json.JSONDecodeError) as error:
            raise CorpusInvalid(f"{path.name}: {error}") from error
        if vectors.name != path.stem:
            raise CorpusInvalid(f"{path.name}: the set is called {vectors.name!r}; name and file name must be equal")
        sets.append(vectors)
    return sets


def load_known_gaps(path: Path = KNOWN_GAPS) -> list[KnownGap]:
    """Load the list of known gaps. Raises `CorpusInvalid` when an entry lacks its driver, case or reason."""
    gaps = [KnownGap(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    if not all(gap.driver and gap.case and gap.reason for gap in gaps):
        raise CorpusInvalid(f"{path.name}: every entry needs driver, case and reason")
    return gaps


def load_not_yet(path: Path = NOT_YET) -> NotYet:
    """Load the list of what cannot occur yet."""
    return NotYet(**json.loads(path.read_text(encoding="utf-8")))
