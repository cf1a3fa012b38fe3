"""What the ledger keeps of its file in memory: versions that searches show, and the speakers of scopes.

The file itself says what a transaction changes. Triggers of the writing connection fire for each row that is updated or
deleted, whichever statement does it (a commit, an expiry, a reset, an import, an erasure), and touch what memory holds
of it, inside the transaction and so before its commit: `CoherentCache` says why no reader then sees less than the file.
An erased row is deleted, so nothing of it stays here either.

What triggers do not fire for is new versions: nothing is held of what is not there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import apsw

from memoir_server.adapters.coherent import CoherentCache
from memoir_server.domain.memory import Memory

DEFAULT_CAPACITY_BYTES: Final = 64 * 1024 * 1024
_SPEAKER_PART: Final = 16
"""Share of the capacity that speakers take, as a divisor: names of tens of thousands of users."""

HeldVersion: TypeAlias = tuple[Memory, int, int]
"""A version with the columns that decide who sees it: (memory, retired, gone)."""

SpeakersAsked: TypeAlias = tuple[str | None, str | None, int]
"""What speakers are asked for within an owner: (agent_id, session_id, limit)."""
HeldSpeakers: TypeAlias = Mapping[SpeakersAsked, tuple[str, ...]]

_TRIGGERS: Final = """
CREATE TEMP TRIGGER version_updated AFTER UPDATE ON main.versions BEGIN SELECT touch_version(old.key); END;
CREATE TEMP TRIGGER version_deleted AFTER DELETE ON main.versions BEGIN SELECT touch_version(old.key); END;
CREATE TEMP TRIGGER speaker_inserted AFTER INSERT ON main.speakers
    BEGIN SELECT touch_speakers(new.ns, new.user_id); END;
CREATE TEMP TRIGGER speaker_updated AFTER UPDATE ON main.speakers
    BEGIN SELECT touch_speakers(new.ns, new.user_id); END;
CREATE TEMP TRIGGER speaker_deleted AFTER DELETE ON main.speakers
    BEGIN SELECT touch_speakers(old.ns, old.user_id); END;
"""


class LedgerCaches:
    """The caches of one ledger.

    Attributes:
        versions: By the version's key.
        speakers: By (ns, user_id): answers about scopes of that user, or of no user in particular.
    """

    def __init__(self, capacity_bytes: int = DEFAULT_CAPACITY_BYTES) -> None:
        self.versions: CoherentCache[int, HeldVersion] = CoherentCache(capacity_bytes)
        self.speakers: CoherentCache[tuple[int, str | None], HeldSpeakers] = CoherentCache(
            capacity_bytes // _SPEAKER_PART
        )

    def attach(self, writer: apsw.Connection) -> None:
        """From here on, what this connection changes is touched. Called once, before it changes anything."""

        def touch_version(*row: Any) -> None:
            self.versions.touch(row[0])

        def touch_speakers(*row: Any) -> None:
            ns, user_id = row
            self.speakers.touch((ns, user_id))
            if user_id is not None:
                # Scopes without a user cover everybody's memories.
                self.speakers.touch((ns, None))

        writer.create_scalar_function("touch_version", touch_version, 1)
        writer.create_scalar_function("touch_speakers", touch_speakers, 2)
        writer.execute(_TRIGGERS)

    def settle(self) -> None:
        """The writer's transaction is over. Called in its thread."""
        self.versions.settle()
        self.speakers.settle()

    def clear(self) -> None:
        """Lets go of everything."""
        self.versions.clear()
        self.speakers.clear()


def reads_newest(connection: apsw.Connection) -> bool:
    """Whether the next statement sees the newest commit: a statement somewhere that is not finished, or a transaction
    that has read already, would hold it to an older state of the file, which must not be kept."""
    return connection.txn_state() == apsw.SQLITE_TXN_NONE


def version_charge(text: str, body: bytes) -> int:
    """About the bytes that a decoded version takes; rather too many than too few (CPython 3.11, 64 bit)."""
    return 300 + sys.getsizeof(text) + 8 * len(body)


def speakers_charge(answers: HeldSpeakers) -> int:
    """About the bytes that answers take."""
    return 100 + sum(250 + sum(map(sys.getsizeof, names)) for names in answers.values())
