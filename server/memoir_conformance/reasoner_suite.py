"""What every reasoner owes its callers, as one suite: subclass it, and give it a ``stage`` fixture."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import pytest

from memoir_server.domain.reasoning import ImagePart, JsonSchema, Prompt, TextPart
from memoir_server.ports.reasoner import (
    Reasoner,
    ReasonerError,
    ReasonerOutput,
    ReasonerRefused,
    ReasonerTimeout,
    ReasonerUnavailable,
)
from memoir_server.service.guard import GuardOptions
from memoir_server.service.reasoning import GuardedReasoner

SCHEMA = JsonSchema.of(
    "facts",
    "The facts of a conversation.",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["facts"],
        "properties": {
            "facts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["text", "since"],
                    "properties": {"text": {"type": "string"}, "since": {"type": ["string", "null"]}},
                },
            }
        },
    },
)
ANSWER = '{"facts": [{"text": "Anna lebt in Köln", "since": null}]}'
PROMPT = Prompt(
    name="extract",
    version="7",
    system="You extract facts.",
    content=(TextPart("Anna: Ich lebe in Köln."), TextPart("Ben: 猫が好きです")),
    schema=SCHEMA,
    max_output=300,
)
IMAGE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000154a24f"
    "5d0000000049454e44ae426082"
)
PLAIN = Prompt(
    name="describe", version="1", system="", content=(ImagePart(IMAGE, "image/png"), TextPart("What is this?"))
)
SECONDS = 20.0
"""The longest any step may take."""


class Stage(ABC):
    """The service behind a reasoner: what it is told to do, and what it was asked. It may be a double, or the real
    service behind something that can fail on demand."""

    @property
    @abstractmethod
    def key(self) -> str:
        """The key it accepts."""

    @abstractmethod
    def reasoner(self, *, key: str | None = None, vision: bool = True) -> Reasoner:
        """A new reasoner of the adapter, unguarded; `key` None: the right one."""

    @abstractmethod
    def says(self, *outputs: str) -> None:
        """Answers the coming questions, one after the other; the last one stays."""

    @abstractmethod
    def cuts(self, output: str) -> None:
        """Answers, and stops at the limit of length."""

    @abstractmethod
    def declines(self, output: str) -> None:
        """Refuses to answer the content, in the way the provider's models do."""

    @abstractmethod
    def fails(self, *statuses: int, retry_after: str = "", code: str = "", message: str = "") -> None:
        """Answers so many coming questions with these statuses, in the provider's form."""

    @abstractmethod
    def hangs(self) -> None:
        """Does not answer any more."""

    @abstractmethod
    def breaks(self, *, after: int) -> None:
        """Breaks the connection after so many bytes of the next answer."""

    @abstractmethod
    def shows_a_page(self) -> None:
        """Answers 200 with a page of HTML, as a proxy might."""

    @abstractmethod
    def ends(self) -> None:
        """Listens no more."""

    @property
    @abstractmethod
    def requests(self) -> int:
        """Requests that arrived."""

    @property
    @abstractmethod
    def given_up(self) -> int:
        """Requests that the client ended before they were answered."""

    @property
    @abstractmethod
    def system(self) -> str:
        """System text of the last request, as far as it is the prompt's."""

    @property
    @abstractmethod
    def texts(self) -> str:
        """Texts of the last request's content, one per line."""

    @property
    @abstractmethod
    def images(self) -> Sequence[tuple[str, bytes]]:
        """Images of the last request: media type and bytes."""


