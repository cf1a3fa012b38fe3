"""Made-up candidates for the ranking tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from memoir_server.domain.entry import CandidateColumns, DenseCandidates, KeywordCandidates
from memoir_server.domain.memory import MemoryKind
from memoir_server.domain.ranking.evidence import Evidence

DAY = 86_400_000_000
START = 1_700_000_000_000_000
SPEAKERS = ("Anna Lee", "Bo", "Chidi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One candidate. `frequency` has one number per query term; `cosine` None is unknown."""

    revision: int
    memory_id: str = ""
    cosine: float | None = None
    frequency: tuple[int, ...] = (0, 0)
    create_time: int = START
    session: int = -1
    turn: int = 0
    speaker: str = ""
    length: int = 8
    asks: bool = False
    importance: float = 0.5
    kind: MemoryKind = MemoryKind.FACT


def columns(rows: Sequence[Row]) -> CandidateColumns:
    names = tuple(dict.fromkeys(row.speaker for row in rows if row.speaker))
    return CandidateColumns(
        memory_id=[row.memory_id or f"m-{row.revision}" for row in rows],
        revision=np.array([row.revision for row in rows], dtype=np.int64),
        create_time=np.array([row.create_time for row in rows], dtype=np.int64),
        session=np.array([row.session for row in rows], dtype=np.int64),
        turn=np.array([row.turn for row in rows], dtype=np.int64),
        speaker=np.array([names.index(row.speaker) if row.speaker else -1 for row in rows], dtype=np.int64),
        speaker_names=names,
        length=np.array([row.length for row in rows], dtype=np.int64),
        asks=np.array([row.asks for row in rows], dtype=np.bool_),
        importance=np.array([row.importance for row in rows], dtype=np.float64),
        kind=np.array([row.kind for row in rows], dtype=np.int64),
    )


def keyword(rows: Sequence[Row], *, document_frequency: Sequence[int] = (5, 20)) -> KeywordCandidates:
    """The rows that hold a term, of an owner with 100 entries of 8 terms on average."""
    held = [row for row in rows if any(row.frequency)]
    return KeywordCandidates(
        table=columns(held),
        rows=ascending(held),
        frequency=np.array(
            [row.frequency for row in sorted(held, key=lambda row: row.revision)], dtype=np.int64
        ).reshape(len(held), len(document_frequency)),
        document_count=100,
        mean_length=8.0,
        document_frequency=np.array(document_frequency, dtype=np.int64),
    )


def dense(rows: Sequence[Row]) -> DenseCandidates:
    """All rows; an unknown cosine is NaN."""
    cosine = np.array([np.nan if row.cosine is None else row.cosine for row in rows], dtype=np.float64)
    order = ascending(rows)
    return DenseCandidates(table=columns(rows), rows=order, cosine=cosine[order], nearest=len(rows))


def ascending(rows: Sequence[Row]) -> NDArray[np.int64]:
    """Places of the rows in the order of their revisions."""
    return np.argsort([row.revision for row in rows]).astype(np.int64)


def evidence(rows: Sequence[Row]) -> Evidence:
    return Evidence.empty().with_keyword(keyword(rows)).with_dense(dense(rows))


cosines = st.integers(-200_000, 1_000_000).map(lambda millionths: millionths / 1_000_000)
# Few values, so that equal scores are common.
coarse_cosines = st.sampled_from((-0.1, 0.0, 0.2, 0.2, 0.5, 0.9))


@st.composite
def rows(draw: st.DrawFn, *, min_size: int = 0, max_size: int = 25) -> list[Row]:
    """Candidates of one query: episodes of a few sessions and other memories, each revision, id and turn once."""
    count = draw(st.integers(min_size, max_size))
    revisions = draw(st.permutations(range(1, count + 1)))
    made = []
    turns = dict.fromkeys(range(3), 0)
    for revision in revisions:
        session = draw(st.integers(-1, 2))
        turn = 0
        if session >= 0:
            turns[session] += draw(st.integers(1, 2))
            turn = turns[session]
        made.append(
            Row(
                revision=revision,
                memory_id=f"{draw(st.sampled_from('abc'))}-{revision}",
                cosine=draw(st.none() | cosines | coarse_cosines),
                frequency=draw(st.tuples(st.integers(0, 3), st.integers(0, 1))),
                create_time=START + draw(st.integers(-400, 400)) * DAY,
                session=session,
                turn=turn,
                speaker=draw(st.sampled_from(("", *SPEAKERS))),
                length=draw(st.integers(0, 40)),
                asks=draw(st.booleans()),
                importance=draw(st.sampled_from((0.0, 0.5, 1.0))),
                kind=MemoryKind.EPISODE if session >= 0 else draw(st.sampled_from(MemoryKind)),
            )
        )
    return made
