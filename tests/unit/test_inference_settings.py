"""Settings of mode INFER: policies per namespace, what is refused, what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from memoir_server.app.settings import Settings, SettingsError
from memoir_server.domain.inference.policy import INFERRED_KINDS, ConflictRule, DataRule, Policy
from memoir_server.domain.memory import MemoryKind


def load(tmp_path: Path, text: str, **environment: str) -> Settings:
    path = tmp_path / "memoir.toml"
    path.write_text(text)
    return Settings.load(path, environment)


def test_without_settings_the_policy_is_the_usual_one() -> None:
    policies = Settings().inference.policies()
    assert policies.default == policies.of("any") == Policy()
    assert policies.default.kinds == INFERRED_KINDS


def test_a_namespace_says_only_what_differs(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [inference]
        instruction = "only what concerns health"
        language = "en"
        personal = "mask"
        [inference.namespaces.clinic]
        conflicts = "keep-both"
        kinds = ["fact", "event"]
        [inference.namespaces.chat]
        instruction = ""
        language = ""
        personal = "keep"
        """,
    )
    policies = settings.inference.policies()
    clinic, chat = policies.of("clinic"), policies.of("chat")
    assert policies.of("other") == Policy(
        instructions=("only what concerns health",), language="en", personal=DataRule.MASK
    )
    assert clinic.instructions == ("only what concerns health",)
    assert clinic.conflicts is ConflictRule.KEEP_BOTH
    assert clinic.kinds == {MemoryKind.FACT, MemoryKind.EVENT}
    assert clinic.personal is DataRule.MASK
    assert chat == Policy()
    assert settings.public()["inference.namespaces"] == {
        "clinic": {"conflicts": "keep-both", "kinds": ["fact", "event"]},
        "chat": {"instruction": "", "language": "", "personal": "keep"},
    }


def test_the_same_from_the_environment(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "",
        MEMOIR_INFERENCE__KINDS='["preference"]',
        MEMOIR_INFERENCE__NAMESPACES='{"chat": {"secrets": "mask"}}',
        MEMOIR_INGESTION__WORKERS="2",
    )
    assert settings.inference.policies().of("chat").kinds == {MemoryKind.PREFERENCE}
    assert settings.inference.policies().of("chat").secrets is DataRule.MASK
    assert settings.ingestion.workers == 2


@pytest.mark.parametrize(
    ("text", "key", "fix"),
    [
        (f'[inference]\ninstruction = "{"x" * 2049}"', "inference.instruction", "2,048"),
        ('[inference]\ninstruction = "a\\u0000b"', "inference.instruction", "plain characters"),
        ('[inference]\nkinds = ["facts"]', "inference.kinds", "fact, preference, event, procedure"),
        ('[inference]\nkinds = ["episode"]', "inference.kinds", "fact, preference"),
        ("[inference]\nkinds = []", "inference.kinds", "give some of"),
        ('[inference]\nkinds = "fact"', "inference.kinds", "in the environment, write"),
        ("[inference]\nkinds = [1]", "inference.kinds", "write one such as"),
        ('[inference]\nlanguage = "English please"', "inference.language", "pt-BR"),
        ('[inference]\npersonal = "hide"', "inference.personal", "keep, mask, drop"),
        ('[inference]\nsecrets = "hide"', "inference.secrets", "keep, mask, drop"),
        ('[inference]\nconflicts = "oldest"', "inference.conflicts", "newest, confidence, keep-both"),
        ("[inference]\nwindow_tokens = 10", "inference.window_tokens", "200 or more"),
        ("[inference]\ncontext_tokens = -1", "inference.context_tokens", "0 or more"),
        ("[inference]\nmax_windows = 0", "inference.max_windows", "1 or more"),
        ("[inference]\nnearest = 0", "inference.nearest", "1 or more"),
        ("[inference]\ncosine = 1.5", "inference.cosine", "from -1 to 1"),
        ("[inference]\ncosine = nan", "inference.cosine", "from -1 to 1"),
        ("[inference]\nnamespaces = 1", "inference.namespaces", "[inference.namespaces.NAMESPACE]"),
        ("[inference.namespaces]\nchat = 1", "inference.namespaces.chat", "[inference.namespaces.chat]"),
        ("[inference.namespaces.Chat]", "inference.namespaces.Chat", "lower-case"),
        ("[inference.namespaces.chat]\nlanguag = 'en'", "inference.namespaces.chat.languag", "did you mean language"),
        ("[inference.namespaces.chat]\nlanguage = 1", "inference.namespaces.chat.language", "in quotes"),
        ("[inference.namespaces.chat]\nkinds = 'fact'", "inference.namespaces.chat.kinds", "write one such as"),
        ("[inference.namespaces.chat]\npersonal = 'no'", "inference.namespaces.chat.personal", "keep, mask, drop"),
        ("[ingestion]\nworkers = 0", "ingestion.workers", "1 or more"),
        ("[ingestion]\ngive_up_seconds = -1", "ingestion.give_up_seconds", "0 or more"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, key: str, fix: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(tmp_path, text)
    assert refusal.value.key == key
    assert fix in refusal.value.fix
