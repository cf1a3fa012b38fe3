"""Builds a server from settings."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc

from memoir_server.adapters.embedder.batching import BatchingEmbedder
from memoir_server.adapters.embedder.cached import CachedEmbedder
from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.app.adapters import build_adapters
from memoir_server.app.clock import SystemClock, UuidV7
from memoir_server.app.health import Health
from memoir_server.app.inference import Inference, build_inference
from memoir_server.app.providers import build_remote_embedder
from memoir_server.app.settings import Settings
from memoir_server.app.status import Stores
from memoir_server.app.telemetry import Telemetry
from memoir_server.app.testing import CountingEntropy, CountingIds, SteppingClock, WatchingClock
from memoir_server.app.version import VERSION
from memoir_server.domain.duplicate import Thresholds
from memoir_server.domain.ranking.rank import RANKING_VERSION
from memoir_server.domain.store import StoreKind
from memoir_server.ports.clock import Clock, IdSource
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.graph import EntityGraph
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import Ledger
from memoir_server.ports.projection import Projection
from memoir_server.rpc.admin import AdminService, ServerFacts
from memoir_server.rpc.contract import Contract, load_contract
from memoir_server.rpc.contract_digest import CONTRACT_SHA256
from memoir_server.rpc.draining import Draining
from memoir_server.rpc.graph import GraphService
from memoir_server.rpc.history import HistoryService
from memoir_server.rpc.inference import InferenceMethods
from memoir_server.rpc.interceptors.auth import ApiKey, ApiKeys, Authenticator, NoAuthentication
from memoir_server.rpc.interceptors.chain import Chain
from memoir_server.rpc.interceptors.limits import Limits
from memoir_server.rpc.interceptors.validate import RequestValidator
from memoir_server.rpc.memory import MemoryService
from memoir_server.rpc.paging import MAX_PAGE_SIZE
from memoir_server.rpc.reset import ResetService
from memoir_server.rpc.search import SearchService
from memoir_server.rpc.tokens import Tokens
from memoir_server.rpc.transfer import TransferService
from memoir_server.service.accesses import Accesses
from memoir_server.service.contexts import Contexts
from memoir_server.service.doctor import Doctor
from memoir_server.service.duplicates import CosineGuard
from memoir_server.service.expiry import Sweeper
from memoir_server.service.exporting import Exporting
from memoir_server.service.freshness import Freshness
from memoir_server.service.graph_reading import GraphReading
from memoir_server.service.history import History
from memoir_server.service.importing import Importing
from memoir_server.service.projector import Projector
from memoir_server.service.reach import Reach
from memoir_server.service.recalling import Recalling
from memoir_server.service.remembering import Remembering
from memoir_server.service.resets import Resets
from memoir_server.service.rounds import Rounds
from memoir_server.service.scopes import Scopes

FEATURES: Sequence[str] = ("context", "doctor", "graph", "graph_read", "reset", "scopes", "transfer", "watch")
"""What GetServerInfo reports as on, beside what the settings turn on."""
INFER: str = "infer"
"""Reported where a language model is set."""

_TRACED_STORES = {
    "ledger": ("commit", "get", "list_memories", "hydrate", "history"),
    "index": ("apply", "keyword", "dense"),
    "graph": ("apply", "match", "known_names", "entity", "entities", "relations", "traverse"),
    "cache": ("get_many", "put_many", "purge"),
}
"""Calls that get a span of their own where tracing is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """Everything a server is made of, not yet opened."""

    settings: Settings
    ledger: Ledger
    index: MemoryIndex
    graph: EntityGraph
    embedder: Embedder
    projector: Projector
    resets: Resets
    sweeper: Sweeper
    accesses: Accesses
    history: History
    doctor: Doctor
    rounds: Rounds
    remembering: Remembering
    inference: Inference | None
    recalling: Recalling
    graph_reading: GraphReading
    scopes: Scopes
    exporting: Exporting
    importing: Importing
    stores: Stores
    telemetry: Telemetry
    contract: Contract
    validator: RequestValidator
    draining: Draining

    def chain(self) -> Chain:
        """What stands in front of every method."""
        limits = self.settings.limits
        return Chain(
            contract=self.contract,
            tracing=self.telemetry.tracing,
            authenticator=_authenticator(self.settings),
            limits=Limits(
                max_calls=limits.max_calls,
                max_watches=limits.max_watches,
                rate=limits.calls_per_second,
                burst=limits.burst,
                time=asyncio.get_running_loop().time,
            ),
            validator=self.validator,
            draining=self.draining,
        )

    def servicers(self) -> dict[str, object]:
        """One object per service of the contract. The ledger must be open: its identity keys the tokens."""
        tokens = Tokens(self.ledger.ledger_id)
        # Room for what a page carries beside its entries.
        page_bytes = self.settings.server.max_message_bytes * 3 // 4
        return {
            "memoir.v1.MemoryService": MemoryService(
                self.remembering,
                self.recalling,
                self.scopes,
                self.accesses,
                tokens,
                page_bytes=page_bytes,
                inference=self._inference_methods(tokens, page_bytes),
            ),
            "memoir.v1.SearchService": SearchService(
                self.recalling, Contexts(self.recalling, self.ledger, self.accesses)
            ),
            "memoir.v1.GraphService": GraphService(self.graph_reading, tokens, page_bytes=page_bytes),
            "memoir.v1.HistoryService": HistoryService(self.history, self.ledger, tokens, page_bytes=page_bytes),
            "memoir.v1.ResetService": ResetService(self.resets, self.draining),
            "memoir.v1.TransferService": TransferService(
                self.exporting, self.importing, self.ledger, tokens, self.draining, self.contract, self.validator
            ),
            "memoir.v1.AdminService": AdminService(self._facts(), self.stores, self.doctor, self.draining),
        }

    def _inference_methods(self, tokens: Tokens, page_bytes: int) -> InferenceMethods | None:
        if self.inference is None:
            return None
        return InferenceMethods(self.inference.inferring, self.inference.ingesting, tokens, page_bytes=page_bytes)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Handlers for every service of the contract."""
        chain = self.chain()
        return [chain.handler(service, servicer) for service, servicer in self.servicers().items()]

    def health(self) -> Health:
        """The health service."""
        return Health(self.stores, sorted(self.contract.methods), self.settings.server.namespace)

    def _facts(self) -> ServerFacts:
        server, limits = self.settings.server, self.settings.limits
        return ServerFacts(
            version=VERSION,
            contract_digest=CONTRACT_SHA256,
            features=sorted([*FEATURES, INFER]) if self.inference else FEATURES,
            limits={
                "max_message_bytes": server.max_message_bytes,
                "max_page_size": MAX_PAGE_SIZE,
                "max_calls": limits.max_calls,
                "max_watches": limits.max_watches,
            },
            profile=server.profile,
            embedding_model=str(self.embedder.model),
            ranking_version=str(RANKING_VERSION),
        )


def compose(settings: Settings, telemetry: Telemetry) -> Composition:
    """Builds it all. Opens nothing but the embedding model. Raises SettingsError, ModelError."""
    settings.server.data.mkdir(parents=True, exist_ok=True)
    clock, background_clock, ids, entropy = _sources(settings)
    adapters = build_adapters(settings, entropy)
    ledger, index, graph, cache = adapters.ledger, adapters.index, adapters.graph, adapters.cache
    embedder = CachedEmbedder(build_embedder(settings), cache)
    for (name, methods), store, system in zip(
        _TRACED_STORES.items(), (ledger, index, graph, cache), settings.stores.adapters, strict=True
    ):
        telemetry.watch_store(store, name, methods, system=system or "memory")
    reach = Reach(phase_seconds=settings.limits.search_phase_seconds)
    projector = Projector(
        ledger=ledger, index=index, graph=graph, embedder=embedder, clock=background_clock, reach=reach
    )
    freshness = Freshness(ledger, projector, longest=settings.limits.indexed_seconds)
    accesses = Accesses(
        ledger, background_clock, enabled=settings.accesses.enabled, flush_seconds=settings.accesses.flush_seconds
    )
    thresholds = Thresholds(default=settings.duplicates.cosine, namespaces=settings.duplicates.namespaces)
    guard = CosineGuard(ledger=ledger, index=index, embedder=embedder, projector=projector, thresholds=thresholds)
    projections: dict[StoreKind, Projection] = {StoreKind.INDEX: index, StoreKind.GRAPH: graph}
    doctor = Doctor(ledger=ledger, projections=projections, embedder=embedder, projector=projector, clock=clock)
    return Composition(
        settings=settings,
        ledger=ledger,
        index=index,
        graph=graph,
        embedder=embedder,
        projector=projector,
        resets=Resets(
            ledger=ledger, projections=projections, embedder=embedder, projector=projector, clock=clock, ids=ids
        ),
        sweeper=Sweeper(ledger, background_clock),
        accesses=accesses,
        history=History(ledger),
        doctor=doctor,
        rounds=Rounds(doctor, ledger, seconds=settings.doctor.every_seconds, sample=settings.doctor.sample),
        remembering=Remembering(ledger, freshness, clock, ids, guard, embedder),
        inference=build_inference(
            settings,
            ledger=ledger,
            index=index,
            embedder=embedder,
            projector=projector,
            freshness=freshness,
            clock=clock,
            background_clock=background_clock,
            ids=ids,
        ),
        recalling=Recalling(
            ledger=ledger,
            index=index,
            graph=graph,
            embedder=embedder,
            freshness=freshness,
            clock=clock,
            ids=ids,
            accesses=accesses,
            reach=reach,
        ),
        graph_reading=GraphReading(ledger=ledger, graph=graph, freshness=freshness, clock=clock),
        scopes=Scopes(ledger, clock),
        exporting=Exporting(ledger, embedder, freshness, clock),
        importing=Importing(ledger, embedder, clock),
        stores=Stores(ledger=ledger, projections=projections, cache=cache, embedder=embedder, projector=projector),
        telemetry=telemetry,
        contract=load_contract(),
        validator=RequestValidator(),
        draining=Draining(),
    )


def _sources(settings: Settings) -> tuple[Clock, Clock, IdSource, Callable[[int], bytes]]:
    """The clock of calls, the clock of background work, identifiers and randomness."""
    if settings.testing.enabled:
        stepping = SteppingClock()
        return stepping, WatchingClock(stepping), CountingIds(), CountingEntropy()
    clock = SystemClock()
    return clock, clock, UuidV7(), os.urandom


def build_embedder(settings: Settings) -> Embedder:
    """The embedder of the settings, without a cache. Raises ModelError, SettingsError."""
    chosen = settings.embedder
    if chosen.adapter:
        return build_remote_embedder(chosen)
    return BatchingEmbedder(_model(settings), max_batch=chosen.max_batch, parallel=chosen.threads)


def _model(settings: Settings) -> Embedder:
    name = settings.embedder.model
    if name == "hash":
        return HashEmbedder()
    # onnxruntime takes its time to import; servers with the hash embedder never need it.
    from memoir_server.adapters.embedder.models import locate
    from memoir_server.adapters.embedder.onnx_minilm import OnnxEmbedder

    return OnnxEmbedder(locate(name), threads=settings.embedder.threads)


def _authenticator(settings: Settings) -> Authenticator:
    if not settings.auth.api_keys:
        return NoAuthentication(settings.server.namespace)
    keys = [ApiKey(key.name, bytes.fromhex(key.sha256), key.namespaces, key.role) for key in settings.auth.api_keys]
    return ApiKeys(keys, settings.server.namespace)
