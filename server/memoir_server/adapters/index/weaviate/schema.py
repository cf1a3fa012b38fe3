"""What Weaviate keeps: collections, their properties, and entries as objects of theirs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from weaviate.classes.config import (
    Configure,
    DataType,
    Property,
    StopwordsPreset,
    Tokenization,
    VectorDistances,
)
from weaviate.classes.data import DataObject
from weaviate.proto.v1 import search_get_pb2

from memoir_server.domain.entry import IndexEntry, entry_id
from memoir_server.domain.memory import NEVER, MemoryKind, Scope

T = TypeVar("T")

MOST_RESULTS: Final = 10_000
"""Objects in one answer: the store's own bound (QUERY_MAXIMUM_RESULTS)."""
VECTOR: Final = "default"
COLUMNS: Final = ["columns"]
COLUMNS_AND_TERMS: Final = ["columns", "terms"]
EVERYTHING: Final = ["columns", "terms", "retired"]
_SECOND: Final = 1_000_000
Columns: TypeAlias = tuple[str, int, str | None, str | None, str | None, int, int, str, int, bool, float | None, int]
_encode: Final = msgspec.json.Encoder().encode
_decode: Final[Callable[[str], Columns]] = msgspec.json.Decoder(Columns).decode
_decode_all: Final[Callable[[str], list[Columns]]] = msgspec.json.Decoder(list[Columns]).decode
_EXACT_BELOW: Final = 40_000
"""Entries a query allows, up to which vectors are compared one by one; beyond it the graph of HNSW is walked."""
_PLAIN_TENANT: Final = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_-]{0,63}")


def tenant_name(namespace: str) -> str:
    """Tenant of a namespace: its name where Weaviate allows it, else an underscore and a hash of it."""
    if _PLAIN_TENANT.fullmatch(namespace):
        return namespace
    return "_" + hashlib.sha256(namespace.encode("utf-8", "surrogatepass")).hexdigest()[:48]


def id_token(value: str | None) -> str:
    """An id as a FIELD token: None is "-", "x" is "=x=". FIELD trims white space, which here stands inside."""
    return "-" if value is None else f"={value}="


def parted(instant: int) -> tuple[int, int]:
    """An instant as whole seconds and microseconds: its microseconds alone may pass 2^53, above which Weaviate's
    numbers are not exact."""
    return divmod(instant, _SECOND)


def _number(name: str) -> Property:
    return Property(name=name, data_type=DataType.INT, index_range_filters=True)


def _token(name: str) -> Property:
    return Property(name=name, data_type=DataType.TEXT, tokenization=Tokenization.FIELD, index_searchable=False)


def _kept(name: str) -> Property:
    return Property(name=name, data_type=DataType.TEXT, index_filterable=False, index_searchable=False)


ENTRY_PROPERTIES: Final = [
    _token("memory_id"),
    _token("user"),
    _token("agent"),
    _token("session"),
    _number("revision"),
    _number("retired"),
    _number("valid_from"),
    _number("valid_from_micros"),
    _number("valid_until"),
    _number("valid_until_micros"),
    Property(name="length", data_type=DataType.INT, index_filterable=False),
    # Case-sensitive, split at white space only: the terms as they are.
    Property(name="terms", data_type=DataType.TEXT, tokenization=Tokenization.WHITESPACE),
    _kept("columns"),
]
NOTE_PROPERTIES: Final = [_token("generation"), _kept("key"), _kept("value")]


def no_stop_words() -> Any:
    """Every word is indexed; the default preset drops "the" and "a", even as ids."""
    return Configure.inverted_index(stopwords_preset=StopwordsPreset.NONE)


def tenants() -> Any:
    """A tenant per namespace, made by its first entry."""
    return Configure.multi_tenancy(enabled=True, auto_tenant_creation=True, auto_tenant_activation=True)


def exact_vectors() -> Any:
    """Vectors as they come, unquantized. They are of unit norm, so their dot product is the cosine, and Weaviate need
    not normalise them."""
    return Configure.Vectors.self_provided(
        vector_index_config=Configure.VectorIndex.hnsw(
            distance_metric=VectorDistances.DOT,
            flat_search_cutoff=_EXACT_BELOW,
            quantizer=Configure.VectorIndex.Quantizer.none(),
        )
    )


