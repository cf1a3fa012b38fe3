"""Requests that are seen at a glance to keep the contract's rules.

The validator takes 15 to 30 us for a search, most of it for what the request does not use. A plain search, which is
what nearly all of them are, has a query, ids and numbers, and nothing that has rules of its own: for that, a few
comparisons say the same. They only ever let pass what the validator lets pass (a property test compares them); whatever
else a request has, the validator judges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Glance: TypeAlias = Callable[[Any], bool]
"""True only for a request that breaks no rule."""

_NAMESPACE: Final = re.compile(r"[a-z][a-z0-9-]{0,62}").fullmatch
_ID: Final = re.compile(r"[^\x00-\x1f\x7f]{1,256}").fullmatch
_LONGEST_QUERY: Final = 8_192
_LAST_RECIPE: Final = 5
_LAST_FUSION: Final = 4
_LAST_VIEW: Final = 2
"""The enumerations have no gaps below these; a number added above them is left to the validator."""


def never(_: object) -> bool:
    """For requests that are not looked at."""
    return False


def plain_search(request: Any) -> bool:
    """A search for a query in a scope."""
    namespace, spec = request.namespace, request.spec
    has, scope = spec.HasField, spec.scope
    return (
        0 < len(spec.query) <= _LONGEST_QUERY
        and spec.limit >= 0
        and spec.min_revision >= 0
        and 0 <= spec.recipe <= _LAST_RECIPE
        and 0 <= spec.fusion <= _LAST_FUSION
        and 0 <= spec.view <= _LAST_VIEW
        and not (has("filter") or has("create_time_range") or has("min_score"))
        and not (has("graph_depth") or has("as_of") or has("valid_at"))
        and (not namespace or _NAMESPACE(namespace) is not None)
        and (not scope.HasField("user_id") or _ID(scope.user_id) is not None)
        and (not scope.HasField("agent_id") or _ID(scope.agent_id) is not None)
        and (not scope.HasField("session_id") or _ID(scope.session_id) is not None)
    )


GLANCES: Final[Mapping[str, Glance]] = {
    "memoir.v1.SearchMemoriesRequest": plain_search,
    "memoir.v1.StreamSearchMemoriesRequest": plain_search,
}
"""By full name of the message."""