class ReasonerSuite:
    """Contract of :class:`memoir_server.ports.reasoner.Reasoner`."""

    @pytest.fixture
    def stage(self) -> Stage:
        raise NotImplementedError("the subclass gives the stage")

    def guarded(self, stage: Stage, *, attempts: int = 3, concurrency: int = 4, seconds: float = SECONDS) -> Reasoner:
        """The reasoner as a server has it."""
        options = GuardOptions(
            attempts=attempts,
            concurrency=concurrency,
            seconds=seconds,
            first_pause=0.001,
            longest_pause=2.0,
            breaker_threshold=100,
        )
        return GuardedReasoner(stage.reasoner(), options)

    async def test_an_answer_in_the_form_asked_for(self, stage: Stage) -> None:
        stage.says(ANSWER)
        reasoner = self.guarded(stage)
        reply = await reasoner.ask(PROMPT, namespace="n")
        assert reply.output == ANSWER
        assert reply.model
        assert reply.stop_reason
        assert reply.attempts == stage.requests == 1
        assert reply.usage.input > 0
        assert reply.usage.output > 0
        assert reply.usage.cached_input + reply.usage.cache_write <= reply.usage.input
        await reasoner.close()

    async def test_plain_text(self, stage: Stage) -> None:
        stage.says("a red bicycle, {not} json")
        reasoner = self.guarded(stage)
        prompt = Prompt(name="p", version="1", system="s", content=(TextPart("t"),))
        assert (await reasoner.ask(prompt, namespace="n")).output == "a red bicycle, {not} json"
        await reasoner.close()

    async def test_the_prompt_arrives_whole_and_in_order(self, stage: Stage) -> None:
        stage.says(ANSWER)
        reasoner = self.guarded(stage)
        await reasoner.ask(PROMPT, namespace="secret-tenant")
        assert stage.system.startswith(PROMPT.system)
        assert stage.texts == "Anna: Ich lebe in Köln.\nBen: 猫が好きです"
        assert "secret-tenant" not in stage.system + stage.texts
        await reasoner.close()

    async def test_a_lone_surrogate_does_not_stop_a_request(self, stage: Stage) -> None:
        stage.says(ANSWER)
        reasoner = self.guarded(stage)
        prompt = Prompt(name="p", version="1", system="s", content=(TextPart("broken \ud800 text"),), schema=SCHEMA)
        await reasoner.ask(prompt, namespace="n")
        assert stage.texts.startswith("broken ")
        await reasoner.close()

    async def test_images_arrive(self, stage: Stage) -> None:
        stage.says("a dot")
        reasoner = self.guarded(stage)
        assert (await reasoner.ask(PLAIN, namespace="n")).output == "a dot"
        assert list(stage.images) == [("image/png", IMAGE)]
        await reasoner.close()

    async def test_a_model_that_cannot_see_is_not_sent_images(self, stage: Stage) -> None:
        reasoner = stage.reasoner(vision=False)
        with pytest.raises(ReasonerRefused, match="images"):
            await reasoner.ask(PLAIN, namespace="n")
        assert stage.requests == 0
        await reasoner.close()

    @pytest.mark.parametrize("output", ["", "   ", "no json", '{"facts": [', "[1]", '"text"', "null", '{"a": 1} {"b"'])
    async def test_what_is_no_json_object_is_useless_and_counted(self, stage: Stage, output: str) -> None:
        stage.says(output)
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerOutput) as failure:
            await reasoner.ask(PROMPT, namespace="n")
        assert not failure.value.cut
        # A tool's input is handed over without the quotes where it is a string.
        assert failure.value.output.strip('"') == output.strip().strip('"')
        assert failure.value.usage.input > 0
        assert failure.value.attempts == stage.requests == 1, "an answer that came is not asked for again"
        await reasoner.close()

    async def test_a_cut_answer_is_told_from_others(self, stage: Stage) -> None:
        stage.cuts('{"facts": [{"text": "Anna li')
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerOutput) as failure:
            await reasoner.ask(PROMPT, namespace="n")
        assert failure.value.cut
        assert failure.value.usage.output > 0
        await reasoner.close()

    async def test_a_model_that_declines(self, stage: Stage) -> None:
        stage.declines("I will not.")
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerOutput) as failure:
            await reasoner.ask(PROMPT, namespace="n")
        assert failure.value.declined
        await reasoner.close()

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
    async def test_what_will_never_be_taken_is_refused_at_once(self, stage: Stage, status: int) -> None:
        stage.fails(status)
        stage.says(ANSWER)
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerRefused) as failure:
            await reasoner.ask(PROMPT, namespace="n")
        assert failure.value.status == status
        assert failure.value.too_large == (status == 413)
        assert failure.value.fix
        assert failure.value.attempts == stage.requests == 1
        await reasoner.close()

    @pytest.mark.parametrize("message", ["prompt is too long: 210000 tokens > 200000", "context_length_exceeded"])
    async def test_a_request_too_large_is_told_from_a_wrong_one(self, stage: Stage, message: str) -> None:
        stage.fails(400, message=message)
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerRefused) as failure:
            await reasoner.ask(PROMPT, namespace="n")
        assert failure.value.too_large
        await reasoner.close()

    @pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
    async def test_what_passes_is_asked_again(self, stage: Stage, status: int) -> None:
        stage.fails(status, status)
        stage.says(ANSWER)
        reasoner = self.guarded(stage)
        reply = await reasoner.ask(PROMPT, namespace="n")
        assert reply.output == ANSWER
        assert reply.attempts == stage.requests == 3
        await reasoner.close()

    async def test_it_is_not_asked_for_ever(self, stage: Stage) -> None:
        stage.fails(500, 500, 500, 500)
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerUnavailable) as failure:
            await reasoner.ask(PROMPT, namespace="n")
        assert failure.value.attempts == stage.requests == 3
        await reasoner.close()

    async def test_the_service_says_when_to_come_back(self, stage: Stage) -> None:
        stage.fails(429, retry_after="37")
        stage.says(ANSWER)
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerUnavailable) as failure:
            await reasoner.ask(PROMPT, namespace="n")
        assert failure.value.retry_after == 37
        assert failure.value.busy
        assert stage.requests == 1, "no answer is worth so long a wait within the call"
        await reasoner.close()

    async def test_an_account_without_credit_is_not_asked_again(self, stage: Stage) -> None:
        stage.fails(429, code="insufficient_quota", message="You exceeded your current quota")
        stage.says(ANSWER)
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerRefused, match="credit"):
            await reasoner.ask(PROMPT, namespace="n")
        assert stage.requests == 1
        await reasoner.close()

    @pytest.mark.parametrize("after", [0, 40])
    async def test_a_broken_connection_is_tried_again(self, stage: Stage, after: int) -> None:
        stage.breaks(after=after)
        stage.says(ANSWER)
        reasoner = self.guarded(stage)
        assert (await reasoner.ask(PROMPT, namespace="n")).attempts == 2
        await reasoner.close()

    async def test_a_service_that_is_not_there(self, stage: Stage) -> None:
        stage.ends()
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerUnavailable) as failure:
            await reasoner.ask(PROMPT, namespace="n")
        assert failure.value.attempts == 3
        assert reasoner.model in str(failure.value)
        await reasoner.close()

    async def test_something_else_that_answers(self, stage: Stage) -> None:
        stage.shows_a_page()
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerRefused, match="does not answer as its API would"):
            await reasoner.ask(PROMPT, namespace="n")
        await reasoner.close()

    async def test_the_deadline_ends_the_request(self, stage: Stage) -> None:
        stage.hangs()
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerTimeout):
            await reasoner.ask(PROMPT, namespace="n", deadline=asyncio.get_running_loop().time() + 0.3)
        await _until(lambda: stage.given_up == 1)
        await reasoner.close()

    async def test_a_deadline_that_has_passed_asks_nothing(self, stage: Stage) -> None:
        stage.says(ANSWER)
        reasoner = self.guarded(stage)
        with pytest.raises(ReasonerUnavailable):
            await reasoner.ask(PROMPT, namespace="n", deadline=asyncio.get_running_loop().time() - 1)
        assert stage.requests == 0
        await reasoner.close()

    async def test_a_request_has_a_longest_time_of_its_own(self, stage: Stage) -> None:
        stage.hangs()
        reasoner = self.guarded(stage, attempts=2, seconds=0.2)
        with pytest.raises(ReasonerTimeout) as failure:
            await reasoner.ask(PROMPT, namespace="n")
        assert failure.value.attempts == 2
        await reasoner.close()

    async def test_cancelling_ends_the_request(self, stage: Stage) -> None:
        stage.hangs()
        reasoner = self.guarded(stage)
        task = asyncio.ensure_future(reasoner.ask(PROMPT, namespace="n"))
        await _until(lambda: stage.requests == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _until(lambda: stage.given_up == 1)
        await reasoner.close()

    async def test_no_more_than_so_many_at_once(self, stage: Stage) -> None:
        stage.hangs()
        reasoner = self.guarded(stage, concurrency=2)
        tasks = [asyncio.ensure_future(reasoner.ask(PROMPT, namespace="n")) for _ in range(5)]
        await _until(lambda: stage.requests == 2)
        await asyncio.sleep(0.05)
        assert stage.requests == 2
        tasks[0].cancel()
        await _until(lambda: stage.requests == 3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await reasoner.close()

    async def test_after_close_it_says_so(self, stage: Stage) -> None:
        reasoner = self.guarded(stage)
        await reasoner.close()
        await reasoner.close()
        with pytest.raises(ReasonerUnavailable, match="closed"):
            await reasoner.ask(PROMPT, namespace="n")
        bare = stage.reasoner()
        await bare.close()
        with pytest.raises(ReasonerUnavailable, match="closed"):
            await bare.ask(PROMPT, namespace="n")
        assert stage.requests == 0

    async def test_closing_ends_calls_in_hand(self, stage: Stage) -> None:
        stage.hangs()
        reasoner = self.guarded(stage, attempts=1)
        task = asyncio.ensure_future(reasoner.ask(PROMPT, namespace="n"))
        await _until(lambda: stage.requests == 1)
        await reasoner.close()
        with pytest.raises(ReasonerError):
            await asyncio.wait_for(task, SECONDS)

    async def test_a_key_is_shown_nowhere(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        wrong = "sk-wrong-key-0123456789"
        caplog.set_level(logging.DEBUG)
        stage.says(ANSWER)
        for key in (None, wrong):
            reasoner = stage.reasoner(key=key)
            try:
                await reasoner.ask(PROMPT, namespace="n")
            except ReasonerRefused as refusal:
                shown = f"{refusal!s} {refusal!r} {refusal.__cause__!r} {refusal.__context__!r} {refusal.fix}"
                assert key is wrong
                assert not _parts_of(wrong, shown)
            shown = f"{reasoner!r} {vars(reasoner)!r}"
            assert not _parts_of(stage.key, shown)
            await reasoner.close()
        assert not _parts_of(stage.key, caplog.text)
        assert not _parts_of(wrong, caplog.text)


def _parts_of(key: str, text: str) -> bool:
    """Whether the text shows the key, or its beginning and end as some providers' errors do."""
    return key in text or key[:8] in text


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


__all__ = ["ANSWER", "IMAGE", "PLAIN", "PROMPT", "SCHEMA", "ReasonerSuite", "Stage"]
