"""What a run takes in."""

from __future__ import annotations

import os

# Starting the real stores takes a while: only on request.
collect_ignore = [] if os.environ.get("MEMOIR_STORES") == "1" else ["stores"]
collect_ignore_glob = (
    []
    if os.environ.get("MEMOIR_STORES") == "1"
    else [f"conformance/test_{store}_*.py" for store in ("neo4j", "postgres", "redis", "weaviate")]
)
