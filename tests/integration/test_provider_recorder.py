"""The recorder passes on what it is sent, and keeps what went over the wire, without keys."""

from __future__ import annotations

import anthropic
import openai
import pytest

from tests.provider_double import ProviderDouble, Refuses
from tests.provider_double.recorder import Recorder


def test_what_passes_is_kept_without_keys() -> None:
    with ProviderDouble() as double, Recorder(double.url) as recorder:
        double.says("an answer of some length", Refuses(status=429, retry_after="7"))
        with openai.OpenAI(api_key=double.key, base_url=f"{recorder.url}/v1", max_retries=0) as gpt:
            completion = gpt.chat.completions.create(model="m", messages=[{"role": "user", "content": "Grüße"}])
        assert completion.choices[0].message.content == "an answer of some length"
        with (
            anthropic.Anthropic(api_key=double.key, base_url=recorder.url, max_retries=0) as claude,
            pytest.raises(anthropic.RateLimitError) as busy,
        ):
            claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}])
        assert busy.value.response.headers["retry-after"] == "7"
        first, second = recorder.recorded
        assert (first.path, first.status) == ("/v1/chat/completions", 200)
        assert first.request["messages"][0]["content"] == "Grüße"
        assert first.response["choices"][0]["message"]["content"] == "an answer of some length"
        assert (second.path, second.status) == ("/v1/messages", 429)
        assert second.response["error"]["type"] == "rate_limit_error"
        assert double.key not in repr(recorder.recorded)
