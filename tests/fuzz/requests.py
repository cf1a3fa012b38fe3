"""Requests that the server should mostly accept, one recipe for every RPC of the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from memoir.v1 import (
    admin_pb2,
    common_pb2,
    graph_pb2,
    history_pb2,
    memory_pb2,
    reset_pb2,
    search_pb2,
    transfer_pb2,
)
from memoir_server.domain.consistency import Finding, FindingKind
from memoir_server.domain.store import StoreKind

USERS = ("ana", "bob", "用户", "\U0001f9d1")
WORDS = ("likes tea", "lives in Ghent", "茶が好き", "runs at dawn", "\U0001f600", "Ana met Bob", "owns a red bicycle")
DAY = 86_400
BASE_SECONDS = 1_700_000_000
QUIET = "quiet"
"""A small namespace, for methods that walk a whole namespace."""


@dataclass(slots=True)
class World:
    """What answers have told: things that exist, or existed, by kind."""

    memories: list[str] = field(default_factory=list)
    entities: list[str] = field(default_factory=list)
    plans: list[tuple[str, str]] = field(default_factory=list)
    """Ids and confirm tokens of resets, oldest first."""
    made: int = 0


class Requests:
    """Draws requests. Ids of new memories count up, so that a run is the same for the same seed."""

    def __init__(self, random: Random, world: World) -> None:
        self.random = random
        self.world = world

    def of(self, method: str) -> Any:
        """A request of the method; for ImportMemories, the list of its parts."""
        return RECIPES[method](self)

    def scope(self) -> common_pb2.Scope:
        scope = common_pb2.Scope(user_id=self.random.choice(USERS))
        if self.random.random() < 0.3:
            scope.session_id = f"s{self.random.randrange(3)}"
        if self.random.random() < 0.2:
            scope.agent_id = "bot"
        return scope

    def new_id(self) -> str:
        self.world.made += 1
        return f"f{self.world.made}"

    def known_id(self) -> str:
        return self.random.choice(self.world.memories[-60:]) if self.world.memories else "f1"

    def durability(self) -> Any:
        return self.random.choice((0, 1, 1, 1, 2))

    def seconds(self) -> int:
        return BASE_SECONDS + DAY * self.random.randrange(200)

    def value(self) -> common_pb2.MetadataValue:
        value = common_pb2.MetadataValue()
        kind = self.random.randrange(6)
        if kind == 0:
            value.string_value = self.random.choice(WORDS)
        elif kind == 1:
            value.int_value = self.random.choice((0, -1, 7, 2**63 - 1, -(2**63)))
        elif kind == 2:
            value.double_value = self.random.choice((0.0, -0.0, 1.5, 5e-324, 1.7e308))
        elif kind == 3:
            value.bool_value = True
        elif kind == 4:
            value.timestamp_value.seconds = self.random.choice((-62_135_596_800, 253_402_300_799, self.seconds()))
        else:
            value.string_list.values.extend(self.random.sample(WORDS, self.random.randrange(3)))
        return value

    def memory(self) -> memory_pb2.Memory:
        memory = memory_pb2.Memory(text=self.random.choice(WORDS), scope=self.scope())
        memory.kind = self.random.choice((0, 1, 2, 3, 4, 5, 6))  # type: ignore[assignment]
        if self.random.random() < 0.5:
            memory.metadata[self.random.choice("abc")].CopyFrom(self.value())
        if self.random.random() < 0.3:
            memory.importance = self.random.choice((0.0, 1.0, 0.25))
        if self.random.random() < 0.5:
            memory.create_time.seconds = self.seconds()
        if self.random.random() < 0.2:
            memory.valid_until.seconds = 253_402_300_799
        if self.random.random() < 0.3:
            memory.entities.add(name="Ana", type="person", aliases=["Anna"])
            memory.relations.add(subject="Ana", predicate="LIVES_IN", object="Ghent", confidence=0.5)
        if self.random.random() < 0.3:
            memory.provenance.add(message_id="m1", role=memory_pb2.ROLE_USER, actor_id="Ana", quote="I do")
        return memory

    def filter(self, depth: int = 0) -> common_pb2.Filter:
        filter_ = common_pb2.Filter()
        form = self.random.randrange(6) if depth < 5 else 5
        if form in (0, 1):
            children = getattr(filter_, ("and", "or")[form]).filters
            children.extend(self.filter(depth + 1) for _ in range(self.random.randint(1, 3)))
        elif form == 2:
            getattr(filter_, "not").CopyFrom(self.filter(depth + 1))
        else:
            self._compare(filter_.compare)
        return filter_

    def _compare(self, compare: common_pb2.Filter.Comparison) -> None:
        kind = self.random.randrange(4)
        if kind == 0:
            compare.field, compare.operator = "text", self.random.choice((1, 2, 3, 4, 5, 6))  # type: ignore[assignment]
            compare.value.string_value = self.random.choice(WORDS)
        elif kind == 1:
            compare.field, compare.operator = "create_time", self.random.choice((1, 3, 6))  # type: ignore[assignment]
            compare.value.timestamp_value.seconds = self.seconds()
        elif kind == 2:
            compare.field, compare.operator = "importance", self.random.choice((2, 4, 5))  # type: ignore[assignment]
            compare.value.double_value = self.random.choice((0.25, 1.7e308, -5e-324))
        else:
            compare.field = self.random.choice(("metadata.a", "metadata.never-stored", "valid_until"))
            compare.operator = common_pb2.Filter.OPERATOR_EXISTS
            compare.value.bool_value = self.random.random() < 0.5

    def spec(self) -> search_pb2.SearchSpec:
        spec = search_pb2.SearchSpec(query=self.random.choice(WORDS), limit=self.random.choice((0, 1, 100, 2**31 - 1)))
        spec.recipe = self.random.randrange(6)  # type: ignore[assignment]
        spec.fusion = self.random.randrange(5)  # type: ignore[assignment]
        spec.explain = self.random.random() < 0.5
        if self.random.random() < 0.7:
            spec.scope.CopyFrom(self.scope())
        if self.random.random() < 0.3:
            spec.filter.CopyFrom(self.filter())
        if self.random.random() < 0.3:
            spec.as_of.revision = self.random.randrange(3)
        if self.random.random() < 0.3:
            spec.graph_depth = self.random.randrange(4)
        return spec

    # -- MemoryService

    def add_memories(self) -> Any:
        message = memory_pb2.Message(role=memory_pb2.ROLE_USER, content=self.random.choice(WORDS))
        mode: Any = self.random.choice((0, 2))
        only = self.random.random() < 0.3
        return memory_pb2.AddMemoriesRequest(
            scope=self.scope(), messages=[message] * 2, mode=mode, validate_only=only, durability=self.durability()
        )

    def create(self) -> Any:
        request = memory_pb2.CreateMemoryRequest(
            memory_id=self.new_id(), memory=self.memory(), durability=self.durability()
        )
        if self.random.random() < 0.2:
            request.supersedes.append(self.known_id())
        return request

    def batch_create(self) -> Any:
        request = memory_pb2.BatchCreateMemoriesRequest(
            durability=self.durability(), allow_partial=self.random.random() < 0.5
        )
        for _ in range(self.random.randint(1, 4)):
            request.items.add(memory_id=self.new_id(), memory=self.memory())
        return request

    def get(self) -> Any:
        request = memory_pb2.GetMemoryRequest(memory_id=self.known_id())
        if self.random.random() < 0.2:
            request.as_of.time.seconds = 253_402_300_799
        return request

    def list_(self) -> Any:
        request = memory_pb2.ListMemoriesRequest(page_size=self.random.choice((0, 1, 1000, 2**31 - 1)))
        if self.random.random() < 0.6:
            request.filter.CopyFrom(self.filter())
        if self.random.random() < 0.3:
            request.as_of.revision = self.random.randrange(3)
        if self.random.random() < 0.3:
            request.create_time_range.start_time.seconds = self.seconds()
        return request

    def update(self) -> Any:
        request = memory_pb2.UpdateMemoryRequest(
            memory_id=self.known_id(), memory=self.memory(), durability=self.durability()
        )
        request.memory.ClearField("valid_until")
        if self.random.random() < 0.5:
            request.update_mask.paths.extend(self.random.sample(("text", "kind", "metadata", "entities"), 2))
        return request

    def delete(self) -> Any:
        missing = self.random.random() < 0.7
        memory_id = self.known_id() if self.random.random() < 0.3 else "never-there"
        return memory_pb2.DeleteMemoryRequest(
            memory_id=memory_id, allow_missing=missing, durability=self.durability(), reason=self.random.choice(WORDS)
        )

    def batch_delete(self) -> Any:
        ids = ["never-there"] if self.random.random() < 0.7 else [self.known_id()]
        return memory_pb2.BatchDeleteMemoriesRequest(memory_ids=ids, allow_missing=self.random.random() < 0.8)

    def list_scopes(self) -> Any:
        dimension: Any = self.random.choice((1, 2, 3))
        request = memory_pb2.ListScopesRequest(dimension=dimension, page_size=self.random.choice((0, 1, 5)))
        if self.random.random() < 0.3:
            request.within.CopyFrom(self.scope())
        return request

    def get_ingestion(self) -> Any:
        return memory_pb2.GetIngestionRequest(ingestion_id="i1")

    def list_ingestions(self) -> Any:
        return memory_pb2.ListIngestionsRequest(page_size=3)

    # -- SearchService

    def search(self) -> Any:
        return search_pb2.SearchMemoriesRequest(spec=self.spec())

    def stream(self) -> Any:
        return search_pb2.StreamSearchMemoriesRequest(spec=self.spec())

    def context(self) -> Any:
        budget = self.random.choice((0, 1, 50, 2**31 - 1))
        return search_pb2.BuildContextRequest(spec=self.spec(), max_tokens=budget, neighbours=self.random.randrange(6))

    # -- GraphService

    def entity(self) -> str:
        return self.random.choice(self.world.entities) if self.world.entities else "nothing"

    def get_entity(self) -> Any:
        return graph_pb2.GetEntityRequest(entity_id=self.entity())

    def list_entities(self) -> Any:
        return graph_pb2.ListEntitiesRequest(page_size=self.random.choice((0, 1)), scope=self.scope())

    def list_relations(self) -> Any:
        request = graph_pb2.ListRelationsRequest(include_superseded=self.random.random() < 0.5)
        if self.random.random() < 0.5:
            request.entity_id = self.entity()
        else:
            request.memory_id = self.known_id()
        return request

    def traverse(self) -> Any:
        return graph_pb2.TraverseGraphRequest(
            start_entity_ids=[self.entity()], depth=self.random.randrange(4), max_entities=self.random.choice((0, 1))
        )

    # -- HistoryService

    def history_filter(self) -> history_pb2.HistoryFilter:
        filter_ = history_pb2.HistoryFilter()
        if self.random.random() < 0.4:
            filter_.scope.CopyFrom(self.scope())
        if self.random.random() < 0.3:
            filter_.memory_id = self.known_id()
        if self.random.random() < 0.4:
            filter_.types.extend(self.random.sample((1, 2, 3, 4, 6), 2))  # type: ignore[arg-type]
        return filter_

    def list_history(self) -> Any:
        request = history_pb2.ListHistoryRequest(page_size=self.random.choice((1, 5)), filter=self.history_filter())
        if self.random.random() < 0.3:
            request.commit_time_range.end_time.seconds = self.random.choice((-62_135_596_800, 253_402_300_799))
        return request

    def watch(self) -> Any:
        request = history_pb2.WatchHistoryRequest(filter=self.history_filter())
        if self.random.random() < 0.5:
            request.start_revision = self.random.choice((1, 2, 5))
        elif self.random.random() < 0.5:
            request.start_time.seconds = self.random.choice((-62_135_596_800, BASE_SECONDS))
        request.progress_interval.seconds = self.random.choice((-5, 0, 1, 315_576_000_000))
        return request

    # -- ResetService

    def plan(self) -> Any:
        target = reset_pb2.ResetTarget(scope=common_pb2.Scope(user_id=f"nobody{self.random.randrange(9)}"))
        if self.random.random() < 0.5:
            target.preserve.CopyFrom(self.filter())
        flag = self.random.choice(("", "", "include_history", "keep_vector", "keep_graph", "keep_history"))
        if flag:
            setattr(target, flag, True)
        return reset_pb2.PlanResetRequest(target=target)

    def planned(self) -> tuple[str, str]:
        return self.random.choice(self.world.plans[-5:]) if self.world.plans else ("none", "none")

    def execute(self) -> Any:
        reset_id, token = self.planned()
        return reset_pb2.ExecuteResetRequest(reset_id=reset_id, confirm_token=token, allow_drift=True)

    def get_reset(self) -> Any:
        return reset_pb2.GetResetRequest(reset_id=self.planned()[0])

    def watch_reset(self) -> Any:
        return reset_pb2.WatchResetRequest(reset_id=self.planned()[0])

    def cancel_reset(self) -> Any:
        return reset_pb2.CancelResetRequest(reset_id=self.planned()[0])

    # -- TransferService

    def export(self) -> Any:
        request = transfer_pb2.ExportMemoriesRequest(namespace=QUIET, include_embeddings=self.random.random() < 0.5)
        request.include_history = self.random.random() < 0.3
        if self.random.random() < 0.4:
            request.filter.CopyFrom(self.filter())
        return request

    def import_(self) -> Any:
        header = transfer_pb2.ImportMemoriesRequest()
        header.header.namespace = QUIET
        header.header.on_conflict = self.random.randrange(4)  # type: ignore[assignment]
        parts = [header]
        for sequence in range(self.random.randrange(3)):
            part = transfer_pb2.ImportMemoriesRequest()
            part.item.sequence = sequence
            part.item.memory.memory.CopyFrom(self.memory())
            part.item.memory.memory.memory_id = f"q{self.random.randrange(20)}"
            if self.random.random() < 0.2:
                part.item.memory.embedding.model = "hash"
                part.item.memory.embedding.values.extend([1.0] * self.random.choice((1, 8)))
            parts.append(part)
        return parts

    # -- AdminService

    def info(self) -> Any:
        return admin_pb2.GetServerInfoRequest(namespace=self.random.choice(("", QUIET)))

    def check(self) -> Any:
        return admin_pb2.CheckConsistencyRequest(namespace=QUIET, max_findings=1, sample=self.random.choice((1, 5)))

    def repair(self) -> Any:
        finding = Finding(
            kind=FindingKind.STALE,
            store=StoreKind.INDEX,
            memory_id=f"q{self.random.randrange(5)}",
            revision=self.random.randint(1, 5),
            message="",
        )
        return admin_pb2.RepairConsistencyRequest(
            namespace=QUIET, finding_ids=[finding.finding_id], validate_only=self.random.random() < 0.5
        )

    def rebuild(self) -> Any:
        store: Any = self.random.choice((2, 3))
        return admin_pb2.RebuildProjectionRequest(namespace=QUIET, store=store)


RECIPES: Mapping[str, Callable[[Requests], Any]] = {
    "CreateMemory": Requests.create,
    "BatchCreateMemories": Requests.batch_create,
    "AddMemories": Requests.add_memories,
    "GetMemory": Requests.get,
    "ListMemories": Requests.list_,
    "UpdateMemory": Requests.update,
    "ListScopes": Requests.list_scopes,
    "GetIngestion": Requests.get_ingestion,
    "ListIngestions": Requests.list_ingestions,
    "SearchMemories": Requests.search,
    "StreamSearchMemories": Requests.stream,
    "BuildContext": Requests.context,
    "ListEntities": Requests.list_entities,
    "GetEntity": Requests.get_entity,
    "ListRelations": Requests.list_relations,
    "TraverseGraph": Requests.traverse,
    "ListHistory": Requests.list_history,
    "WatchHistory": Requests.watch,
    "ImportMemories": Requests.import_,
    "ExportMemories": Requests.export,
    "PlanReset": Requests.plan,
    "CancelReset": Requests.cancel_reset,
    "GetReset": Requests.get_reset,
    "WatchReset": Requests.watch_reset,
    "ExecuteReset": Requests.execute,
    "GetServerInfo": Requests.info,
    "CheckConsistency": Requests.check,
    "RepairConsistency": Requests.repair,
    "RebuildProjection": Requests.rebuild,
    "DeleteMemory": Requests.delete,
    "BatchDeleteMemories": Requests.batch_delete,
}
"""By method, in the order in which they run: what makes things comes before what reads them."""
NOT_BUILT = frozenset({"GetIngestion", "ListIngestions"})
"""Every call is FEATURE_DISABLED, as inference is off."""
