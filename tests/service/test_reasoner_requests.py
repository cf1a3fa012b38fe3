"""What each provider's API is sent, and the differences between servers of one API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from memoir_conformance.reasoner_suite import ANSWER, PLAIN, PROMPT, SCHEMA
from memoir_server.adapters.reasoner.anthropic import AnthropicOptions, AnthropicReasoner
from memoir_server.adapters.reasoner.asked import Structure
from memoir_server.app.providers import build_reasoner
from memoir_server.app.settings_models import ReasonerSettings
from memoir_server.ports.reasoner import Reasoner, ReasonerOutput, ReasonerRefused, ReasonerUnavailable
from tests.provider_double import Page, ProviderDouble, Said, Stop


@pytest.fixture
def double() -> Iterator[ProviderDouble]:
    with ProviderDouble() as double:
        double.says(ANSWER)
        yield double


def built(double: ProviderDouble, adapter: str, **changes: Any) -> Reasoner:
    path = "" if adapter in ("anthropic", "bedrock") else "/v1"
    settings = ReasonerSettings(
        adapter=adapter, model="m", url=double.url + path, key_variable="KEY", attempts=1, **changes
    )
    reasoner = build_reasoner(settings, {"KEY": double.key})
    assert reasoner is not None
    return reasoner


async def body(double: ProviderDouble, adapter: str, **changes: Any) -> Any:
    """Body of the request for `PROMPT`."""
    reasoner = built(double, adapter, **changes)
    assert (await reasoner.ask(PROMPT, namespace="n")).output == ANSWER
    await reasoner.close()
    return double.calls[-1].body


async def test_messages_with_a_forced_tool_and_a_cached_prefix(double: ProviderDouble) -> None:
    sent = await body(double, "anthropic", extra={"temperature": 0, "metadata": {"user_id": "u"}})
    form = sent["tools"][0]["input_schema"]
    assert sent == {
        "model": "m",
        "max_tokens": 300,
        "system": [{"type": "text", "text": "You extract facts.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Anna: Ich lebe in Köln."},
                    {"type": "text", "text": "Ben: 猫が好きです"},
                ],
            }
        ],
        "tools": [{"name": "facts", "description": SCHEMA.description, "input_schema": form}],
        "tool_choice": {"type": "tool", "name": "facts", "disable_parallel_tool_use": True},
        "temperature": 0,
        "metadata": {"user_id": "u"},
    }
    assert form["required"] == ["facts"]


async def test_messages_with_a_schema_for_models_that_always_think(double: ProviderDouble) -> None:
    sent = await body(double, "anthropic", structure="schema", extra={"thinking": {"type": "adaptive"}})
    assert "tools" not in sent
    assert sent["output_config"]["format"]["type"] == "json_schema"
    with pytest.raises(ReasonerRefused):
        await body(double, "anthropic", structure="tool", extra={"thinking": {"type": "adaptive"}})


async def test_chat_with_a_strict_schema(double: ProviderDouble) -> None:
    sent = await body(double, "openai", length_field="max_completion_tokens")
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert sent["response_format"]["json_schema"]["name"] == "facts"
    assert sent["max_completion_tokens"] == 300
    assert sent["messages"][0] == {"role": "system", "content": "You extract facts."}
    assert "tools" not in sent


async def test_local_servers_are_sent_max_tokens(double: ProviderDouble) -> None:
    sent = await body(double, "openai")
    assert sent["max_tokens"] == 300
    assert "max_completion_tokens" not in sent


async def test_chat_with_a_forced_function(double: ProviderDouble) -> None:
    sent = await body(double, "openai", structure="tool")
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "facts"}}
    assert "response_format" not in sent


async def test_chat_with_any_object_has_the_schema_in_the_prompt(double: ProviderDouble) -> None:
    sent = await body(double, "openai", structure="object")
    assert sent["response_format"] == {"type": "json_object"}
    assert SCHEMA.document in sent["messages"][0]["content"]


async def test_one_text_goes_as_text_for_servers_that_know_no_parts(double: ProviderDouble) -> None:
    reasoner = built(double, "openai")
    prompt = type(PROMPT)(name="p", version="1", system="", content=PROMPT.content[:1], schema=SCHEMA)
    await reasoner.ask(prompt, namespace="n")
    await reasoner.close()
    assert double.calls[-1].body["messages"] == [{"role": "user", "content": "Anna: Ich lebe in Köln."}]


async def test_a_server_that_knows_no_schemas_is_served_by_another_structure() -> None:
    with ProviderDouble(structures=("object",)) as double:
        double.says(ANSWER)
        for structure in ("schema", "tool"):
            reasoner = built(double, "openai", structure=structure)
            with pytest.raises(ReasonerRefused):
                await reasoner.ask(PROMPT, namespace="n")
            await reasoner.close()
        await body(double, "openai", structure="object")


async def test_a_model_that_wants_the_other_length_field() -> None:
    with ProviderDouble(length_fields=("max_completion_tokens",)) as double:
        double.says(ANSWER)
        reasoner = built(double, "openai")
        with pytest.raises(ReasonerRefused, match="unsupported_parameter"):
            await reasoner.ask(PROMPT, namespace="n")
        await reasoner.close()
        await body(double, "openai", length_field="max_completion_tokens")


async def test_a_server_without_a_key(double: ProviderDouble) -> None:
    double.key = "none"
    settings = ReasonerSettings(adapter="openai", model="m", url=f"{double.url}/v1")
    reasoner = build_reasoner(settings, {})
    assert reasoner is not None
    assert (await reasoner.ask(PROMPT, namespace="n")).output == ANSWER
    await reasoner.close()


async def test_an_unknown_model_is_named_with_its_settings() -> None:
    with ProviderDouble(models=["another"]) as double:
        for adapter in ("anthropic", "openai"):
            reasoner = built(double, adapter)
            with pytest.raises(ReasonerRefused, match=r"reasoner.url and reasoner.model"):
                await reasoner.ask(PROMPT, namespace="n")
            await reasoner.close()


async def test_a_model_that_cannot_see_refuses() -> None:
    with ProviderDouble(vision=False) as double:
        double.says("a dot")
        for adapter in ("anthropic", "openai"):
            reasoner = built(double, adapter)
            with pytest.raises(ReasonerRefused) as refusal:
                await reasoner.ask(PLAIN, namespace="n")
            assert refusal.value.status == 400
            await reasoner.close()


@pytest.mark.parametrize(
    ("page", "error"),
    [
        ('{"error": {"code": 502, "message": "upstream"}}', ReasonerUnavailable),
        ('{"error": {"code": 402, "message": "no credit"}}', ReasonerRefused),
        ('{"error": {"code": "odd"}}', ReasonerRefused),
        ('{"choices": []}', ReasonerRefused),
        ('{"choices": [{"message": {"content": ["odd"]}}]}', ReasonerRefused),
    ],
)
async def test_a_gateway_that_fails_with_200(page: str, error: type[Exception]) -> None:
    with ProviderDouble() as double:
        double.says(Page(page, content_type="application/json"))
        reasoner = built(double, "openai")
        with pytest.raises(error):
            await reasoner.ask(PROMPT, namespace="n")
        await reasoner.close()


async def test_arguments_that_come_as_an_object() -> None:
    page = (
        '{"choices": [{"message": {"tool_calls": [{"function": {"name": "facts", "arguments": {"facts": []}}}]}, '
        '"finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 5, "completion_tokens": 2, '
        '"prompt_cache_hit_tokens": 3}}'
    )
    with ProviderDouble() as double:
        double.says(Page(page, content_type="application/json"))
        reasoner = built(double, "openai", structure="tool")
        reply = await reasoner.ask(PROMPT, namespace="n")
        await reasoner.close()
    assert reply.output == '{"facts": []}'
    assert reply.model == "m"
    assert (reply.usage.input, reply.usage.cached_input) == (5, 3)


async def test_a_schema_answer_that_was_declined(double: ProviderDouble) -> None:
    double.script.clear()
    double.says(Said(output="I can not help.", stop=Stop.DECLINED))
    reasoner = built(double, "openai")
    with pytest.raises(ReasonerOutput) as failure:
        await reasoner.ask(PROMPT, namespace="n")
    await reasoner.close()
    assert failure.value.declined


@pytest.mark.parametrize("variables", [{"AWS_ACCESS_KEY_ID": "AKIADOUBLE0000000000", "AWS_SECRET_ACCESS_KEY": "s"}])
async def test_bedrock_signs_with_the_clouds_own_credentials(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    with ProviderDouble(key=variables["AWS_ACCESS_KEY_ID"]) as double:
        double.says(ANSWER)
        settings = ReasonerSettings(adapter="bedrock", model="anthropic.m", region="eu-west-1", url=double.url)
        reasoner = build_reasoner(settings, {})
        assert reasoner is not None
        assert (await reasoner.ask(PROMPT, namespace="n")).output == ANSWER
        await reasoner.close()
        (call,) = double.calls
    assert call.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIADOUBLE0000000000/")
    assert "/eu-west-1/bedrock/aws4_request" in call.headers["Authorization"]


def test_a_structure_the_api_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="object"):
        AnthropicReasoner(AnthropicOptions(model="m", structure=Structure.OBJECT))