def entry_object(namespace: str, entry: IndexEntry) -> DataObject[Any, None]:
    """An entry as an object of the store."""
    scope = entry.scope
    valid_from = (-NEVER, 0) if entry.valid_from is None else parted(entry.valid_from)
    valid_until = (NEVER, 0) if entry.valid_until is None else parted(entry.valid_until)
    columns = [
        entry.memory_id,
        entry.revision,
        scope.user_id,
        scope.agent_id,
        scope.session_id,
        entry.create_time,
        entry.turn,
        entry.speaker,
        len(entry.terms),
        entry.asks,
        entry.importance,
        int(entry.kind),
    ]
    return DataObject(
        uuid=entry_id(namespace, entry.memory_id, entry.revision),
        vector=np.asarray(entry.vector, dtype="<f4"),  # type: ignore[arg-type]  # read by `putting` and `whole` alone
        properties={
            "memory_id": id_token(entry.memory_id),
            "user": id_token(scope.user_id),
            "agent": id_token(scope.agent_id),
            "session": id_token(scope.session_id),
            "revision": entry.revision,
            "retired": entry.retired,
            "valid_from": valid_from[0],
            "valid_from_micros": valid_from[1],
            "valid_until": valid_until[0],
            "valid_until_micros": valid_until[1],
            "length": len(entry.terms),
            "terms": " ".join(entry.terms),
            # What is only read back, in one property: exact whatever its size, and quick to read.
            "columns": _encode(columns).decode(),
        },
    )


@dataclass(frozen=True, slots=True)
class Found:
    """An object read back. `terms` (joined by spaces) and `retired` are set where they were asked for, as is `vector`,
    None too where the object has none."""

    memory_id: str
    revision: int
    scope: Scope
    length: int
    terms: str
    retired: int
    vector: NDArray[np.float32] | None

    @property
    def words(self) -> list[str]:
        """The terms one by one."""
        return self.terms.split(" ") if self.terms else []


_KINDS: Final = {int(kind): kind for kind in MemoryKind}


def read_columns(kept: Sequence[str]) -> list[Columns]:
    """What entries keep in their property `columns`. Raises ValueError where one does not hold an entry."""
    columns = _decoded(_decode_all, f"[{','.join(kept)}]")
    if len(columns) != len(kept):
        raise ValueError("an object of the index does not hold one entry")
    return columns


def known_kinds(kinds: Iterable[int]) -> None:
    """Raises ValueError for a kind that is none."""
    if strange := set(kinds) - _KINDS.keys():
        raise ValueError(f"an object of the index holds an entry of kind {strange.pop()}, which is none")


def read_result(result: search_get_pb2.SearchResult) -> Found:
    """The entry in an object of an answer. Raises ValueError for an object that is none of ours."""
    fields = result.properties.non_ref_props.fields
    [columns] = read_columns([fields["columns"].text_value])
    memory_id, revision, user, agent, session, *_, length, _, _, kind = columns
    known_kinds([kind])
    vectors = result.metadata.vectors
    return Found(
        memory_id=memory_id,
        revision=revision,
        scope=Scope(user, agent, session),
        length=length,
        terms=fields["terms"].text_value,
        retired=fields["retired"].int_value,
        # Only the one vector that entries have is ever asked for.
        vector=np.frombuffer(vectors[0].vector_bytes, dtype="<f4") if vectors else None,
    )


def version_of(properties: Mapping[str, Any]) -> tuple[str, int]:
    """Memory and revision of the entry with these properties. Raises ValueError for an object that is none of ours."""
    memory_id, revision, *_ = _decoded(_decode, str(properties.get("columns") or ""))
    return memory_id, revision


def _decoded(decode: Callable[[str], T], text: str) -> T:
    try:
        return decode(text)
    except msgspec.MsgspecError as damage:
        raise ValueError("an object of the index does not hold an entry") from damage
