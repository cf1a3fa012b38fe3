"""Every section of the benchmark runs, at toy size, and the report says what it found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import options
from bench.__main__ import main
from bench.report import Findings, render, targets_of
from bench.results import CallRow, Growth, GrowthRow, InferenceRow, Latency, StoresRow, Streaming, WriteRow

TOY = (
    *("--model", "hash", "--sizes", "20,40", "--per-user", "20", "--queries", "20", "--sequential", "6"),
    *("--seconds", "0.2", "--rounds", "1", "--batch", "10", "--write-batches", "3", "--write-rounds", "1"),
    *("--threads", "1", "--searches", "3", "--stores-sizes", "40"),
)


def test_a_run_at_toy_size(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    main([*TOY, "--sections", "calls,growth,writes,streaming", "--out", str(page)])
    text = page.read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert titles == ["Asked and measured", "Calls beside a bare echo", "Growth", "Writes", "Streaming"]
    assert len(re.findall(r"\| (?:yes|\*\*no\*\*) \|$", text, re.MULTILINE)) == 8
    for row in ("GetMemory", "Search, 10 hits", "40", "texts never seen", "ready vectors", "stream: first hits"):
        assert f"\n| {row} |" in text
    assert "`python -m bench --sections calls,growth,writes,streaming --sizes 20,40 " in text


@pytest.mark.stores
@pytest.mark.timeout(400)
def test_the_real_stores_at_toy_size(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    main([*TOY, "--sections", "stores", "--out", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "## The distributed profile beside bare Weaviate" in text
    assert len(re.findall(r"\| (?:yes|\*\*no\*\*) \|$", text, re.MULTILINE)) == 2
    assert "weaviate" in text


def findings(*, good: bool) -> Findings:
    """Results that meet every target exactly, or miss every one by a little."""
    off = 0.0 if good else 0.001
    latency = Latency(p50=1.0, p95=50.0 + off)
    row = GrowthRow(
        memories=10, users=1, scoped=latency, unscoped=latency, resident_mib=1, disk_mib=1, loaded_per_second=1
    )
    calls = [
        CallRow(name, 100, 10, 10, ratio - off, 10, 10, 1.0)
        for name, ratio in (("GetMemory", 0.5), ("Search, 10 hits", 0.25))
    ]
    writes = [
        WriteRow("texts never seen", 1, 10, 100, 80, 0.8 - off, 10, 0),
        WriteRow("ready vectors", 1, 10, 0, 10_000 - off, 0, 10, 0),
    ]
    stored = StoresRow(
        memories=100_000,
        loaded_per_second=60 - off,
        bare_loaded_per_second=100,
        search=latency,
        bare=latency,
        ratio=1.5 + off,
        graphless=latency,
        graphless_ratio=1.0,
        server_mib=1,
        store_mib=(("weaviate", 1.0),),
    )
    streamed = Streaming(1, 1, 1, 1, 1, 1, 0.4 + off, 1.0 + off)
    inferred = [
        InferenceRow(profile, 2, Latency(p50=1.0, p95=limit + off))
        for profile, limit in (("embedded", 60.0), ("distributed", 150.0))
    ]
    return Findings(calls, Growth((row, row), 1.3 + off), writes, streamed, inferred, [stored])


@pytest.mark.parametrize("good", [True, False])
def test_targets_are_judged_by_the_figures(good: bool) -> None:
    found = findings(good=good)
    assert [target.met for target in targets_of(found)] == [good] * 13
    page = render(found, options.DEFAULTS, 60.0, 0.5)
    assert page.count("| yes |") == (13 if good else 0)
    assert page.count("| **no** |") == (0 if good else 13)
    assert "`make bench` (1.0 minutes)" in page


def test_only_what_ran_is_reported() -> None:
    page = render(Findings(), options.DEFAULTS, 1.0, 0.5)
    assert "## Growth" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--sections", "calls,speed"),
            "--sections: 'speed' is not one of calls,growth,writes,streaming,inference,stores",
        ),
        (("--sizes", "2000,1000"), "--sizes=2000,1000: give ascending multiples of --per-user=1000"),
        (("--stores-sizes", "1500"), "--stores-sizes=1500: give ascending multiples of --per-user=1000"),
        (("--sizes", "1500"), "--sizes=1500: give ascending multiples of --per-user=1000"),
    ],
)
def test_options_are_checked(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
