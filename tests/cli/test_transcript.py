"""The transcript reader states every fault of the table in examples/TRANSCRIPT.md."""

import json
from pathlib import Path

import pytest

from memoir_server.cli.transcript import TranscriptError, read_transcript

SAMPLE = Path(__file__).parents[2] / "examples/transcripts/leeds-to-ghent.jsonl"
HEADER = {"format": "memoir-transcript", "version": 1, "user_id": "ana", "agent_id": "guide", "title": "T"}


def message(number: int = 1, /, **changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "session_id": "s1",
        "message_id": f"m{number}",
        "role": "user",
        "content": "Hello there.",
        "create_time": f"2026-01-11T19:{number:02}:00+00:00",
        "actor_id": "Ana",
    }
    return {name: value for name, value in (base | changes).items() if value is not ...}


def written(tmp_path: Path, *lines: dict[str, object] | str | bytes) -> Path:
    path = tmp_path / "talk.jsonl"
    raw = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    path.write_bytes(b"\n".join(raw))
    return path


def fault(path: Path) -> str:
    with pytest.raises(TranscriptError) as raised:
        read_transcript(path)
    return str(raised.value)


def test_the_sample_reads_whole() -> None:
    transcript = read_transcript(SAMPLE)
    assert (transcript.user_id, transcript.agent_id, transcript.sessions) == ("nora", "kestrel", 12)
    assert len(transcript.messages) == 275
    assert sum(len(messages) for _, messages in transcript.batches()) == 275


def test_a_good_file_keeps_every_field_and_skips_blank_lines(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(HEADER) + "\r", " \t\r", message(1), "", message(2, actor_id=...), "")
    transcript = read_transcript(path)
    assert transcript.title == "T"
    assert [turn.message_id for turn in transcript.messages] == ["m1", "m2"]
    assert transcript.messages[0].as_dict() == {
        "role": "user",
        "content": "Hello there.",
        "message_id": "m1",
        "create_time": "2026-01-11T19:01:00+00:00",
        "actor_id": "Ana",
    }
    assert "actor_id" not in transcript.messages[1].as_dict()


def test_separators_that_are_no_line_breaks_stay_inside_a_message(tmp_path: Path) -> None:
    text = "one\u2028two\u0085three"
    path = written(tmp_path, HEADER, json.dumps(message(content=text), ensure_ascii=False))
    assert read_transcript(path).messages[0].content == text


def test_long_sessions_are_sent_in_pieces(tmp_path: Path) -> None:
    turns = [message(number, create_time="2026-01-01T00:00:00Z") for number in range(401)]
    transcript = read_transcript(written(tmp_path, HEADER, *turns))
    assert [(session, len(messages)) for session, messages in transcript.batches()] == [
        ("s1", 200),
        ("s1", 200),
        ("s1", 1),
    ]


def test_sessions_may_overlap_and_times_may_be_equal(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        HEADER,
        message(1, create_time="2026-01-01T10:00:00Z"),
        message(2, create_time="2026-01-01T12:00:00Z"),
        message(3, session_id="s2", create_time="2026-01-01T11:00:00+01:00"),
    )
    assert read_transcript(path).sessions == 2


def test_nanoseconds_decide_the_order(tmp_path: Path) -> None:
    later, earlier = "2026-01-01T10:00:00.000000002Z", "2026-01-01T10:00:00.000000001Z"
    assert read_transcript(
        written(tmp_path, HEADER, message(1, create_time=earlier), message(2, create_time=later))
    ).messages
    path = written(tmp_path, HEADER, message(1, create_time=later), message(2, create_time=earlier))
    assert fault(path).startswith("talk.jsonl:3: create_time: ")


@pytest.mark.parametrize("text", ["", " \n\t\n"])
def test_empty_file(tmp_path: Path, text: str) -> None:
    assert fault(written(tmp_path, text)) == "talk.jsonl:1: format: the file is empty; begin with a header line"


