"""Rows of the log and of the versions as domain objects."""

from __future__ import annotations

from typing import Final

MEMORY_COLUMNS: Final = "v.key, v.text, v.body"
"""What `read_memory` takes, in order."""

_EVENT_COLUMNS: Final = (
    "e.key, e.commit_time, e.type, e.memory_id, e.detail, v.text, v.body, v.retired, v.gone, b.key, b.text, b.body"
)
_VERSION: Final = "SELECT x.key, x.text, x.body, x.retired, x.gone, x.user_id, x.agent_id, x.session_id FROM versions x"
EVENTS: Final = (
    # OFFSET 0: each version is looked up. Joined as a whole, the planner likes to merge two walks along the keys, of
    # which one begins with the first version there is.
    f"SELECT {_EVENT_COLUMNS} FROM events e LEFT JOIN LATERAL ({_VERSION} WHERE x.key = e.key OFFSET 0) v ON TRUE "
    f"LEFT JOIN LATERAL ({_VERSION} WHERE x.key = e.before OFFSET 0) b ON TRUE"
)
"""Events with the versions they made (v) and replaced (b), for `read_changes` and `read_work`."""
