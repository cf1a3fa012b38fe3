"""Settings of mode INFER: what may be remembered, per namespace, and how much work that may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from memoir_server.app.settings_values import SettingsError, check_namespace, nearest
from memoir_server.domain.errors import FieldInvalid
from memoir_server.domain.inference.policy import (
    INFERRED_KINDS,
    ConflictRule,
    DataRule,
    Policies,
    Policy,
    checked_instruction,
)
from memoir_server.domain.memory import MemoryKind

_KINDS = {kind.name.lower(): kind for kind in sorted(INFERRED_KINDS)}

Rule = TypeVar("Rule", DataRule, ConflictRule)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """How a namespace remembers, as far as it differs from the others; None: as `inference` itself says."""

    instruction: str | None = None
    kinds: tuple[str, ...] | None = None
    language: str | None = None
    personal: str | None = None
    secrets: str | None = None
    conflicts: str | None = None

    def public(self) -> dict[str, object]:
        """What is set, as shown to an operator."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceSettings:
    """Mode INFER."""

    instruction: str = ""
    """What extraction has to heed besides, such as "only what concerns the user's health"; at most 2,048 characters."""
    kinds: tuple[str, ...] = tuple(_KINDS)
    """Kinds of memories that are kept."""
    language: str = ""
    """Language of the memories, such as "en" or "pt-BR"; empty: that of the conversation."""
    personal: str = "keep"
    """Addresses, phone numbers, IBANs, card numbers and the like: "keep", "mask" or "drop"."""
    secrets: str = "drop"
    """The same of passwords, keys and tokens."""
    conflicts: str = "newest"
    """Which of two statements that contradict each other stands: "newest", "confidence" or "keep-both"."""
    namespaces: Mapping[str, PolicySettings] = field(default_factory=dict)
    """The same for single namespaces."""
    window_tokens: int = 6000
    """Tokens of the messages of one question; longer input is asked about in portions."""
    context_tokens: int = 800
    """Tokens of earlier messages that a question shows besides."""
    max_windows: int = 32
    """Portions that one add may have; a larger one is refused."""
    cosine: float = 0.35
    """Cosine from which a stored memory may be about the same thing as a new fact, and is reconciled with it; -1: the
    nearest always are."""
    nearest: int = 6
    """Stored memories looked at for each new fact."""

    def check(self) -> None:
        """Raises SettingsError."""
        self.policies()
        for name, minimum in (("window_tokens", 200), ("context_tokens", 0), ("max_windows", 1), ("nearest", 1)):
            value = getattr(self, name)
            if value < minimum:
                raise SettingsError(f"inference.{name}", value, f"is below {minimum}", f"give {minimum} or more")
        # So written that NaN is refused too.
        if not -1 <= self.cosine <= 1:
            raise SettingsError("inference.cosine", self.cosine, "is not a cosine", "give one from -1 to 1")

    def policies(self) -> Policies:
        """The policy of each namespace. Raises SettingsError."""
        own = PolicySettings(**{entry.name: getattr(self, entry.name) for entry in fields(PolicySettings)})
        default = _policy("inference", own, Policy())
        return Policies(
            default,
            {name: _policy(f"inference.namespaces.{name}", given, default) for name, given in self.namespaces.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestionSettings:
    """Inference that goes on after its call."""

    workers: int = 4
    """Ingestions that this server works on at once."""
    give_up_seconds: float = 86_400.0
    """How long accepted work waits for a model that is out of reach, before its messages are kept as they are."""

    def check(self) -> None:
        """Raises SettingsError."""
        if self.workers < 1:
            raise SettingsError("ingestion.workers", self.workers, "is below 1", "give 1 or more")
        if not self.give_up_seconds >= 0:
            raise SettingsError("ingestion.give_up_seconds", self.give_up_seconds, "is below 0", "give 0 or more")


def read_words(key: str, value: Any) -> tuple[str, ...]:
    """A list of texts, from TOML or decoded JSON. Raises SettingsError."""
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise SettingsError(key, value, "is not a list of texts", f"write one such as {list(_KINDS)}")
    return tuple(value)


def read_policies(key: str, value: Any) -> dict[str, PolicySettings]:
    """A table of tables, from TOML or decoded JSON. Raises SettingsError."""
    if not isinstance(value, dict):
        raise SettingsError(key, value, "is not a table", f"write [{key}.NAMESPACE] and its keys below it")
    names = [entry.name for entry in fields(PolicySettings)]
    found = {}
    for namespace, table in value.items():
        path = f"{key}.{namespace}"
        check_namespace(path, namespace, table)
        if not isinstance(table, dict):
            raise SettingsError(path, table, "is not a table", f"write [{path}] and its keys below it")
        for name, given in table.items():
            if name not in names:
                raise SettingsError(f"{path}.{name}", given, "is not a setting", nearest(name, names))
            if name != "kinds" and not isinstance(given, str):
                raise SettingsError(f"{path}.{name}", given, "is not text", 'put it in quotes: "..."')
        kinds = {"kinds": read_words(f"{path}.kinds", table["kinds"])} if "kinds" in table else {}
        found[namespace] = PolicySettings(**(table | kinds))
    return found


def _policy(path: str, given: PolicySettings, base: Policy) -> Policy:
    policy = base
    if given.instruction is not None:
        policy = replace(policy, instructions=_instructions(path, given.instruction))
    if given.kinds is not None:
        policy = replace(policy, kinds=_kinds(f"{path}.kinds", given.kinds))
    if given.language is not None:
        try:
            policy = replace(policy, language=given.language)
        except ValueError:
            raise SettingsError(
                f"{path}.language", given.language, "is not a language tag", 'give one such as "en" or "pt-BR", or ""'
            ) from None
    if given.personal is not None:
        policy = replace(policy, personal=_rule(f"{path}.personal", given.personal, DataRule))
    if given.secrets is not None:
        policy = replace(policy, secrets=_rule(f"{path}.secrets", given.secrets, DataRule))
    if given.conflicts is not None:
        policy = replace(policy, conflicts=_rule(f"{path}.conflicts", given.conflicts, ConflictRule))
    return policy


def _instructions(path: str, instruction: str) -> tuple[str, ...]:
    if not instruction.strip():
        return ()
    try:
        return (checked_instruction(instruction, f"{path}.instruction"),)
    except FieldInvalid as problem:
        raise SettingsError(
            f"{path}.instruction", "...", problem.problem.replace(":", ";"), "give at most 2,048 plain characters"
        ) from None


def _kinds(key: str, names: tuple[str, ...]) -> frozenset[MemoryKind]:
    for name in names:
        if name not in _KINDS:
            raise SettingsError(key, name, "is no kind that inference makes", f"use some of {', '.join(_KINDS)}")
    if not names:
        raise SettingsError(key, [], "keeps nothing", f"give some of {', '.join(_KINDS)}")
    return frozenset(_KINDS[name] for name in names)


def _rule(key: str, value: str, rules: type[Rule]) -> Rule:
    try:
        return rules(value)
    except ValueError:
        raise SettingsError(key, value, "is not known", f"use {', '.join(rule.value for rule in rules)}") from None
