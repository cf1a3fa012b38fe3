"""The files of a local embedding model, how they are read, and what can be wrong with them."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from memoir_server.domain.embedding import EmbeddingModel

DEFAULT_MAX_TOKENS: Final = 256
"""Tokens read per text when the model's folder does not say: the value sentence-transformers uses for MiniLM."""

GRAPH_REVISION: Final = 1
"""Kept beside a graph built from weights. Raise it when the builder's output changes: older graphs are then built
again."""

_T = TypeVar("_T")
_READ_BYTES: Final = 1024 * 1024


class ModelError(Exception):
    """A model is unknown, missing, damaged or of a kind that cannot be used.

    Attributes:
        model: Name or path as it was asked for.
        problem: What is wrong, in one sentence.
        fix: What the operator can do about it.
    """

    def __init__(self, model: str, problem: str, fix: str) -> None:
        super().__init__(f"model {model}: {problem}; {fix}")
        self.model = model
        self.problem = problem
        self.fix = fix


class Progress(Protocol):
    """Told how a long step advances; called from the thread that does the work."""

    def __call__(self, step: str, done: int, total: int | None) -> None:
        """``step`` names the work in hand, ``done`` and ``total`` count bytes or pieces; total None means unknown."""


def no_progress(step: str, done: int, total: int | None) -> None:
    """A progress callback for callers that show none."""


class Pooling(enum.Enum):
    """How token vectors become one text vector, for graphs that end with token vectors."""

    MEAN = "mean"
    CLS = "cls"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that is ready to be opened.

    Attributes:
        model: Identity of the vectors it makes.
        graph: ONNX file taking ``input_ids`` (int64, shape ``(batch, tokens)``), with ``attention_mask`` and
            ``token_type_ids`` beside it where the graph asks for them.
        tokenizer: ``tokenizer.json`` of the same model.
        max_tokens: Longest input in tokens, special tokens included; longer texts are cut.
        pooling: Used when the graph gives one vector per token.
        quantized_dynamically: The graph scales activations by batch, so texts must be embedded one at a time.
    """

    model: EmbeddingModel
    graph: Path
    tokenizer: Path
    max_tokens: int = DEFAULT_MAX_TOKENS
    pooling: Pooling = Pooling.MEAN
    quantized_dynamically: bool = False


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """The part of a Hugging Face ``config.json`` that decides the graph's shape."""

    model_type: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    max_position_embeddings: int = 512
    position_embedding_type: str = "absolute"


@dataclass(frozen=True, slots=True)
class _SentenceConfig:
    max_seq_length: int = DEFAULT_MAX_TOKENS


@dataclass(frozen=True, slots=True)
class _PoolingConfig:
    pooling_mode_cls_token: bool = False
    pooling_mode_mean_tokens: bool = True
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False


def read_transformer_config(folder: Path) -> TransformerConfig:
    """Read ``config.json``.

    Raises:
        ModelError: If it is missing or lacks a field.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(str(folder), "config.json is missing", "copy it from the model's repository into the folder")
    return _decode(path, TransformerConfig)


def read_max_tokens(folder: Path) -> int:
    """``max_seq_length`` of ``sentence_bert_config.json``, or 256."""
    path = folder / "sentence_bert_config.json"
    return _decode(path, _SentenceConfig).max_seq_length if path.is_file() else DEFAULT_MAX_TOKENS


def read_pooling(folder: Path) -> Pooling:
    """Pooling of ``1_Pooling/config.json``, or the mean.

    Raises:
        ModelError: If the folder asks for another pooling than mean or CLS.
    """
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return Pooling.MEAN
    config = _decode(path, _PoolingConfig)
    if config.pooling_mode_max_tokens or config.pooling_mode_mean_sqrt_len_tokens:
        raise ModelError(
            str(folder),
            "1_Pooling/config.json asks for max or sqrt-length pooling",
            "use a model with mean or CLS pooling",
        )
    if config.pooling_mode_cls_token == config.pooling_mode_mean_tokens:
        raise ModelError(
            str(folder),
            "1_Pooling/config.json must choose one of mean and CLS pooling",
            "use a model with one of the two",
        )
    return Pooling.CLS if config.pooling_mode_cls_token else Pooling.MEAN


def vector_version(weights_sha256: str, tokenizer_sha256: str, max_tokens: int, pooling: Pooling) -> str:
    """Version of a model's vectors: 12 hex digits over everything that changes them, and nothing else.

    The same weights, tokenizer, length and pooling make comparable vectors wherever the files lie.
    """
    described = f"{weights_sha256}\n{tokenizer_sha256}\n{max_tokens}\n{pooling.value}"
    return hashlib.sha256(described.encode()).hexdigest()[:12]


def sha256_of(path: Path, *, advance: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file in hex; ``advance`` is told the bytes read so far."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
            done += len(block)
            if advance is not None:
                advance(done)
    return digest.hexdigest()


def _decode(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, OSError) as error:
        raise ModelError(
            str(path.parent), f"{path.name} cannot be read: {error}", "replace the file with the model's own"
        ) from error
