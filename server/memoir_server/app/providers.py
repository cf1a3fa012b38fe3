"""Models that run elsewhere, from settings: the language model, and embeddings over HTTP.

The providers' clients take most of a second to import; they are imported where they are chosen.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from memoir_server.adapters.embedder.batching import BatchingEmbedder
from memoir_server.adapters.embedder.fallback import FallbackEmbedder
from memoir_server.adapters.embedder.portions import PortionedEmbedder
from memoir_server.adapters.provider.key import KeyMissing, ProviderKey, find_key
from memoir_server.app.settings import Settings, SettingsError
from memoir_server.app.settings_models import (
    BEDROCK,
    OPENAI,
    VERTEX,
    EmbedderSettings,
    FallbackSettings,
    ReasonerSettings,
)
from memoir_server.domain.embedding import EmbeddingModel, EmbedKind
from memoir_server.domain.reasoning import Prices
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.reasoner import Reasoner
from memoir_server.service.embedding import GuardedEmbedder
from memoir_server.service.guard import GuardOptions
from memoir_server.service.reasoning import GuardedReasoner

_OPENAI_KEY = "OPENAI_API_KEY"
_KEYS = {"anthropic": "ANTHROPIC_API_KEY", OPENAI: _OPENAI_KEY, BEDROCK: "AWS_BEARER_TOKEN_BEDROCK", VERTEX: ""}
"""Where a provider's key usually is. Clouds have credentials of their own."""
_OWN_HOSTS = ("api.openai.com", ".openai.azure.com", ".services.ai.azure.com")
"""Hosts that want a key, and know `max_completion_tokens`."""


def build_reasoner(settings: ReasonerSettings, environment: Mapping[str, str] | None = None) -> Reasoner | None:
    """The language model of the settings, guarded; None where there is none. Raises SettingsError for a key that is not
    there, a package that is not installed, or what the client does not take."""
    if not settings.enabled:
        return None
    try:
        inner = _bare_reasoner(settings, os.environ if environment is None else environment)
    except ModuleNotFoundError as missing:
        raise SettingsError(
            "reasoner.adapter",
            settings.adapter,
            f"needs the package {missing.name}",
            'install "memoir-server[models]", or "memoir-server[bedrock]" or "[vertex]" for those clouds',
        ) from None
    except KeyMissing as missing_key:
        raise _no_key("reasoner", settings.key_variable, missing_key) from None
    except ValueError as refusal:
        raise SettingsError(
            "reasoner.adapter", settings.adapter, f"does not take its settings ({refusal})", "correct them"
        ) from None
    options = GuardOptions(
        concurrency=settings.concurrency,
        attempts=settings.attempts,
        seconds=settings.seconds,
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
    )
    return GuardedReasoner(inner, options, prices=_prices(settings))


def check_keys(settings: Settings, environment: Mapping[str, str]) -> None:
    """Looks for the keys of the models, without asking any. Raises SettingsError, which names the place of one that is
    missing."""
    if settings.reasoner.enabled:
        own = settings.reasoner.adapter == "anthropic" or (
            settings.reasoner.adapter == OPENAI and _own_host(settings.reasoner.url)
        )
        try:
            _reasoner_key(settings.reasoner, environment, needed=own)
        except KeyMissing as missing_key:
            raise _no_key("reasoner", settings.reasoner.key_variable, missing_key) from None
    if settings.embedder.adapter:
        try:
            for place in _places(settings.embedder):
                _place_key(settings.embedder, place, environment)
        except KeyMissing as missing_key:
            raise _no_key("embedder", settings.embedder.key_variable, missing_key) from None


def _no_key(section: str, variable: str, missing: KeyMissing) -> SettingsError:
    return SettingsError(f"{section}.key_variable", variable, f"leads to no key: {missing}", "then try again")


def _bare_reasoner(settings: ReasonerSettings, environment: Mapping[str, str]) -> Reasoner:
    from memoir_server.adapters.reasoner.asked import Structure

    if settings.adapter == OPENAI:
        from memoir_server.adapters.reasoner.openai import OpenAIOptions, OpenAIReasoner

        own = _own_host(settings.url)
        return OpenAIReasoner(
            OpenAIOptions(
                model=settings.model,
                url=settings.url,
                key=_reasoner_key(settings, environment, needed=own),
                structure=Structure(settings.structure or "schema"),
                length_field=settings.length_field or ("max_completion_tokens" if own else "max_tokens"),
                vision=settings.vision,
                seconds=settings.seconds,
                extra=settings.extra,
            )
        )
    from memoir_server.adapters.reasoner.anthropic import AnthropicOptions, AnthropicReasoner, Platform

    platform = {BEDROCK: Platform.BEDROCK, VERTEX: Platform.VERTEX}.get(settings.adapter, Platform.ANTHROPIC)
    return AnthropicReasoner(
        AnthropicOptions(
            model=settings.model,
            platform=platform,
            url=settings.url,
            key=_reasoner_key(settings, environment, needed=platform is Platform.ANTHROPIC),
            region=settings.region,
            project=settings.project,
            structure=Structure(settings.structure or "tool"),
            cache=settings.cache,
            vision=settings.vision,
            seconds=settings.seconds,
            extra=settings.extra,
        )
    )


