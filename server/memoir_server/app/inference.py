"""Mode INFER, from settings."""

from __future__ import annotations

from dataclasses import dataclass

from memoir_server.app.providers import build_reasoner
from memoir_server.app.settings import Settings
from memoir_server.ports.clock import Clock, IdSource
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import Ledger
from memoir_server.ports.reasoner import Reasoner
from memoir_server.service.freshness import Freshness
from memoir_server.service.inferring import InferenceOptions, Inferring
from memoir_server.service.ingesting import Ingesting
from memoir_server.service.projector import Projector
from memoir_server.service.similar import Similar


@dataclass(frozen=True, slots=True)
class Inference:
    """What mode INFER is made of, not yet started."""

    reasoner: Reasoner
    inferring: Inferring
    ingesting: Ingesting


def build_inference(
    settings: Settings,
    *,
    ledger: Ledger,
    index: MemoryIndex,
    embedder: Embedder,
    projector: Projector,
    freshness: Freshness,
    clock: Clock,
    background_clock: Clock,
    ids: IdSource,
) -> Inference | None:
    """None where no language model is set. Raises SettingsError."""
    reasoner = build_reasoner(settings.reasoner)
    if reasoner is None:
        return None
    chosen = settings.inference
    inferring = Inferring(
        ledger=ledger,
        reasoner=reasoner,
        similar=Similar(
            ledger=ledger,
            index=index,
            embedder=embedder,
            projector=projector,
            cosine=chosen.cosine,
            nearest=chosen.nearest,
        ),
        freshness=freshness,
        clock=clock,
        ids=ids,
        options=InferenceOptions(
            policies=chosen.policies(),
            window_tokens=chosen.window_tokens,
            context_tokens=chosen.context_tokens,
            max_windows=chosen.max_windows,
        ),
    )
    ingesting = Ingesting(
        ledger=ledger,
        inference=inferring,
        clock=background_clock,
        ids=ids,
        workers=settings.ingestion.workers,
        give_up_seconds=settings.ingestion.give_up_seconds,
    )
    return Inference(reasoner, inferring, ingesting)
