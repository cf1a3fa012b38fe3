"""The bytes of a unary search are those of its message."""

from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st

from memoir.v1 import search_pb2
from memoir_server.domain.graph import EntityRef, Relation
from memoir_server.domain.memory import EntityMention, Memory, Scope
from memoir_server.domain.search import Hit, Outcome, Phase, PhaseReport, SearchResult
from memoir_server.rpc.convert.encoded import EncodedMemories
from memoir_server.rpc.convert.memory import write_memory
from memoir_server.rpc.convert.search import encode_result, write_relation

RELATION = Relation(
    relation_id="r",
    subject=EntityRef(entity_id="a", name="Ana", type="person"),
    predicate="knows",
    object=EntityRef(entity_id="b", name="Bo", type="person"),
    confidence=0.5,
    memory_ids=("m",),
)
memories = st.builds(
    Memory,
    namespace=st.just("ns"),
    memory_id=st.text(min_size=1, max_size=5),
    # Sizes that take one, two and three bytes to say.
    text=st.text(max_size=30) | st.sampled_from(("x" * 100, "x" * 5_000, "x" * 17_000)),
    scope=st.builds(Scope, user_id=st.none() | st.just("ana")),
    revision=st.integers(1, 2**40),
    create_time=st.integers(-(10**15), 10**15),
    entities=st.just((EntityMention(name="Ana"),)),
)
hits = st.builds(
    Hit,
    memory=memories,
    score=st.sampled_from((0.0, 0.5, 1.0)) | st.floats(0, 1),
    rank_score=st.sampled_from((0.0, -0.25, 1.5)),
    parts=st.sampled_from(({}, {"dense": 0.5, "cosine": -1.0})),
    relations=st.sampled_from(((), (RELATION,))),
)
reports = st.builds(
    PhaseReport,
    phase=st.sampled_from(Phase),
    outcome=st.sampled_from((Outcome.DONE, Outcome.SKIPPED)),
    elapsed_us=st.integers(0, 10**7),
    candidates=st.integers(0, 400),
)
results = st.builds(
    SearchResult,
    hits=st.lists(hits, max_size=4).map(tuple),
    phases=st.lists(reports, max_size=3).map(tuple),
    revision=st.integers(0, 2**50),
    search_id=st.text(max_size=3),
)


def message(result: SearchResult, *, full: bool) -> search_pb2.SearchMemoriesResponse:
    """What the contract says of the result, field by field."""
    response = search_pb2.SearchMemoriesResponse(revision=result.revision, search_id=result.search_id)
    for hit in result.hits:
        row = response.hits.add(score=hit.score, rank_score=hit.rank_score, parts=hit.parts)
        write_memory(row.memory, hit.memory, full=full)
        for relation in hit.relations:
            write_relation(row.relations.add(), relation)
    for report in result.phases:
        part = response.phases.add(candidates=report.candidates)
        part.phase = report.phase  # type: ignore[assignment]  # the numbers are the contract's
        part.outcome = report.outcome  # type: ignore[assignment]
        part.elapsed.FromMicroseconds(report.elapsed_us)
    return response


@given(results)
def test_encoded_hits_say_what_the_message_says(result: SearchResult) -> None:
    kept = EncodedMemories()
    for encoded, full in ((kept, False), (kept, False), (None, True)):
        data = encode_result(result, encoded).SerializeToString()
        assert search_pb2.SearchMemoriesResponse.FromString(data) == message(result, full=full)
        assert len(data) == message(result, full=full).ByteSize()


def test_what_is_kept_goes_with_its_memory() -> None:
    kept = EncodedMemories()
    for text in ("one", "two", "three"):
        # Most likely at the address of the one before.
        memory = Memory(namespace="ns", memory_id="m", text=text)
        assert search_pb2.SearchHit.FromString(kept.hit(memory)).memory.text == text
        assert kept.hit(memory) is kept.hit(memory)
        del memory
        gc.collect()
    assert not kept._kept
