"""Which provider is asked: that of the environment's settings, or the first whose key is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from memoir_server.app.settings import Settings
from memoir_server.app.settings_models import OPENAI, EmbedderSettings, ReasonerSettings

MODEL_VARIABLE: Final = "MEMOIR_LIVE_MODEL"
_USUAL: Final = (
    (ReasonerSettings(adapter="anthropic", model="claude-haiku-4-5"), "ANTHROPIC_API_KEY"),
    (ReasonerSettings(adapter=OPENAI, model="gpt-5-mini", extra={"reasoning_effort": "low"}), "OPENAI_API_KEY"),
)
_HOSTS: Final = {"anthropic": "https://api.anthropic.com", OPENAI: "https://api.openai.com/v1"}


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked. `upstream`: scheme and host of its address; empty where requests are signed for their host, so
    that nothing can stand between."""

    settings: ReasonerSettings
    upstream: str

    def through(self, url: str) -> ReasonerSettings:
        """The same model by way of another address, which passes requests on."""
        real = urlsplit(self.settings.url or _HOSTS[self.settings.adapter])
        between = urlsplit(url)
        return replace(
            self.settings,
            url=urlunsplit((between.scheme, between.netloc, real.path, "", "")),
            # What follows from the real address has to be said where another stands in its place.
            length_field=self.settings.length_field or ("max_completion_tokens" if not self.settings.url else ""),
        )


def reasoner_target(environment: Mapping[str, str]) -> Target | None:
    """The language model to ask; None where there is no key."""
    settings = Settings.load(None, _of("REASONER", environment)).reasoner
    if not settings.enabled:
        usual = next((chosen for chosen, variable in _USUAL if environment.get(variable)), None)
        if usual is None:
            return None
        settings = replace(usual, model=environment.get(MODEL_VARIABLE) or usual.model)
    if settings.adapter not in _HOSTS:
        return Target(settings, "")
    parts = urlsplit(settings.url or _HOSTS[settings.adapter])
    return Target(settings, f"{parts.scheme}://{parts.netloc}")


def embedder_target(environment: Mapping[str, str]) -> EmbedderSettings | None:
    """The embedding service to ask; None where none is set."""
    settings = Settings.load(None, _of("EMBEDDER", environment)).embedder
    return settings if settings.adapter else None


def _of(section: str, environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(f"MEMOIR_{section}__")}
