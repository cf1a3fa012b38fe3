"""Local embedder: a sentence encoder on onnxruntime, all-MiniLM-L6-v2 by default. Works offline."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

from memoir_server.adapters.embedder.model_files import ModelError, ModelFiles, Pooling
from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vectors
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable

# A run is bounded in rows and tokens: enough to fill the matrix kernels, short enough that a waiting query
# gets its turn within tens of milliseconds.
MAX_ROWS_PER_RUN: Final = 32
MAX_TOKENS_PER_RUN: Final = 1024

_ERRORS_ONLY: Final = 3

_TokenIds = list[int]


class OnnxEmbedder(Embedder):
    """Runs an ONNX sentence encoder in threads of its own.

    A run holds texts of equal token length and no padding, and each run uses one thread. A text's vector is therefore
    the same bit for bit alone, in any batch, and with any number of threads. Models quantized dynamically run one text
    at a time, because their scales come from the whole batch.

    The constructor reads the model (some 90 MB, about half a second): call it outside the event loop.

    Args:
        files: The model, from :func:`memoir_server.adapters.embedder.models.locate`.
        threads: Runs that may go on at once, at least 1. More threads raise the throughput of batches, not the speed
            of one text.

    Raises:
        ModelError: If the files cannot be loaded or give vectors of another form than announced.
        ValueError: If ``threads`` is below 1.
    """

    def __init__(self, files: ModelFiles, *, threads: int = 1) -> None:
        if threads < 1:
            raise ValueError(f"threads={threads}: give a number of at least 1")
        self._model = files.model
        self._pooling = files.pooling
        self._max_rows = 1 if files.quantized_dynamically else MAX_ROWS_PER_RUN
        self._tokenizer = _open_tokenizer(files)
        self._session = _open_session(files)
        self._inputs = frozenset(entry.name for entry in self._session.get_inputs())
        self._output: str = self._session.get_outputs()[0].name
        self._check_form(files)
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="memoir-embed")
        self._closed = False

    @property
    def model(self) -> EmbeddingModel:
        return self._model

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        if self._closed:
            raise self._unavailable("it was closed")
        if not texts:
            return np.empty((0, self._model.dimension), dtype=np.float32)
        loop = asyncio.get_running_loop()
        if len(texts) == 1:
            # The common case of a query: one hop to a thread instead of two.
            return await loop.run_in_executor(self._threads, self._embed_one, texts[0])
        tokens = await loop.run_in_executor(self._threads, self._tokenise, list(texts))
        rows_by_run = list(_runs_of_equal_length(tokens, self._max_rows))
        runs = [loop.run_in_executor(self._threads, self._run, [tokens[row] for row in rows]) for rows in rows_by_run]
        try:
            results = await asyncio.gather(*runs)
        finally:
            # After a failure or cancellation the runs that have not begun are not begun.
            for run in runs:
                run.cancel()
        vectors = np.empty((len(texts), self._model.dimension), dtype=np.float32)
        for rows, result in zip(rows_by_run, results, strict=True):
            vectors[rows] = result
        return vectors

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def count_tokens(self, text: str) -> int:
        """Tokens the model reads of a text, special tokens included, at most the model's limit."""
        return len(self._tokenise([text])[0])

    def _embed_one(self, text: str) -> Vectors:
        return self._run(self._tokenise([text]))

    def _tokenise(self, texts: list[str]) -> list[_TokenIds]:
        # The tokenizer takes Unicode text only; a lone surrogate is none.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        encodings: list[Encoding] = [self._tokenizer.encode(text) for text in clean]
        return [encoding.ids for encoding in encodings]

    def _run(self, rows: list[_TokenIds]) -> Vectors:
        """Embed rows of equal length. Blocks its thread; onnxruntime releases the interpreter lock meanwhile."""
        ids = np.array(rows, dtype=np.int64)
        feeds: dict[str, npt.NDArray[np.int64]] = {"input_ids": ids}
        if "attention_mask" in self._inputs:
            feeds["attention_mask"] = np.ones_like(ids)
        if "token_type_ids" in self._inputs:
            feeds["token_type_ids"] = np.zeros_like(ids)
        try:
            output = np.asarray(self._session.run([self._output], feeds)[0], dtype=np.float32)
        except Exception as error:  # onnxruntime's exceptions share no base of their own
            raise self._unavailable(f"onnxruntime failed: {error}") from error
        return self._unit_vectors(output)

    def _unit_vectors(self, output: npt.NDArray[np.float32]) -> Vectors:
        """Pool (token vectors) and normalise (Reimers and Gurevych, "Sentence-BERT", 2019).

        One text at a time and in double precision: what is done to a row cannot depend on the other rows.
        """
        vectors = np.empty((output.shape[0], output.shape[-1]), dtype=np.float32)
        for row, states in enumerate(output):
            if states.ndim == 1:
                pooled = states.astype(np.float64)
            elif self._pooling is Pooling.CLS:
                pooled = states[0].astype(np.float64)
            else:
                pooled = states.mean(axis=0, dtype=np.float64)
            norm = np.sqrt(np.square(pooled).sum())
            if not (np.isfinite(norm) and norm > 0):
                raise self._unavailable("the model gave a vector without direction")
            vectors[row] = pooled / norm
        return vectors

    def _check_form(self, files: ModelFiles) -> None:
        unknown = self._inputs - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown or "input_ids" not in self._inputs:
            raise ModelError(
                str(files.graph),
                f"the graph's inputs are {sorted(self._inputs)}",
                "export it with input_ids, attention_mask and token_type_ids",
            )
        try:
            width = self._embed_one("form").shape[1]
        except EmbedderUnavailable as error:
            raise ModelError(str(files.graph), error.reason, "fetch or export the model again") from error
        if width != self._model.dimension:
            raise ModelError(
                str(files.graph),
                f"it gives vectors of {width} components, not {self._model.dimension}",
                "take graph and config.json from one model",
            )

    def _unavailable(self, reason: str) -> EmbedderUnavailable:
        return EmbedderUnavailable(
            str(self._model), reason, "see the server's log, then restart it; 'memoir models' checks the files"
        )


def _runs_of_equal_length(tokens: Sequence[_TokenIds], max_rows: int) -> Iterator[list[int]]:
    """Indices of ``tokens`` grouped into runs: one token length per run, bounded in rows and tokens, shortest first."""
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for index, ids in enumerate(tokens):
        by_length[len(ids)].append(index)
    for length in sorted(by_length):
        indices = by_length[length]
        step = max(1, min(max_rows, MAX_TOKENS_PER_RUN // max(length, 1)))
        for start in range(0, len(indices), step):
            yield indices[start : start + step]


def _open_tokenizer(files: ModelFiles) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(files.tokenizer))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelError(
            str(files.tokenizer), f"the tokenizer cannot be read: {error}", "fetch the model again"
        ) from error
    # The file's own settings pad and cut every text to 128 tokens.
    tokenizer.no_padding()
    tokenizer.enable_truncation(files.max_tokens)
    return tokenizer


def _open_session(files: ModelFiles) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(str(files.graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise ModelError(
            str(files.graph), f"the graph cannot be loaded: {error}", "fetch or export the model again"
        ) from error
