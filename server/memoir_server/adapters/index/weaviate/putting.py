"""Putting objects, in the messages of weaviate-client and without what it does around them.

The client looks at the type of every value once per way it could be meant, and makes three objects on the way to one
message; of an import that took a tenth of all that this side spends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from weaviate.classes.data import DataObject
from weaviate.proto.v1 import batch_pb2

from memoir_server.adapters.index.weaviate.connection import Connection, refusal
from memoir_server.adapters.index.weaviate.schema import tenant_name


async def put_objects(
    connection: Connection, collection: str, namespace: str, objects: Sequence[DataObject[Any, None]]
) -> dict[int, str]:
    """Puts the objects, whose properties are texts and whole numbers; returns what the store has against single ones,
    by their place. Raises WeaviateRefused when it takes none, NothingThere, and StoreUnavailable."""
    request = batch_pb2.BatchObjectsRequest()
    add, tenant = request.objects.add, tenant_name(namespace)
    for each in objects:
        message = add(
            collection=collection,
            uuid=str(each.uuid),
            tenant=tenant,
            vector_bytes=np.asarray(each.vector, dtype="<f4").tobytes(),
        )
        fields = message.properties.non_ref_properties.fields
        for name, value in each.properties.items():
            if isinstance(value, str):
                fields[name].string_value = value
            else:
                fields[name].number_value = value

    async def put(wire: Any) -> dict[int, str]:
        reply = await wire.put(request)
        errors = {error.index: error.error for error in reply.errors}
        if len(errors) == len(objects):
            # As a rule one reason that concerns them all: the collection is gone, the disk is full.
            raise refusal("; ".join(sorted(set(errors.values()))))
        return errors

    return await connection.ask(put)
