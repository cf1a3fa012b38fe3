"""Every reasoner keeps the same contract, over the vendors' own clients and the wire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from memoir_conformance.reasoner_suite import ANSWER, ReasonerSuite, Stage
from memoir_server.adapters.provider.key import ProviderKey
from memoir_server.adapters.reasoner.anthropic import AnthropicOptions, AnthropicReasoner, Platform
from memoir_server.adapters.reasoner.asked import Structure
from memoir_server.adapters.reasoner.openai import OpenAIOptions, OpenAIReasoner
from memoir_server.ports.reasoner import Reasoner
from tests.provider_double import Breaks, Exchange, Hangs, Page, ProviderDouble, Refuses, Said, Stop


class DoubleStage(Stage):
    def __init__(self, double: ProviderDouble) -> None:
        self.double = double

    @property
    def key(self) -> str:
        return self.double.key

    def named(self, key: str | None) -> ProviderKey:
        return ProviderKey(self.key if key is None else key, "environment variable PROVIDER_KEY")

    def says(self, *outputs: str) -> None:
        self.double.says(*outputs)

    def cuts(self, output: str) -> None:
        self.double.says(Said(output=output, stop=Stop.LENGTH))

    def declines(self, output: str) -> None:
        self.double.says(Said(output=output, stop=Stop.DECLINED))

    def fails(self, *statuses: int, retry_after: str = "", code: str = "", message: str = "") -> None:
        answers = [Refuses(status=s, retry_after=retry_after, code=code, message=message) for s in statuses]
        self.double.script.add(Exchange(answers=answers, once=True))

    def hangs(self) -> None:
        self.double.says(Hangs())

    def breaks(self, *, after: int) -> None:
        self.double.script.add(Exchange(answers=[Breaks(Said(output=ANSWER), after)], once=True))

    def shows_a_page(self) -> None:
        self.double.says(Page("<html>sign in</html>"))

    def ends(self) -> None:
        self.double.stop()

    @property
    def requests(self) -> int:
        return len(self.double.calls)

    @property
    def given_up(self) -> int:
        return sum(call.given_up for call in self.double.calls)

    @property
    def system(self) -> str:
        return self.double.asked()[-1].system

    @property
    def texts(self) -> str:
        return self.double.asked()[-1].text

    @property
    def images(self) -> Sequence[tuple[str, bytes]]:
        return self.double.asked()[-1].images


class AnthropicStage(DoubleStage):
    structure = Structure.TOOL

    def reasoner(self, *, key: str | None = None, vision: bool = True) -> Reasoner:
        return AnthropicReasoner(self.options(key=self.named(key), vision=vision))

    def options(self, **changes: Any) -> AnthropicOptions:
        return AnthropicOptions(
            model="claude-double", url=self.double.url, structure=self.structure, seconds=20, **changes
        )


class BedrockStage(AnthropicStage):
    def options(self, **changes: Any) -> AnthropicOptions:
        return AnthropicOptions(
            model="anthropic.claude-double-v1:0",
            platform=Platform.BEDROCK,
            region="us-east-1",
            url=self.double.url,
            seconds=20,
            **changes,
        )


class VertexStage(AnthropicStage):
    def options(self, **changes: Any) -> AnthropicOptions:
        return AnthropicOptions(
            model="claude-double@20260101",
            platform=Platform.VERTEX,
            region="europe-west1",
            project="a-project",
            url=f"{self.double.url}/v1",
            seconds=20,
            **changes,
        )


class AnthropicSchemaStage(AnthropicStage):
    structure = Structure.SCHEMA


class OpenAIStage(DoubleStage):
    structure = Structure.SCHEMA

    def reasoner(self, *, key: str | None = None, vision: bool = True) -> Reasoner:
        return OpenAIReasoner(
            OpenAIOptions(
                model="gpt-double",
                url=f"{self.double.url}/v1",
                key=self.named(key),
                structure=self.structure,
                vision=vision,
                seconds=20,
            )
        )


class OpenAIToolStage(OpenAIStage):
    structure = Structure.TOOL


class OpenAIObjectStage(OpenAIStage):
    structure = Structure.OBJECT


class TestReasoners(ReasonerSuite):
    @pytest.fixture(
        params=[
            AnthropicStage,
            AnthropicSchemaStage,
            BedrockStage,
            VertexStage,
            OpenAIStage,
            OpenAIToolStage,
            OpenAIObjectStage,
        ],
        ids=lambda stage: stage.__name__.removesuffix("Stage"),
    )
    def stage(self, request: pytest.FixtureRequest) -> Iterator[Stage]:
        with ProviderDouble() as double:
            yield request.param(double)
            assert double.unmatched == []
