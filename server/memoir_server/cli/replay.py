"""Adds the messages of a transcript, in the calls that examples/TRANSCRIPT.md describes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from json import dumps as json_text

from memoir import AddResult, Memoir
from memoir_server.cli.transcript import Transcript, TranscriptMessage


def replay(
    memoir: Memoir, transcript: Transcript, user: str, agent: str | None, *, mode: str | None = None
) -> Iterator[tuple[list[TranscriptMessage], AddResult]]:
    """Yields the messages of each call, in order, and its result. `mode` is that of AddMemories; None: the server's.

    Raises:
        MemoirError: Of the first call that fails. What was added stays; see `_same_for_same`.
    """
    for session_id, turns in transcript.batches():
        result = memoir.add(
            [turn.as_dict() for turn in turns],
            user_id=user,
            agent_id=agent,
            session_id=session_id,
            mode=mode,
            request_id=_same_for_same(user, session_id, turns, mode),
        )
        yield turns, result


def _same_for_same(owner: str, session_id: str, turns: Sequence[TranscriptMessage], mode: str | None) -> str:
    """A request id made from what is sent: a transcript that was interrupted can be added again within a day, and what
    arrived the first time is not stored twice."""
    content = json_text([owner, session_id, [turn.as_dict() for turn in turns], *([mode] if mode else [])])
    return f"transcript-{hashlib.sha256(content.encode()).hexdigest()}"
