"""What differs between any two runs, by type and field, and how transcripts write it.

A scrubbed field is replaced by a mark, not removed: that it is set stays part of the transcript.
"""

import json
import re
from typing import Any, Final

from golden_runner.contract import AnyDescriptor, AnyField, new_message
from golden_runner.paths import is_map, map_value

# Opaque tokens and random ids, measured times, and moments of the server's own clock; not the times a caller sends.
SCRUBBED: Final = frozenset(
    {
        "google.rpc.RetryInfo.retry_delay",
        "memoir.v1.GetServerInfoResponse.contract_digest",
        "memoir.v1.GetServerInfoResponse.server_version",
        "memoir.v1.HistoryEvent.commit_time",
        "memoir.v1.HistoryEvent.traceparent",
        "memoir.v1.Ingestion.create_time",
        "memoir.v1.Ingestion.update_time",
        "memoir.v1.ListEntitiesResponse.next_page_token",
        "memoir.v1.ListHistoryResponse.next_page_token",
        "memoir.v1.ListHistoryResponse.resume_token",
        "memoir.v1.ListMemoriesResponse.next_page_token",
        "memoir.v1.ListRelationsResponse.next_page_token",
        "memoir.v1.Memory.last_access_time",
        "memoir.v1.Memory.update_time",
        "memoir.v1.PhaseReport.elapsed",
        "memoir.v1.PlanResetResponse.confirm_token",
        "memoir.v1.Reset.create_time",
        "memoir.v1.Reset.expire_time",
        "memoir.v1.Reset.reset_id",
        "memoir.v1.Reset.sequence",
        "memoir.v1.ResetReceipt.complete_time",
        "memoir.v1.ResetReceipt.digest",
        "memoir.v1.SearchMemoriesResponse.search_id",
        "memoir.v1.StoreStatus.latency",
        "memoir.v1.StoreStatus.version",
        "memoir.v1.StreamSearchMemoriesResponse.Started.search_id",
        "memoir.v1.WatchHistoryResponse.resume_token",
        "memoir.v1.WatchResetResponse.sequence",
    }
)
# Texts for people that say how long something takes.
WITH_SECONDS: Final = frozenset({"google.rpc.Status.message", "google.rpc.QuotaFailure.Violation.description"})
_SECONDS: Final = re.compile(r"\b\d+\.\d{3} s\b")
# Keys of ErrorInfo.metadata with such values.
SCRUBBED_METADATA: Final = frozenset({"resume_token", "trace_id"})


def _json_name(full_name: str) -> str:
    head, *tail = full_name.rpartition(".")[2].split("_")
    return head + "".join(map(str.capitalize, tail))


# Views have no types. Their keys follow the contract's names, and these names are used for nothing else there.
SCRUBBED_VIEW_KEYS: Final = frozenset(_json_name(name) for name in SCRUBBED) - {"version", "createTime", "expireTime"}
# In the view of a reset these are the server's own, in that of a memory the caller's.
RESET_VIEW_KEYS: Final = frozenset({"id", "createTime", "expireTime"})
# In the view of an ingestion this is the server's own too.
INGESTION_VIEW_KEYS: Final = frozenset({"createTime"})
# In the view of a store's state this is the product's, which differs between profiles.
STORE_VIEW_KEYS: Final = frozenset({"version"})


def scrub(descriptor: AnyDescriptor, value: Any) -> Any:
    """Put marks into the ProtoJSON of a message. What a variable already stands for (`${r}`) is left as it is."""
    if not isinstance(value, dict):
        return value  # a well-known type with a JSON form of its own
    if "@type" in value:
        inner = new_message(value["@type"].rpartition("/")[2]).DESCRIPTOR
        body = {key: item for key, item in value.items() if key != "@type"}
        return {"@type": value["@type"], **scrub(inner, body)}
    fields = {field.json_name: field for field in descriptor.fields}
    return {key: _field(fields[key], key, item) for key, item in value.items()}


def scrub_view(view: Any) -> Any:
    """Put marks into the view of an object, by key."""
    if isinstance(view, list):
        return [scrub_view(item) for item in view]
    if not isinstance(view, dict):
        return view
    marked = SCRUBBED_VIEW_KEYS
    if "fenceRevision" in view:
        marked |= RESET_VIEW_KEYS
    if "attempts" in view:
        marked |= INGESTION_VIEW_KEYS
    if "reachable" in view:
        marked |= STORE_VIEW_KEYS
    return {key: _mark(key, item) if key in marked else scrub_view(item) for key, item in view.items()}


def canonical_json(value: Any) -> str:
    """Write JSON with sorted keys, readable in a diff."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _field(field: AnyField, key: str, item: Any) -> Any:
    if field.full_name in SCRUBBED:
        return _mark(key, item)
    if field.full_name in WITH_SECONDS:
        return _SECONDS.sub("<seconds> s", item)
    if field.full_name == "google.rpc.ErrorInfo.metadata":
        return {name: _mark(name, text) if name in SCRUBBED_METADATA else text for name, text in item.items()}
    if field.message_type is None:
        return item
    if is_map(field):
        inner = map_value(field).message_type
        return {name: scrub(inner, part) for name, part in item.items()} if inner is not None else item
    if isinstance(item, list):
        return [scrub(field.message_type, part) for part in item]
    return scrub(field.message_type, item)


def _mark(key: str, value: Any) -> Any:
    return value if isinstance(value, str) and value.startswith("${") else f"<{key}>"
