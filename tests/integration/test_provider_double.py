"""The double is spoken to by the vendors' own clients, unmodified: answers, streams, errors, usage."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from memoir_conformance.reasoner_suite import IMAGE, SCHEMA
from tests.provider_double import Breaks, Hangs, Match, ProviderDouble, Refuses, Said, Stop, Usage
from tests.provider_double.exchange import Asked, Exchange, Script

FACTS = '{"facts": [{"text": "Anna lebt in Köln, 猫", "since": null}]}'
FORM = json.loads(SCHEMA.document)
TOOL: Any = {"name": "facts", "description": "d", "input_schema": FORM}
FUNCTION: Any = {"type": "function", "function": {"name": "facts", "parameters": FORM}}
ASK: Any = [{"role": "user", "content": "Anna: Ich lebe in Köln"}]


@pytest.fixture
def double() -> Iterator[ProviderDouble]:
    with ProviderDouble() as double:
        yield double


@pytest.fixture
def claude(double: ProviderDouble) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=double.key, base_url=double.url, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def gpt(double: ProviderDouble) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=double.key, base_url=f"{double.url}/v1", max_retries=0, timeout=20) as client:
        yield client


def messages(claude: anthropic.Anthropic, **changes: Any) -> Any:
    request: dict[str, Any] = {"model": "claude-double", "max_tokens": 100, "messages": ASK} | changes
    return claude.messages.create(**request)


def chat(gpt: openai.OpenAI, **changes: Any) -> Any:
    request: dict[str, Any] = {"model": "gpt-double", "messages": ASK} | changes
    return gpt.chat.completions.create(**request)


def test_messages_with_a_tool(double: ProviderDouble, claude: anthropic.Anthropic) -> None:
    double.says(Said(output=FACTS, usage=Usage(input=50, output=9, cached=20, written=5)), form="facts")
    message = messages(claude, tools=[TOOL], tool_choice={"type": "tool", "name": "facts"})
    assert message.stop_reason == "tool_use"
    assert message.content[0].input == json.loads(FACTS)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (25, 9)
    assert (message.usage.cache_read_input_tokens, message.usage.cache_creation_input_tokens) == (20, 5)


def test_messages_as_a_stream(double: ProviderDouble, claude: anthropic.Anthropic) -> None:
    double.says(Said(output=FACTS, usage=Usage(input=50, output=9)))
    with claude.messages.stream(
        model="claude-double", max_tokens=100, messages=ASK, tools=[TOOL], tool_choice={"type": "tool", "name": "facts"}
    ) as stream:
        parts = [event.partial_json for event in stream if event.type == "input_json"]
        message = stream.get_final_message()
    assert "".join(parts) == FACTS
    assert len(parts) > 1
    assert message.content[0].type == "tool_use"
    assert message.content[0].input == json.loads(FACTS)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (50, 9)


def test_text_as_a_stream(double: ProviderDouble, claude: anthropic.Anthropic, gpt: openai.OpenAI) -> None:
    said = "a long answer that takes several events to arrive: 猫が好きです"
    double.says(said)
    with claude.messages.stream(model="claude-double", max_tokens=100, messages=ASK) as stream:
        assert "".join(stream.text_stream) == said
    chunks = list(chat(gpt, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == said
    assert chunks[-1].usage is not None
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_a_function_as_a_stream(double: ProviderDouble, gpt: openai.OpenAI) -> None:
    double.says(FACTS)
    forced: Any = {"type": "function", "function": {"name": "facts"}}
    chunks = list(chat(gpt, stream=True, tools=[FUNCTION], tool_choice=forced))
    calls = [call for c in chunks for call in c.choices[0].delta.tool_calls or ()]
    assert calls[0].function.name == "facts"
    assert "".join(call.function.arguments for call in calls) == FACTS


@pytest.mark.parametrize("client", ["claude", "gpt"])
def test_a_stream_that_breaks(double: ProviderDouble, request: pytest.FixtureRequest, client: str) -> None:
    double.says(Breaks(Said(output="word " * 100), 900))
    subject = request.getfixturevalue(client)
    with pytest.raises(Exception, match=r"(?i)incomplete|closed|peer|read|connection") as failure:
        list(messages(subject, stream=True) if client == "claude" else chat(subject, stream=True))
    assert not isinstance(failure.value, AssertionError)


def test_malformed_arguments_arrive_as_they_are(double: ProviderDouble, gpt: openai.OpenAI) -> None:
    double.says('{"facts": [')
    forced: Any = {"type": "function", "function": {"name": "facts"}}
    completion = chat(gpt, tools=[FUNCTION], tool_choice=forced)
    assert completion.choices[0].message.tool_calls[0].function.arguments == '{"facts": ['


def test_cut_and_declined(double: ProviderDouble, claude: anthropic.Anthropic, gpt: openai.OpenAI) -> None:
    double.says(Said(output="wor", stop=Stop.LENGTH))
    assert messages(claude).stop_reason == "max_tokens"
    assert chat(gpt).choices[0].finish_reason == "length"
    double.script.clear()
    double.says(Said(output="No.", stop=Stop.DECLINED))
    assert messages(claude).stop_reason == "refusal"
    assert chat(gpt).choices[0].message.refusal == "No."


@pytest.mark.parametrize(
    ("status", "of_anthropic", "of_openai"),
    [
        (400, anthropic.BadRequestError, openai.BadRequestError),
        (401, anthropic.AuthenticationError, openai.AuthenticationError),
        (403, anthropic.PermissionDeniedError, openai.PermissionDeniedError),
        (404, anthropic.NotFoundError, openai.NotFoundError),
        (429, anthropic.RateLimitError, openai.RateLimitError),
        (500, anthropic.InternalServerError, openai.InternalServerError),
        (529, anthropic.APIStatusError, openai.InternalServerError),
    ],
)
def test_errors_are_those_of_the_clients(
    double: ProviderDouble,
    claude: anthropic.Anthropic,
    gpt: openai.OpenAI,
    status: int,
    of_anthropic: type[anthropic.APIStatusError],
    of_openai: type[openai.APIStatusError],
) -> None:
    double.says(Refuses(status=status, retry_after="3"))
    with pytest.raises(of_anthropic) as first:
        messages(claude)
    assert first.value.response.headers["retry-after"] == "3"
    assert isinstance(first.value.body, dict)
    assert first.value.body["type"] == "error"
    with pytest.raises(of_openai) as second:
        chat(gpt)
    assert second.value.status_code == status


def test_a_wrong_key_is_refused_with_its_ends_shown(double: ProviderDouble) -> None:
    with (
        openai.OpenAI(api_key="sk-wrong-key-0123456789", base_url=f"{double.url}/v1", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match=r"sk-wrong\*+6789"),
    ):
        chat(client)
    assert double.asked() == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "must be non-empty"),
        ({"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, "does not match any"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "other"}}, "Tool 'other' not found"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}, "additionalProperties"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"media_type": "image/tiff"}}]}]},
            "media_type",
        ),
    ],
)
def test_requests_are_checked_as_anthropic_does(
    double: ProviderDouble, claude: anthropic.Anthropic, changes: dict[str, Any], problem: str
) -> None:
    double.says("fine")
    with pytest.raises(anthropic.BadRequestError, match=problem):
        messages(claude, **changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"messages": []}, "empty array"),
        ({"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, "Invalid content type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
            "data URL",
        ),
        ({"response_format": {"type": "json_object"}}, "must contain the word 'json'"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "not found in 'tools'"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "n",
                        "strict": True,
                        "schema": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {"a": {"type": "string"}},
                            "required": [],
                        },
                    },
                }
            },
            "every key in properties",
        ),
    ],
)
def test_requests_are_checked_as_openai_does(
    double: ProviderDouble, gpt: openai.OpenAI, changes: dict[str, Any], problem: str
) -> None:
    double.says("fine")
    with pytest.raises(openai.BadRequestError, match=problem):
        chat(gpt, **changes)


def test_embeddings_of_both_encodings_are_equal(double: ProviderDouble, gpt: openai.OpenAI) -> None:
    either: list[Any] = ["base64", "float"]
    first, second = (
        gpt.embeddings.create(model="embed", input=["a", "b"], encoding_format=encoding) for encoding in either
    )
    assert [e.index for e in first.data] == [1, 0], "an answer's order is not the request's"
    # Unless told otherwise, the client asks for base64 and decodes it.
    as_numbers = gpt.embeddings.create(model="embed", input=["a", "b"])
    assert [e.embedding for e in as_numbers.data] == [pytest.approx(e.embedding) for e in second.data]
    assert as_numbers.usage.total_tokens == 2


def test_images_are_decoded(double: ProviderDouble, claude: anthropic.Anthropic) -> None:
    double.says("a dot")
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(IMAGE).decode()}
    messages(claude, messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])
    assert double.asked()[0].images == (("image/png", IMAGE),)


def test_what_the_script_does_not_know_is_refused_and_kept(double: ProviderDouble, gpt: openai.OpenAI) -> None:
    double.says("other", model="another-model")
    with pytest.raises(openai.BadRequestError, match="no exchange"):
        chat(gpt)
    assert [asked.text for asked in double.unmatched] == ["Anna: Ich lebe in Köln"]


def test_another_path_is_not_found(double: ProviderDouble) -> None:
    with (
        openai.OpenAI(api_key=double.key, base_url=f"{double.url}/v9", max_retries=0) as client,
        pytest.raises(openai.NotFoundError),
    ):
        chat(client)


def test_a_client_that_gives_up_is_seen(double: ProviderDouble, gpt: openai.OpenAI) -> None:
    double.says(Hangs())
    with pytest.raises(openai.APITimeoutError):
        chat(gpt, timeout=0.3)
    until = time.monotonic() + 20
    while not double.calls[0].given_up and time.monotonic() < until:
        time.sleep(0.01)
    assert [call.given_up for call in double.calls] == [True]


def test_nothing_listens_after_it_ended() -> None:
    with ProviderDouble() as double:
        port = double.port
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_exchanges_are_chosen_in_order_and_used_up() -> None:
    script = Script()
    asked = Asked(api="chat", model="m", form="facts", system="sys", text="Anna and Ben")
    first, second, last = Said(output="1"), Said(output="2"), Said(output="3")
    script.add(
        Exchange(match=Match(contains=("Anna", "Carl")), answers=[Said(output="never")]),
        Exchange(match=Match(contains=("Anna", "sys"), form="facts"), answers=[first, second], once=True),
        Exchange(match=Match(api="chat"), answers=[last]),
    )
    assert [script.take(asked) for _ in range(4)] == [first, second, last, last]
    assert script.take(Asked(api="messages", model="m")) is None
