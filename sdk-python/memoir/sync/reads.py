"""Reading memories, scopes and accepted inference work. Generated from `memoir/aio/reads.py`; do not edit."""

from collections.abc import Iterable

from memoir.enums import IngestionState, MemoryView, ScopeDimension
from memoir.filters import FilterInput
from memoir.memory import Memory
from memoir.results import Ingestion, ScopeSummary
from memoir.sync.base import Pages, SyncService
from memoir.values import Instant, Moment


class Reads(SyncService):
    """Point reads and listings."""

    def get(
        self,
        memory_id: str,
        *,
        view: MemoryView | str | None = None,
        as_of: Moment | None = None,
        min_revision: int = 0,
        include_access: bool = False,
        timeout: float | None = None,
    ) -> Memory:
        """Read one memory.

        Args:
            memory_id: the memory.
            view: "FULL" when None; "BASIC" leaves out entities and relations.
            as_of: a past moment: an aware datetime, RFC 3339 text, or a revision (int).
            min_revision: wait, within the timeout, until this revision is visible.
            include_access: also how often the memory was returned before, and when last.
            timeout: seconds, retries included.

        Raises:
            MemoryNotFound, FreshnessTimeout.
        """
        return self._run(
            self._core.get(
                memory_id,
                view=view,
                as_of=as_of,
                min_revision=min_revision,
                include_access=include_access,
                timeout=timeout,
            )
        )

    def list(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        filter: FilterInput | None = None,
        created_after: Instant | None = None,
        created_before: Instant | None = None,
        include_superseded: bool = False,
        as_of: Moment | None = None,
        valid_at: Instant | None = None,
        view: MemoryView | str | None = None,
        min_revision: int = 0,
        include_access: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pages[Memory]:
        """List memories, newest create_time first; iterate over the result, or over its `pages()`.

        Args:
            user_id, agent_id, session_id: whose memories; without any, the whole namespace.
            filter: data such as {"topic": "travel"} (see `memoir.filters`).
            created_after, created_before: created_after <= create_time < created_before.
            include_superseded: also memories whose valid_until has passed.
            as_of: what was known at a past moment. valid_at: what was true in the world at a moment.
            view: "BASIC" when None; "FULL" adds entities and relations.
            include_access: also how often each memory was returned, and when last.
            page_size: 50 when 0, at most 1000. page_token: where to go on.
            timeout: seconds per page, retries included.

        Raises:
            InvalidArgument, TokenInvalid, FreshnessTimeout.
        """
        return self._pages(
            self._core.list(
                user_id=user_id,
                agent_id=agent_id,
                session_id=session_id,
                filter=filter,
                created_after=created_after,
                created_before=created_before,
                include_superseded=include_superseded,
                as_of=as_of,
                valid_at=valid_at,
                view=view,
                min_revision=min_revision,
                include_access=include_access,
                page_size=page_size,
                page_token=page_token,
                timeout=timeout,
            )
        )

    def scopes(
        self,
        dimension: ScopeDimension | str = ScopeDimension.USER,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pages[ScopeSummary]:
        """List the users, agents or sessions ("USER", "AGENT", "SESSION") that have memories, with counts.

        The ids narrow the listing: `scopes("SESSION", user_id="ana")` lists her sessions.
        """
        return self._pages(
            self._core.scopes(
                dimension,
                user_id=user_id,
                agent_id=agent_id,
                session_id=session_id,
                page_size=page_size,
                page_token=page_token,
                timeout=timeout,
            )
        )

    def get_ingestion(self, ingestion_id: str, *, timeout: float | None = None) -> Ingestion:
        """Read the state of accepted inference work.

        Raises:
            IngestionNotFound.
        """
        return self._run(self._core.get_ingestion(ingestion_id, timeout=timeout))

    def ingestions(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        states: Iterable[IngestionState | str] = (),
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pages[Ingestion]:
        """List accepted inference work, newest first; `states` narrows it, such as ("PENDING", "RUNNING")."""
        return self._pages(
            self._core.ingestions(
                user_id=user_id,
                agent_id=agent_id,
                session_id=session_id,
                states=states,
                page_size=page_size,
                page_token=page_token,
                timeout=timeout,
            )
        )
