"""Every command against a real server: what people see, what programs read, and the exit status."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import MEMOIR, Outcome, environment

Run = Callable[..., Outcome]
SAMPLE = Path(__file__).parents[2] / "examples/transcripts/leeds-to-ghent.jsonl"


@pytest.fixture
def lisbon(run: Run) -> str:
    """The id of a memory of ana."""
    added = run("add", "I moved to Lisbon [in May].", "-u", "ana", "-s", "s1", "--json").object
    memory_id: str = added["changes"][0]["memory"]["id"]
    return memory_id


def test_add_says_what_was_kept(run: Run) -> None:
    done = run("add", "I moved to Lisbon [in May].", "-u", "ana")
    assert done.status == 0, done.err
    assert done.out.startswith("added ")
    assert "I moved to Lisbon [in May]." in done.out


def test_add_json_is_one_object_with_the_whole_result(run: Run) -> None:
    added = run("add", "I moved to Lisbon.", "-u", "ana", "-a", "guide", "-s", "s1", "--json").object
    assert (added["mode"], added["durability"]) == ("VERBATIM", "INDEXED")
    (change,) = added["changes"]
    assert change["action"] == "ADDED"
    assert change["memory"]["scope"] == {"user_id": "ana", "agent_id": "guide", "session_id": "s1"}
    assert change["memory"]["kind"] == "EPISODE"
    assert "message" not in change["memory"]


def test_add_with_a_kind_creates_a_memory_as_given(run: Run) -> None:
    created = run("add", "Ana likes trams.", "--kind", "PREFERENCE", "-u", "ana", "--json").object
    assert (created["kind"], created["text"]) == ("PREFERENCE", "Ana likes trams.")
    shown = run("add", "Ana has a bike.", "--kind", "FACT", "-u", "ana")
    assert re.match(r"\d{4}-\d\d-\d\d fact +Ana has a bike\.", shown.out)


def test_add_says_what_is_already_known(run: Run) -> None:
    fact = ("add", "Ana has a cat.", "--kind", "FACT", "-u", "ana")
    run(*fact)
    assert re.match(r"already known \d{4}-\d\d-\d\d fact +Ana has a cat\.", run(*fact).out)
    again = run(*fact, "--json").object
    assert again["duplicate"] == {"memory_id": again["id"], "exact": True, "cosine": None, "stored": False}


def test_a_transcript_that_goes_on_adds_what_is_new(run: Run, tmp_path: Path) -> None:
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    part = tmp_path / "part.jsonl"
    part.write_text("\n".join(lines[:11]) + "\n", encoding="utf-8")
    assert run("add", "-t", str(part), "-u", "parts").status == 0
    part.write_text("\n".join(lines[:13]) + "\n", encoding="utf-8")
    done = run("add", "-t", str(part), "-u", "parts")
    assert done.out == "2 memories of parts from 12 messages, 10 already known\n", done.err


def test_add_transcript_replays_every_session(run: Run) -> None:
    done = run("add", "--transcript", str(SAMPLE))
    assert (done.status, done.out) == (0, "275 memories of nora from 275 messages\n"), done.err
    found = run("search", "form P85", "-u", "nora", "--json").object["hits"]
    assert {"s07-m012", "s07-m013"} & {hit["memory"]["provenance"][0]["message_id"] for hit in found[:3]}


def test_a_transcript_added_twice_is_stored_once(run: Run) -> None:
    first = run("add", "-t", str(SAMPLE), "-u", "twice", "--json").objects
    again = run("add", "-t", str(SAMPLE), "-u", "twice", "--json").objects
    ids = [[change["memory"]["id"] for result in results for change in result["changes"]] for results in (first, again)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 275


def test_add_transcript_json_prints_a_result_per_call(run: Run) -> None:
    results = run("add", "-t", str(SAMPLE), "-u", "someone", "--json").objects
    assert len(results) == 12
    changes = [change for result in results for change in result["changes"]]
    assert len(changes) == 275
    assert {change["memory"]["scope"]["user_id"] for change in changes} == {"someone"}


def test_a_faulty_transcript_sends_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:5], "oops"]), encoding="utf-8")
    done = run("add", "-t", str(path))
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith('error: talk.jsonl:6: (line): "oops" is not JSON')
    assert run("list", "--json").out == ""


@pytest.mark.parametrize(
    "arguments",
    [("add",), ("add", "text", "-t", str(SAMPLE)), ("add", "-t", str(SAMPLE), "-s", "s1"), ("add", "-t", "/nowhere")],
)
def test_add_wants_text_or_a_transcript(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).status == 2


def test_search_shows_hits_with_score_and_id(run: Run, lisbon: str) -> None:
    done = run("search", "Lisbon", "-u", "ana")
    assert done.status == 0, done.err
    assert re.match(r"[01]\.\d\d \d{4}-\d\d-\d\d episode +I moved to Lisbon \[in May\]\.", done.out)
    assert lisbon in done.out


def test_search_json_is_the_whole_result(run: Run, lisbon: str) -> None:
    result = run("search", "Lisbon", "-u", "ana", "--json").object
    assert [hit["memory"]["id"] for hit in result["hits"]] == [lisbon]
    assert {phase["phase"] for phase in result["phases"]} >= {"KEYWORD", "DENSE"}
    assert all(isinstance(phase["elapsed"], float) for phase in result["phases"])
    assert result["revision"] >= 1


def test_search_stream_shows_the_phases_and_the_result(run: Run, lisbon: str) -> None:
    done = run("search", "Lisbon", "-u", "ana", "--stream")
    assert re.match(r"keyword \(\d+\.\d ms, 1 candidates\)\n", done.out)
    _, final = done.out.split("\nresult\n")
    assert lisbon in final


def test_search_stream_json_names_each_event(run: Run, lisbon: str) -> None:
    events = run("search", "Lisbon", "-u", "ana", "--stream", "--json").objects
    names = [event["event"] for event in events]
    assert (names[0], names[-1]) == ("started", "completed")
    assert set(names[1:-1]) <= {"phase_hits", "phase_failed"}
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["order"] == [lisbon]


def test_search_without_hits_says_so_beside_the_output(run: Run) -> None:
    done = run("search", "Lisbon", "-u", "nobody")
    assert (done.status, done.out, done.err) == (0, "", "nothing found\n")


def test_search_as_of_a_revision_and_a_time(run: Run, lisbon: str) -> None:
    later = run("add", "Lisbon is warm.", "-u", "ana", "--json").object["revision"]
    assert len(run("search", "Lisbon", "-u", "ana", "--json").object["hits"]) == 2
    past = run("search", "Lisbon", "-u", "ana", "--as-of", str(later - 1), "--json").object
    assert [hit["memory"]["id"] for hit in past["hits"]] == [lisbon]
    assert run("search", "Lisbon", "-u", "ana", "--as-of", "2001-01-01", "--json").object["hits"] == []


@pytest.mark.parametrize("option", ["--as-of", "--valid-at"])
def test_a_time_that_is_none_is_wrong_usage(run: Run, option: str) -> None:
    done = run("search", "x", option, "yesterday")
    assert done.status == 2
    assert "is not a time" in done.err


def test_search_limit_and_recipe(run: Run) -> None:
    for number in range(3):
        run("add", f"Lisbon note {number}", "-u", "ana")
    assert len(run("search", "Lisbon", "-u", "ana", "-k", "2", "--recipe", "keyword", "--json").object["hits"]) == 2
    assert run("search", "Lisbon", "--recipe", "best").status == 2


def test_list_is_newest_first_and_limited(run: Run) -> None:
    for number in range(3):
        run("add", f"note {number}", "-u", "ana")
    assert [item["text"] for item in run("list", "-u", "ana", "--json").objects] == ["note 2", "note 1", "note 0"]
    assert [line.split("episode")[1].split()[1] for line in run("list", "-k", "2").out.splitlines()] == ["2", "1"]


def test_history_is_oldest_first(run: Run, lisbon: str) -> None:
    run("add", "Second.", "-u", "ana")
    assert [event["revision"] for event in run("history", "--json").objects] == [1, 2]
    shown = run("history", "-m", lisbon).out
    assert re.fullmatch(rf" +1 \d{{4}}-\d\d-\d\d [\d:]+ created +{lisbon} I moved to Lisbon \[in May\]\.\n", shown)


def test_history_resume_token_wants_follow(run: Run) -> None:
    assert run("history", "--resume-token", "x").status == 2


def test_history_follow_goes_on_and_ends_quietly_on_ctrl_c(run: Run, target: str, namespace: str, lisbon: str) -> None:
    follower = subprocess.Popen(
        [MEMOIR, "history", "--follow", "--json", "--target", target, "--namespace", namespace],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["memory_id"] == lisbon
        run("add", "Later.", "-u", "ana")
        event = json.loads(follower.stdout.readline())
        assert (event["revision"], event["type"], event["after"]["text"]) == (2, "CREATED", "Later.")
        follower.send_signal(signal.SIGINT)
        rest, errors = follower.communicate(timeout=20)
        assert (follower.returncode, rest, errors) == (130, "", "")
    finally:
        follower.kill()
        follower.wait()
    token = event["resume_token"]
    run("add", "Last.", "-u", "ana")
    with subprocess.Popen(
        [MEMOIR, "history", "-f", "--json", "--target", target, "-n", namespace, "--resume-token", token],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as resumed:
        assert resumed.stdout is not None
        assert json.loads(resumed.stdout.readline())["after"]["text"] == "Last."
        resumed.terminate()


def test_reset_dry_run_only_plans(run: Run, lisbon: str) -> None:
    done = run("reset", "-u", "ana", "--dry-run")
    assert done.status == 0, done.err
    assert "Plan" in done.out
    assert lisbon in done.out
    plan = run("reset", "-u", "ana", "--dry-run", "--json").object
    assert (plan["state"], plan["sample_memory_ids"]) == ("PLANNED", [lisbon])
    assert len(run("list", "--json").objects) == 1


def test_reset_asks_and_a_no_removes_nothing(run: Run, lisbon: str) -> None:
    done = run("reset", "-u", "ana", stdin="n\n")
    assert done.status == 1
    assert "Remove this?" in done.err
    assert "nothing was removed" in done.err
    assert [item["id"] for item in run("list", "--json").objects] == [lisbon]


def test_reset_without_an_answer_removes_nothing(run: Run, lisbon: str) -> None:
    assert run("reset", "-u", "ana", stdin="").status == 1
    assert [item["id"] for item in run("list", "--json").objects] == [lisbon]


def test_reset_confirmed_shows_the_receipt_and_keeps_the_history(run: Run, lisbon: str) -> None:
    run("add", "I am Bo.", "-u", "bo")
    done = run("reset", "-u", "ana", stdin="y\n")
    assert done.status == 0, done.err
    assert "Receipt" in done.out
    assert re.search(r"1 memories removed; revision \d+, digest [0-9a-f]{64}", done.out)
    assert [item["text"] for item in run("list", "--json").objects] == ["I am Bo."]
    types = [event["type"] for event in run("history", "-u", "ana", "--json").objects]
    assert types[0] == "CREATED"
    assert "DELETED" in types


def test_reset_erase_json_streams_states_and_leaves_stubs(run: Run, lisbon: str) -> None:
    states = run("reset", "-u", "ana", "--erase", "--yes", "--json").objects
    assert (states[0]["state"], states[-1]["state"]) == ("PLANNED", "SUCCEEDED")
    receipt = states[-1]["receipt"]
    assert receipt["memories"] == 1
    assert all(store["remaining"] == 0 for store in receipt["stores"])
    events = run("history", "--json").objects
    assert all(event["before"] is None and event["after"] is None for event in events)
    assert "ERASED" in {event["type"] for event in events}


def test_reset_json_asks_no_questions(run: Run) -> None:
    done = run("reset", "-u", "ana", "--json")
    assert done.status == 2
    assert "--yes" in done.err


def test_reset_of_an_empty_scope_is_refused_in_one_line(run: Run, lisbon: str) -> None:
    done = run("reset", "--yes")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert len(run("list", "--json").objects) == 1


def test_reset_of_a_namespace_wants_its_name(run: Run, namespace: str, lisbon: str) -> None:
    assert run("reset", "--entire-namespace", "another", "--yes").status == 1
    assert len(run("list", "--json").objects) == 1
    assert run("reset", "--entire-namespace", namespace, "--yes").status == 0
    assert run("list", "--json").out == ""


def test_reset_keep_flags(run: Run) -> None:
    run("add", "Ana lives in Lisbon.", "--kind", "FACT", "-u", "ana")
    assert run("reset", "-u", "ana", "--keep-vector", "--yes").status == 0
    assert len(run("list", "--json").objects) == 1
    plan = run("reset", "-u", "ana", "--keep-graph", "--keep-history", "--dry-run", "--json").object
    assert plan["target"]["keep_graph"] is True
    assert plan["target"]["keep_history"] is True
    refused = run("reset", "-u", "ana", "--erase", "--keep-history", "--yes")
    assert refused.status == 1
    assert "keep" in refused.err


def test_errors_of_the_server_are_one_line(run: Run) -> None:
    done = run("add", "text without an owner")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert "FIELD_INVALID" in done.err


def test_timeout_is_the_deadline_of_the_call(run: Run) -> None:
    started = time.monotonic()
    done = run("list", "--timeout", "0.001", "--target", "192.0.2.1:7600")
    assert done.status == 1
    assert done.err.startswith("error: ")
    assert time.monotonic() - started < 10
