"""Which entries the store holds whole already, so that a replay leaves them alone.

Putting an entry anew takes it out for a moment, and after every start of a server what was written last is replayed.
But an object being there says little: Weaviate writes it, its words, its numbers and its vector to logs of their own,
and one that was killed may have kept some. So an object counts as whole when it is equal to what would be put, and
when everything that searches go by finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np
from weaviate.classes.config import DataType, Property
from weaviate.classes.data import DataObject
from weaviate.proto.v1 import base_search_pb2

from memoir_server.adapters.index.weaviate import filters
from memoir_server.adapters.index.weaviate.connection import Connection
from memoir_server.adapters.index.weaviate.filters import Condition
from memoir_server.adapters.index.weaviate.schema import ENTRY_PROPERTIES, VECTOR, tenant_name
from memoir_server.adapters.index.weaviate.wire import SearchResult, searching

Object = DataObject[Any, None]

_AT_ONCE: Final = 8
"""Entries looked for by their words at the same time."""
_NAMES: Final = [prop.name for prop in ENTRY_PROPERTIES]
_EXACT: Final = [prop for prop in ENTRY_PROPERTIES if prop.name != "terms" and prop.indexFilterable is not False]


@dataclass(frozen=True, slots=True)
class Inspector:
    """Looks at one tenant of one collection."""

    connection: Connection
    collection: str
    namespace: str

    async def whole(self, objects: Sequence[Object]) -> set[UUID]:
        """Ids of those objects that are held as they are given, and are found. Raises StoreUnavailable, and
        NothingThere when the collection is gone."""
        wanted = {UUID(str(each.uuid)): each for each in objects}
        held = await self._search(filters.objects(list(wanted)), len(wanted), vectors=True)
        same = {name: wanted[name] for result in held if _equal(wanted[name := _id(result)], result)}
        if not same:
            return set()
        found = await asyncio.gather(self._by_vector(same), *(self._by_property(same, prop) for prop in _EXACT))
        left = set.intersection(*found)
        return left & await self._by_words({name: same[name] for name in left})

    async def _by_vector(self, objects: Mapping[UUID, Object]) -> set[UUID]:
        any_vector = np.asarray(next(iter(objects.values())).vector, dtype="<f4")
        by = base_search_pb2.NearVector(vector_bytes=any_vector.tobytes())
        return await self._ids(filters.objects(list(objects)), len(objects), by)

    async def _by_property(self, objects: Mapping[UUID, Object], prop: Property) -> set[UUID]:
        values = [each.properties[prop.name] for each in objects.values()]
        return await self._ids(filters.objects(list(objects)) & filters.holding(prop, values), len(objects))

    async def _by_words(self, objects: Mapping[UUID, Object]) -> set[UUID]:
        found: set[UUID] = set()
        names = list(objects)
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            found.update(*await asyncio.gather(*(self._by_its_words(name, objects[name]) for name in some)))
        return found

    async def _by_its_words(self, name: UUID, wanted: Object) -> set[UUID]:
        terms = wanted.properties["terms"].split()
        if not terms:
            return {name}
        every = base_search_pb2.SearchOperatorOptions(operator=base_search_pb2.SearchOperatorOptions.OPERATOR_AND)
        by = base_search_pb2.BM25(query=wanted.properties["terms"], properties=["terms"], search_operator=every)
        # Words for ranking and words for counting are in two indexes.
        return await self._ids(filters.objects([name]) & filters.every_term(terms), 1, by)

    async def _ids(
        self,
        condition: Condition,
        limit: int,
        by: base_search_pb2.BM25 | base_search_pb2.NearVector | None = None,
    ) -> set[UUID]:
        return {_id(result) for result in await self._search(condition, limit, by)}

    async def _search(
        self,
        condition: Condition,
        limit: int,
        by: base_search_pb2.BM25 | base_search_pb2.NearVector | None = None,
        *,
        vectors: bool = False,
    ) -> Sequence[SearchResult]:
        request = searching(
            *(self.collection, tenant_name(self.namespace)),
            condition=condition,
            limit=limit,
            properties=_NAMES if vectors else [],
            vector=VECTOR if vectors else "",
            by=by,
            ids=True,
        )
        return (await self.connection.ask(lambda wire: wire.search(request))).results


def _id(result: SearchResult) -> UUID:
    return UUID(result.metadata.id)


def _equal(wanted: Object, held: SearchResult) -> bool:
    fields = held.properties.non_ref_props.fields
    for prop in ENTRY_PROPERTIES:
        value = fields[prop.name]
        kept = value.int_value if prop.dataType is DataType.INT else value.text_value
        if kept != wanted.properties[prop.name]:
            return False
    vectors = held.metadata.vectors
    return bool(vectors) and vectors[0].vector_bytes == np.asarray(wanted.vector, dtype="<f4").tobytes()