def test_byte_order_mark(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbf" + json.dumps(HEADER).encode(), message())
    assert fault(path).startswith("talk.jsonl:1: (line): begins with a byte order mark; save the file as UTF-8 without")


def test_not_utf8_names_the_line_and_earlier_faults_come_first(tmp_path: Path) -> None:
    bad = json.dumps(message(content="caf?")).encode().replace(b"?", b"\xe9")
    assert fault(written(tmp_path, HEADER, message(2), bad)).startswith("talk.jsonl:3: (line): byte ")
    assert fault(written(tmp_path, HEADER, message(2, role="boss"), bad)).startswith("talk.jsonl:2: role: ")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"role": }', "is not JSON at column 10: Expecting value"),
        ("[1, 2]", "[1, 2] is not an object, at column 1"),
        ('{"content": NaN}', "NaN is not a JSON value"),
        ("[" * 100_000, "is not JSON at column 1"),
        ("hello", '"hello" is not JSON at column 1'),
    ],
)
def test_not_json_or_not_an_object(tmp_path: Path, line: str, says: str) -> None:
    found = fault(written(tmp_path, HEADER, line))
    assert found.startswith("talk.jsonl:2: (line): ")
    assert says in found
    assert found.endswith("; write one JSON object per line")


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ({"version": 1, "user_id": "ana"}, "missing"),
        ({**HEADER, "format": "chat"}, '"chat" is another format'),
        (message(), "missing"),
        ("  ", "the line is blank"),
    ],
)
def test_no_or_another_format(tmp_path: Path, first: dict[str, object] | str, says: str) -> None:
    expected = f'talk.jsonl:1: format: {says}; write "format": "memoir-transcript" on line 1'
    assert fault(written(tmp_path, first, message())) == expected


def test_unknown_version_comes_before_its_unknown_fields(tmp_path: Path) -> None:
    found = fault(written(tmp_path, {**HEADER, "version": 2, "mood": "new"}, message()))
    assert found == 'talk.jsonl:1: version: 2 is unknown; write "version": 1, or use a newer Memoir'


@pytest.mark.parametrize("name", ["version", "user_id"])
def test_required_header_field_missing(tmp_path: Path, name: str) -> None:
    header = {key: value for key, value in HEADER.items() if key != name}
    assert fault(written(tmp_path, header, message())).startswith(f"talk.jsonl:1: {name}: missing; add the field")


@pytest.mark.parametrize("name", ["session_id", "message_id", "role", "content", "create_time"])
def test_required_message_field_missing(tmp_path: Path, name: str) -> None:
    found = fault(written(tmp_path, HEADER, message(**{name: ...})))
    assert found.startswith(f"talk.jsonl:2: {name}: missing; add the field")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("content", 7, "7 is not a string; write a string of 1 to 65536 characters"),
        ("content", None, "null is not a string"),
        ("content", "", '"" is empty'),
        ("content", " \n", '" \\n" is only white space'),
        ("content", "x" * 65_537, "has 65537 characters"),
        ("content", "\ud800", "holds half of a surrogate pair"),
        ("content", {"a": [1]}, '{"a": [1]} is not a string'),
        (
            "actor_id",
            None,
            "null is not a string; write a string of 1 to 256 characters without control characters, or",
        ),
        ("actor_id", "", '"" is empty'),
        ("session_id", "a" * 257, "has 257 characters"),
        ("message_id", "a\x7fb", "holds a control character"),
        ("session_id", "a\x00", "holds a control character"),
        ("role", None, "null is not a string; write one of user, assistant, system, tool"),
        ("create_time", 5, "5 is not a string"),
    ],
)
def test_wrong_type_empty_too_long_control_character(tmp_path: Path, name: str, value: object, says: str) -> None:
    found = fault(written(tmp_path, HEADER, message(**{name: value})))
    assert found.startswith(f"talk.jsonl:2: {name}: ")
    assert says in found


@pytest.mark.parametrize("version", [True, "1", 1.0, None])
def test_version_of_another_type(tmp_path: Path, version: object) -> None:
    found = fault(written(tmp_path, {**HEADER, "version": version}, message()))
    assert found.startswith("talk.jsonl:1: version: ")
    assert found.endswith("is not an integer; write an integer")