def _reasoner_key(settings: ReasonerSettings, environment: Mapping[str, str], *, needed: bool) -> ProviderKey | None:
    return find_key(
        variable=settings.key_variable or _KEYS[settings.adapter],
        file=settings.key_file,
        environment=environment,
        section="reasoner",
        # A place that was named has to hold one.
        needed=needed or bool(settings.key_variable),
    )


def _prices(settings: ReasonerSettings) -> Prices | None:
    if not settings.input_price and not settings.output_price:
        return None
    return Prices(
        input=settings.input_price,
        output=settings.output_price,
        cached_input=settings.cached_price or None,
        cache_write=settings.cache_write_price or None,
    )


def build_remote_embedder(settings: EmbedderSettings, environment: Mapping[str, str] | None = None) -> Embedder:
    """The embedding model of the settings, at its servers in order, guarded and batched, without a cache. Raises
    SettingsError."""
    variables = os.environ if environment is None else environment
    try:
        places = [_place(settings, place, variables) for place in _places(settings)]
    except ModuleNotFoundError as missing:
        raise SettingsError(
            "embedder.adapter", settings.adapter, f"needs the package {missing.name}", 'install "memoir-server[models]"'
        ) from None
    except KeyMissing as missing_key:
        raise _no_key("embedder", settings.key_variable, missing_key) from None
    names = [settings.url or "OpenAI", *(place.url for place in settings.fallbacks)]
    portioned = PortionedEmbedder(
        FallbackEmbedder(places, names),
        max_items=settings.max_items,
        max_tokens=settings.max_request_tokens,
        max_text_tokens=settings.max_tokens,
    )
    return BatchingEmbedder(portioned, max_batch=settings.max_items, parallel=settings.concurrency)


def _places(settings: EmbedderSettings) -> tuple[FallbackSettings, ...]:
    first = FallbackSettings(url=settings.url, key_variable=settings.key_variable, key_file=settings.key_file)
    return (first, *settings.fallbacks)


def _place_key(
    settings: EmbedderSettings, place: FallbackSettings, environment: Mapping[str, str]
) -> ProviderKey | None:
    named = place.key_variable or settings.key_variable
    return find_key(
        variable=named or _OPENAI_KEY,
        file=place.key_file,
        environment=environment,
        section="embedder",
        # A place that was named has to hold one.
        needed=bool(named) or _own_host(place.url),
    )


def _place(settings: EmbedderSettings, place: FallbackSettings, environment: Mapping[str, str]) -> Embedder:
    from memoir_server.adapters.embedder.openai import OpenAIEmbedder, OpenAIEmbedderOptions

    embedder = OpenAIEmbedder(
        OpenAIEmbedderOptions(
            model=remote_model(settings),
            name=place.model,
            url=place.url,
            key=_place_key(settings, place, environment),
            max_tokens=settings.max_tokens,
            shorten=settings.shorten,
            encoding=settings.encoding,
            prefixes={EmbedKind.QUERY: settings.query_prefix, EmbedKind.DOCUMENT: settings.document_prefix},
            input_types={
                kind: name
                for kind, name in ((EmbedKind.QUERY, settings.query_type), (EmbedKind.DOCUMENT, settings.document_type))
                if name
            },
            seconds=settings.seconds,
        )
    )
    options = GuardOptions(
        concurrency=settings.concurrency,
        # Where there is another place, that is tried before this one is tried again.
        attempts=1 if settings.fallbacks else settings.attempts,
        seconds=settings.seconds,
        requests_per_minute=settings.requests_per_minute,
    )
    return GuardedEmbedder(embedder, options, address=embedder.address)


def remote_model(settings: EmbedderSettings) -> EmbeddingModel:
    """Identity of the vectors. What goes before a text makes another vector of it, so it is part of the version."""
    queries, documents = (
        (settings.query_prefix, settings.query_type),
        (settings.document_prefix, settings.document_type),
    )
    version = settings.version
    if any((*queries, *documents)):
        version += "-" + hashlib.sha256(repr((queries, documents)).encode()).hexdigest()[:8]
    return EmbeddingModel(
        name=settings.model, version=version, dimension=settings.dimension, asymmetric=queries != documents
    )


def _own_host(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return not url or any(host == own or (own.startswith(".") and host.endswith(own)) for own in _OWN_HOSTS)
