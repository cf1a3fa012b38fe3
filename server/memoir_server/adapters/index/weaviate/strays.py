"""Objects among the entries that are none."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from weaviate import WeaviateAsyncClient
from weaviate.collections import CollectionAsync

from memoir_server.adapters.index.weaviate.connection import Connection, NothingThere
from memoir_server.adapters.index.weaviate.schema import tenant_name, version_of
from memoir_server.domain.entry import entry_id

_PAGE = 1_000


async def delete_strays(connection: Connection, collection: str, namespace: str) -> None:
    """Deletes objects that are no entry of the namespace: their id is not that of the version they speak of. Raises
    StoreUnavailable."""

    def tenant(client: WeaviateAsyncClient) -> CollectionAsync[Any, Any]:
        return client.collections.get(collection).with_tenant(tenant_name(namespace))

    after: UUID | None = None
    while True:
        try:
            page = await connection.call(
                lambda client, after=after: (  # type: ignore[misc]
                    tenant(client).query.fetch_objects(limit=_PAGE, after=after, return_properties=["columns"])
                )
            )
        except NothingThere:
            return
        for item in page.objects:
            if _stray(namespace, item):
                await connection.call(
                    lambda client, stray=item.uuid: tenant(client).data.delete_by_id(stray)  # type: ignore[misc]
                )
        if not page.objects:
            return
        after = page.objects[-1].uuid


def _stray(namespace: str, item: Any) -> bool:
    try:
        version = version_of(item.properties)
    except ValueError:
        return True
    return UUID(str(item.uuid)) != entry_id(namespace, *version)