def test_values_are_cut_at_80_characters(tmp_path: Path) -> None:
    found = fault(written(tmp_path, HEADER, message(session_id="a" * 300)))
    assert f'session_id: "{"a" * 79}… has 300 characters' in found


def test_unknown_field(tmp_path: Path) -> None:
    found = fault(written(tmp_path, HEADER, message(actor="Ana")))
    assert found == (
        'talk.jsonl:2: actor: "Ana" is in an unknown field; remove it; '
        "allowed are session_id, message_id, role, content, create_time, actor_id"
    )


def test_repeated_field(tmp_path: Path) -> None:
    line = json.dumps(message())[:-1] + ', "role": "tool"}'
    found = fault(written(tmp_path, HEADER, line))
    assert found.startswith(
        'talk.jsonl:2: role: "user" is one of 2 values; give the field once; allowed are session_id'
    )


def test_unknown_role(tmp_path: Path) -> None:
    found = fault(written(tmp_path, HEADER, message(role="User")))
    assert found == 'talk.jsonl:2: role: "User" is unknown; use one of user, assistant, system, tool'


def test_time_without_offset(tmp_path: Path) -> None:
    assert fault(written(tmp_path, HEADER, message(create_time="2026-01-11T19:45:37"))) == (
        'talk.jsonl:2: create_time: "2026-01-11T19:45:37" has no offset; '
        "write an RFC 3339 time such as 2026-01-11T19:45:37+00:00"
    )


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2026-01-11",
        "2026-W02-7T10:00:00Z",
        "2026-02-30T10:00:00Z",
        "2026-01-11T24:00:00Z",
        "2026-01-11 10:00:00Z",
        "2026-01-11T10:00:00.1234567890Z",
        "2026-01-11T10:00:00+24:00",
        "0001-01-01T00:00:00+01:00",
        "2026-01-11T10:00:00Z\n",
        "٢٠٢٦-01-11T10:00:00Z",
    ],
)
def test_not_a_time(tmp_path: Path, text: str) -> None:
    found = fault(written(tmp_path, HEADER, message(create_time=text)))
    assert found.startswith("talk.jsonl:2: create_time: ")
    assert "is not a time" in found
    assert found.endswith("write an RFC 3339 time such as 2026-01-11T19:45:37+00:00")


def test_lower_case_times_are_sent_in_the_form_of_the_wire(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, message(create_time="2026-01-11t10:00:00.5z"))
    assert read_transcript(path).messages[0].create_time == "2026-01-11T10:00:00.5Z"


def test_message_id_used_before_and_blank_lines_count(tmp_path: Path) -> None:
    found = fault(written(tmp_path, HEADER, message(1), "", message(1)))
    assert found == 'talk.jsonl:4: message_id: "m1" was used in line 2; choose another message_id'


def test_message_older_than_the_one_before_it(tmp_path: Path) -> None:
    found = fault(written(tmp_path, HEADER, message(1), message(3), message(2)))
    assert found == (
        'talk.jsonl:4: create_time: "2026-01-11T19:02:00+00:00" is before line 3 of the same session; '
        "put the messages in order of time"
    )


def test_session_begins_before_the_session_above_it(tmp_path: Path) -> None:
    found = fault(written(tmp_path, HEADER, message(2), message(3), message(1, session_id="s2")))
    assert found == (
        'talk.jsonl:4: create_time: "2026-01-11T19:01:00+00:00" is before the session above it, '
        "which begins in line 2; put the sessions in order of their first message"
    )


def test_session_continued_after_another_one_began(tmp_path: Path) -> None:
    found = fault(written(tmp_path, HEADER, message(1), message(2, session_id="s2"), message(3)))
    assert found == (
        'talk.jsonl:4: session_id: "s1" began in line 2 and another session began after it; '
        "move the line up to its session, or use a new session_id"
    )


def test_header_but_no_message(tmp_path: Path) -> None:
    found = fault(written(tmp_path, HEADER, "", " "))
    assert found == "talk.jsonl:1: content: no message follows the header; add at least one message"
