"""`memoir get`, `update` and `delete` against a real server."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.command import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def tram(run: Run) -> dict[str, Any]:
    """A fact of ana."""
    return run("add", "Ana likes [old] trams.", "--kind", "FACT", "-u", "ana", "--json").object


def test_get_shows_every_field_that_is_set(run: Run, tram: dict[str, Any]) -> None:
    run("update", tram["id"], "--metadata", '{"topic": "travel", "rank": 2}', "--importance", "0.5")
    done = run("get", tram["id"])
    assert done.status == 0, done.err
    shown = {line[:14].strip(): line[15:] for line in done.out.splitlines()}
    assert shown["id"] == tram["id"]
    assert shown["text"] == "Ana likes [old] trams."
    assert (shown["kind"], shown["user"], shown["importance"]) == ("fact", "ana", "0.5")
    assert (shown["metadata.topic"], shown["metadata.rank"]) == ('"travel"', "2")
    assert "agent" not in shown


def test_get_json_is_the_memory(run: Run, tram: dict[str, Any]) -> None:
    # What `add` printed also says what the write did.
    assert run("get", tram["id"], "--json").object.items() <= tram.items()


def test_get_as_of_a_revision(run: Run, tram: dict[str, Any]) -> None:
    run("update", tram["id"], "--text", "Ana likes buses.")
    assert run("get", tram["id"], "--json").object["text"] == "Ana likes buses."
    assert run("get", tram["id"], "--as-of", str(tram["revision"]), "--json").object["text"] == tram["text"]


def test_get_of_nothing_is_refused_in_one_line(run: Run) -> None:
    done = run("get", "nothing")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert "MEMORY_NOT_FOUND" in done.err


def test_update_changes_what_is_named_and_nothing_else(run: Run, tram: dict[str, Any]) -> None:
    changed = run("update", tram["id"], "--kind", "PREFERENCE", "--importance", "0.9", "--reason", "why", "--json")
    after = changed.object
    assert (after["kind"], after["importance"], after["text"]) == ("PREFERENCE", 0.9, tram["text"])
    assert run("history", "-m", tram["id"], "--json").objects[-1]["reason"] == "why"
    shown = run("update", tram["id"], "--text", "Ana likes buses.")
    assert re.match(r"\d{4}-\d\d-\d\d preference Ana likes buses\.  ", shown.out)


def test_update_sets_and_clears_times(run: Run, tram: dict[str, Any]) -> None:
    closed = run("update", tram["id"], "--valid-until", "2099-01-01T00:00:00+00:00", "--json").object
    assert closed["valid_until"] == "2099-01-01T00:00:00+00:00"
    open_again = run("update", tram["id"], "--clear", "valid_until", "--clear", "importance", "--json").object
    assert (open_again["valid_until"], open_again["importance"]) == (None, None)


def test_update_with_a_stale_etag_changes_nothing(run: Run, tram: dict[str, Any]) -> None:
    assert run("update", tram["id"], "--text", "Second.", "--etag", tram["etag"]).status == 0
    done = run("update", tram["id"], "--text", "Third.", "--etag", tram["etag"])
    assert done.status == 1
    assert "ETAG_MISMATCH" in done.err
    assert run("get", tram["id"], "--json").object["text"] == "Second."


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "nothing to change"),
        (("--metadata", "{oops"), "is not JSON"),
        (("--metadata", "[1]"), "is not an object"),
        (("--importance", "2"), "importance"),
        (("--kind", "RUMOUR"), "RUMOUR"),
        (("--importance", "0.1", "--clear", "importance"), "both set and cleared"),
        (("--valid-from", "yesterday"), "is not a time"),
    ],
)
def test_update_used_wrongly(run: Run, arguments: tuple[str, ...], says: str) -> None:
    done = run("update", "some-id", *arguments)
    assert done.status == 2
    assert says in done.err


def test_delete_shows_what_it_asks_about(run: Run, tram: dict[str, Any]) -> None:
    refused = run("delete", tram["id"], stdin="n\n")
    assert refused.status == 1
    assert "Ana likes [old] trams." in refused.out
    assert "nothing was deleted" in refused.err
    done = run("delete", tram["id"], stdin="y\n")
    assert done.status == 0, done.err
    assert re.search(r"^ ?1 deleted; revision \d+$", done.out, re.MULTILINE)
    assert run("list", "--json").out == ""


def test_delete_is_all_or_none(run: Run, tram: dict[str, Any]) -> None:
    assert run("delete", tram["id"], "nothing", "--yes").status == 1
    assert len(run("list", "--json").objects) == 1
    gone = run("delete", tram["id"], "nothing", tram["id"], "--yes", "--allow-missing", "--reason", "asked", "--json")
    assert gone.object["deleted_count"] == 1
    event = run("history", "--json").objects[-1]
    assert (event["type"], event["reason"]) == ("DELETED", "asked")
    again = run("delete", tram["id"], "--allow-missing", "--yes")
    assert (again.status, again.out) == (0, "0 deleted\n")


def test_delete_asks_about_missing_ones_too(run: Run, tram: dict[str, Any]) -> None:
    done = run("delete", tram["id"], "nothing", "--allow-missing", stdin="y\n")
    assert done.status == 0, done.err
    assert "nothing does not exist" in done.out


def test_delete_with_an_etag(run: Run, tram: dict[str, Any]) -> None:
    run("update", tram["id"], "--text", "Second.")
    assert "ETAG_MISMATCH" in run("delete", tram["id"], "--etag", tram["etag"], "--yes").err
    etag = run("get", tram["id"], "--json").object["etag"]
    assert run("delete", tram["id"], "--etag", etag, "--yes").status == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "ID"),
        (("a", "--json"), "add --yes"),
        (("a", "b", "--etag", "x", "--yes"), "single ID"),
        ((*[str(number) for number in range(501)], "--yes"), "at most 500"),
    ],
)
def test_delete_used_wrongly(run: Run, arguments: tuple[str, ...], says: str) -> None:
    done = run("delete", *arguments)
    assert done.status == 2
    assert says in done.err
