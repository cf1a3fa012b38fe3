"""What the index remembers beside the entries: whose projection it is, of which model, and how far it has come.

The state of the index is one object, so that a cut-over from one ledger or model to another happens at once or not.
Every adoption begins a new generation: what belonged to another one (collections, applied revisions) is no longer seen
from that moment on, whether or not it has been deleted yet.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from weaviate import WeaviateAsyncClient
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter

from memoir_server.adapters.index.weaviate.connection import Connection, NothingThere, WeaviateRefused, refusal
from memoir_server.adapters.index.weaviate.schema import (
    ENTRY_PROPERTIES,
    NOTE_PROPERTIES,
    exact_vectors,
    id_token,
    no_stop_words,
    tenants,
)
from memoir_server.adapters.index.weaviate.stamps import SLOTS, key_of
from memoir_server.adapters.index.weaviate.wire import searching
from memoir_server.domain.embedding import EmbeddingModel

_KEYS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://memoir.dev/index-note")
_STATE: Final = "state"
_FIRST: Final = "first"
_OF_NAMESPACES: Final = Filter.by_property("generation").not_equal(id_token(None))


@dataclass(frozen=True, slots=True)
class State:
    """What the index holds. `collection` has the entries, empty before the first; `dimension` is that of its vectors, 0
    while unknown; `generation` changes with every adoption."""

    ledger_id: str = ""
    generation: str = _FIRST
    collection: str = ""
    model: EmbeddingModel | None = None
    dimension: int = 0


class Notes:
    """The collection of notes, and the collections of entries they speak of.

    Args:
        prefix: Beginning of the names of all collections: a capital, then letters and digits.
    """

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._name = f"{prefix}_Notes"
        self._entries = f"{prefix}_Entries_"

    async def create(self) -> None:
        """Creates the collection of notes where it is missing."""

        async def work(client: WeaviateAsyncClient) -> None:
            if not await client.collections.exists(self._name):
                await client.collections.create(
                    self._name, properties=NOTE_PROPERTIES, inverted_index_config=no_stop_words()
                )

        await self._unless_there(work)

    async def state(self) -> State:
        """What the index holds, as noted."""
        text = await self._get(_STATE)
        if not text:
            return State()
        noted = json.loads(text)
        model = noted.pop("model")
        return State(**noted, model=None if model is None else EmbeddingModel(*model))

    async def put_state(self, state: State) -> None:
        """Notes what the index holds from now on."""
        model = state.model
        noted = {
            "ledger_id": state.ledger_id,
            "generation": state.generation,
            "collection": state.collection,
            "dimension": state.dimension,
            "model": None if model is None else [model.name, model.version, model.dimension, model.asymmetric],
        }
        await self._put(_STATE, json.dumps(noted))

    async def applied(self, state: State, namespace: str) -> int:
        """The applied revision of a namespace; 0 when there is none."""
        return int(await self._get(_applied_key(state, namespace)) or 0)

    async def put_applied(
        self, state: State, namespace: str, applied: int, stamps: Mapping[int, str] | None = None
    ) -> None:
        """Notes an applied revision, and new stamps by slot."""
        notes = [(_applied_key(state, namespace), str(applied)), *_stamps(state, namespace, stamps or {})]
        await self._put_all(notes, state.generation)

    async def put_stamps(self, state: State, namespace: str, stamps: Mapping[int, str]) -> None:
        """Notes stamps by slot."""
        if stamps:
            await self._put_all(_stamps(state, namespace, stamps), state.generation)

    async def stamps(self, collection: str, namespace: str, slots: Iterable[int]) -> dict[int, str]:
        """Those of the stamps that there are, by slot."""
        names = {_note_id(key_of(collection, namespace, slot)): slot for slot in slots}
        if not names:
            return {}
        request = searching(
            self._name,
            "",
            condition=Filter.by_id().contains_any(list(names)),
            limit=len(names),
            properties=["key", "value"],
        )
        try:
            reply = await self._connection.ask(lambda wire: wire.search(request))
        except NothingThere:
            return {}
        found = [result.properties.non_ref_props.fields for result in reply.results]
        return {names[_note_id(note["key"].text_value)]: note["value"].text_value for note in found}

    async def forget(self, state: State, namespace: str) -> None:
        """Deletes the note of how far a namespace has come."""
        name = _note_id(_applied_key(state, namespace))
        await self._connection.call(lambda client: client.collections.get(self._name).data.delete_by_id(name))

    async def forget_stamps(self, state: State, namespace: str) -> None:
        """Deletes the stamps of a namespace."""
        names = [_note_id(key_of(state.collection, namespace, slot)) for slot in range(SLOTS + 1)]
        stamped = Filter.by_id().contains_any(names)
        await self._connection.call(lambda client: client.collections.get(self._name).data.delete_many(where=stamped))

    def adopted(self, ledger_id: str) -> State:
        """The state after the adoption of a ledger."""
        return State(ledger_id, generation=secrets.token_hex(8))

    async def for_entries(self, state: State, model: EmbeddingModel | None, dimension: int) -> State:
        """The state with a collection for vectors of the model, created where it is missing; not noted yet.

        Its name follows from generation and model: servers that do this at once mean the same collection.
        """
        key = f"{state.generation}\n{model}\n{dimension}"
        name = f"{self._entries}{state.generation}_{uuid.uuid5(_KEYS, key).hex[:12]}"

        async def work(client: WeaviateAsyncClient) -> None:
            if not await client.collections.exists(name):
                await client.collections.create(
                    name,
                    description=f"Entries of Memoir, vectors of {model or 'a model not named'}",
                    properties=ENTRY_PROPERTIES,
                    vector_config=exact_vectors(),
                    multi_tenancy_config=tenants(),
                    inverted_index_config=no_stop_words(),
                )

        await self._unless_there(work)
        return replace(state, collection=name, model=model, dimension=dimension)

    async def drop_collection(self, name: str) -> None:
        """Deletes a collection of entries."""
        await self._connection.call(lambda client: client.collections.delete(name))

    async def drop_other_generations(self, state: State) -> None:
        """Deletes what belonged to earlier adoptions."""
        listed = await self._connection.call(lambda client: client.collections.list_all())
        for name in listed:
            if name.startswith(self._entries) and not name.startswith(f"{self._entries}{state.generation}_"):
                await self.drop_collection(name)
        others = Filter.by_property("generation").not_equal(id_token(state.generation))
        await self._connection.call(
            lambda client: client.collections.get(self._name).data.delete_many(where=others & _OF_NAMESPACES)
        )

    async def _get(self, key: str) -> str:
        try:
            found = await self._connection.call(
                lambda client: client.collections.get(self._name).query.fetch_object_by_id(_note_id(key))
            )
        except NothingThere:
            return ""
        # The client's type leaves out that there may be none.
        return str(getattr(found, "properties", {}).get("value", ""))

    async def _put(self, key: str, value: str) -> None:
        await self._put_all([(key, value)], None)

    async def _put_all(self, notes: Sequence[tuple[str, str]], generation: str | None) -> None:
        """Puts notes by key, which belong to a generation or to all."""
        objects: list[DataObject[Any, None]] = [
            DataObject(uuid=_note_id(key), properties={"generation": id_token(generation), "key": key, "value": value})
            for key, value in notes
        ]
        try:
            answer = await self._connection.call(
                lambda client: client.collections.get(self._name).data.insert_many(objects)
            )
        except NothingThere:
            await self.create()
            await self._put_all(notes, generation)
            return
        for error in answer.errors.values():
            await self._connection.require_ready()
            raise refusal(error.message)

    async def _unless_there(self, work: Any) -> None:
        """Runs a creation; that somebody else was quicker is no failure."""
        try:
            await self._connection.call(work)
        except WeaviateRefused as refused:
            if "already exists" not in str(refused):
                raise


def _stamps(state: State, namespace: str, stamps: Mapping[int, str]) -> list[tuple[str, str]]:
    return [(key_of(state.collection, namespace, slot), stamp) for slot, stamp in stamps.items()]


def _applied_key(state: State, namespace: str) -> str:
    return f"applied/{state.generation}/{namespace}"


def _note_id(key: str) -> uuid.UUID:
    return uuid.uuid5(_KEYS, key)
