"""Export and import. Generated from `memoir/aio/transfer.py`; do not edit."""

from collections.abc import AsyncIterable, Iterable

from memoir.aio.history import RECONNECT_TIMEOUT
from memoir.enums import OnConflict
from memoir.filters import FilterInput
from memoir.memory import Memory
from memoir.sync.base import Stream, SyncService
from memoir.transfer import ExportRecord, ImportResult
from memoir.values import Moment


class Transfer(SyncService):
    """Moving memories in and out. Needs the feature "transfer"."""

    def export(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        filter: FilterInput | None = None,
        as_of: Moment | None = None,
        include_history: bool = False,
        include_embeddings: bool = False,
        resume_token: str = "",
        reconnect_timeout: float | None = RECONNECT_TIMEOUT,
        timeout: float | None = None,
    ) -> Stream[ExportRecord]:
        """Send memories as of one revision: an `ExportHeader`, memories, events if asked for, an `ExportSummary`.

        Args:
            user_id, agent_id, session_id: whose memories; without any, the whole namespace.
            filter: data such as {"topic": "travel"}.
            as_of: moment to export; None means now, fixed at the start.
            include_history: also the history of these memories, after them.
            include_embeddings: also vectors, so that an import need not embed again.
            resume_token: after the record that carried it. A broken connection is resumed by itself.
            reconnect_timeout: seconds without any record after which the last error is raised; None means never.
            timeout: seconds for the whole; None means one hour.
        """
        return self._stream(
            self._core.export(
                user_id=user_id,
                agent_id=agent_id,
                session_id=session_id,
                filter=filter,
                as_of=as_of,
                include_history=include_history,
                include_embeddings=include_embeddings,
                resume_token=resume_token,
                reconnect_timeout=reconnect_timeout,
                timeout=timeout,
            )
        )

    def import_(
        self,
        memories: Iterable[Memory | ExportRecord] | AsyncIterable[Memory | ExportRecord],
        *,
        on_conflict: OnConflict | str | None = None,
        timeout: float | None = None,
    ) -> Stream[ImportResult]:
        """Take memories in, such as the records of `export`; yields one result per memory once it is durable.

        Args:
            memories: memories or export records; records that are not memories are passed over. Ids are kept.
            on_conflict: for an id that exists with other content: "SKIP" (default), "REPLACE" or "FAIL".
            timeout: seconds for the whole; None means one hour.
        """
        return self._stream(self._core.import_(memories, on_conflict=on_conflict, timeout=timeout))
