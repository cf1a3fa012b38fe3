"""Which calls are traces of an agent at work, and are asked for procedures."""

from __future__ import annotations

from collections.abc import Sequence

from memoir_server.domain.inference.turns import Turn
from memoir_server.domain.memory import Role, Scope


def is_trace(scope: Scope, turns: Sequence[Turn]) -> bool:
    """Whether the messages are an agent's trace: they belong to an agent and to no user, and tools speak in them. With
    a user in the scope it is a conversation, in which the agent may have used tools."""
    return scope.agent_id is not None and scope.user_id is None and any(turn.role is Role.TOOL for turn in turns)
