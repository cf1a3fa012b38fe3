"""ONNX graph of a BERT-style sentence encoder, built from its weights: no training framework needed.

Architecture after Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2019).

The graph has no attention mask: batches hold texts of equal token length only, so there is nothing to mask. It ends
with the token vectors: onnxruntime sums over tokens in another order for one text than for several, so pooling inside
the graph would make a text's vector depend on its batch. Everything before that is the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from memoir_server.adapters.embedder.model_files import ModelError, TransformerConfig

INPUT_IDS: Final = "input_ids"
TOKEN_VECTORS: Final = "token_vectors"

# Gelu entered ONNX with opset 20; IR version 9 is the oldest that carries it.
_OPSET: Final = 20
_IR_VERSION: Final = 9

_SUPPORTED_TYPE: Final = "bert"
_SUPPORTED_ACTIVATION: Final = "gelu"

Weights = Mapping[str, npt.NDArray[np.float32]]


def build_graph(weights: Weights, config: TransformerConfig, *, name: str) -> onnx.ModelProto:
    """The encoder as an ONNX model.

    Input ``input_ids``: int64, shape ``(batch, tokens)``, no padding. Output ``token_vectors``:
    float32, shape ``(batch, tokens, hidden_size)``.

    Raises:
        ModelError: If the architecture is not BERT with exact GELU and absolute positions, or a weight is missing.
    """
    _check_architecture(config, name)
    writer = _GraphWriter()
    encoder = _Encoder(writer, _prefixless(weights), config, name)
    states = encoder.embed_tokens()
    for layer in range(config.num_hidden_layers):
        states = encoder.layer(states, layer)
    writer.node("Identity", TOKEN_VECTORS, states)
    graph = helper.make_graph(
        writer.nodes,
        name,
        [helper.make_tensor_value_info(INPUT_IDS, TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info(TOKEN_VECTORS, TensorProto.FLOAT, ["batch", "tokens", config.hidden_size])],
        writer.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="memoir")
    model.ir_version = _IR_VERSION
    onnx.checker.check_model(model)
    return model


def _check_architecture(config: TransformerConfig, name: str) -> None:
    for field, found, wanted in (
        ("model_type", config.model_type, _SUPPORTED_TYPE),
        ("hidden_act", config.hidden_act, _SUPPORTED_ACTIVATION),
        ("position_embedding_type", config.position_embedding_type, "absolute"),
    ):
        if found != wanted:
            raise ModelError(
                name,
                f"config.json: {field}={found!r}, only {wanted!r} is built here",
                "put the model's own model.onnx into the folder",
            )
    if config.hidden_size % config.num_attention_heads:
        raise ModelError(
            name,
            f"config.json: hidden_size={config.hidden_size} does not divide by "
            f"num_attention_heads={config.num_attention_heads}",
            "take config.json and weights from the same model",
        )


def _prefixless(weights: Weights) -> Weights:
    """Weights without the ``bert.`` some exports put before every name."""
    return {name.removeprefix("bert."): value for name, value in weights.items()}


class _GraphWriter:
    """Collects nodes and constants; every node has one output, named after the node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._known: set[str] = set()

    def constant(self, name: str, value: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> str:
        if name not in self._known:
            self._known.add(name)
            self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant("i64_" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def node(self, kind: str, name: str, *inputs: str, **attributes: int | float | list[int]) -> str:
        made = helper.make_node(kind, list(inputs), [name], name=name)
        made.attribute.extend(helper.make_attribute(key, value) for key, value in sorted(attributes.items()))
        self.nodes.append(made)
        return name

    def split(self, name: str, tensor: str, parts: tuple[str, ...]) -> tuple[str, ...]:
        outputs = tuple(f"{name}.{part}" for part in parts)
        self.nodes.append(
            helper.make_node("Split", [tensor], list(outputs), name=name, axis=-1, num_outputs=len(parts))
        )
        return outputs


class _Encoder:
    """Writes the encoder piece by piece. Shapes below: B texts, S tokens, D = hidden size, H heads of size D/H."""

    def __init__(self, writer: _GraphWriter, weights: Weights, config: TransformerConfig, name: str) -> None:
        self._writer = writer
        self._weights = weights
        self._config = config
        self._name = name

    def embed_tokens(self) -> str:
        """Token, position and segment embeddings, normalised: ``(B, S, D)``."""
        writer = self._writer
        words = writer.constant("words", self._weight("embeddings.word_embeddings.weight"))
        # There is one segment only, so its row joins the position table.
        segment = self._weight("embeddings.token_type_embeddings.weight")[0]
        positions = writer.constant("positions", self._weight("embeddings.position_embeddings.weight") + segment)
        length = writer.node("Shape", "tokens.length", INPUT_IDS, start=1, end=2)
        zero = writer.integers(0)
        placed = writer.node("Slice", "tokens.positions", positions, zero, length, zero)
        looked_up = writer.node("Gather", "tokens.words", words, INPUT_IDS)
        return self._normalise(
            "tokens.norm", writer.node("Add", "tokens.sum", looked_up, placed), "embeddings.LayerNorm"
        )

    def layer(self, states: str, index: int) -> str:
        """Self-attention and feed-forward block, each with its residual and norm: ``(B, S, D)`` to ``(B, S, D)``."""
        writer, source, here = self._writer, f"encoder.layer.{index}.", f"layer{index}"
        attended = self._attention(states, source + "attention.self.", here)
        attended = self._project(f"{here}.merge", attended, source + "attention.output.dense")
        states = writer.node("Add", f"{here}.attended", attended, states)
        states = self._normalise(f"{here}.norm1", states, source + "attention.output.LayerNorm")
        widened = self._project(f"{here}.widen", states, source + "intermediate.dense")
        narrowed = self._project(
            f"{here}.narrow", writer.node("Gelu", f"{here}.gelu", widened), source + "output.dense"
        )
        return self._normalise(
            f"{here}.norm2", writer.node("Add", f"{here}.fed", narrowed, states), source + "output.LayerNorm"
        )

    def _attention(self, states: str, source: str, here: str) -> str:
        """Scaled dot-product attention (Vaswani et al. 2017, equation 1), all heads at once."""
        writer, config = self._writer, self._config
        width = config.hidden_size // config.num_attention_heads
        # One product for queries, keys and values; the scale 1/sqrt(width) goes into the query weights.
        scales = {"query": np.float32(1 / np.sqrt(width)), "key": np.float32(1), "value": np.float32(1)}
        weight = np.concatenate([self._weight(f"{source}{part}.weight") * scale for part, scale in scales.items()]).T
        bias = np.concatenate([self._weight(f"{source}{part}.bias") * scale for part, scale in scales.items()])
        joint = self._affine(f"{here}.qkv", states, weight, bias)
        query, key, value = writer.split(f"{here}.split", joint, ("query", "key", "value"))
        heads = writer.integers(0, 0, config.num_attention_heads, width)

        def by_head(tensor: str, order: list[int]) -> str:
            return writer.node(
                "Transpose", f"{tensor}.heads", writer.node("Reshape", f"{tensor}.cut", tensor, heads), perm=order
            )

        scores = writer.node("MatMul", f"{here}.scores", by_head(query, [0, 2, 1, 3]), by_head(key, [0, 2, 3, 1]))
        shares = writer.node("Softmax", f"{here}.shares", scores, axis=-1)
        mixed = writer.node("MatMul", f"{here}.mixed", shares, by_head(value, [0, 2, 1, 3]))
        joined = writer.node("Transpose", f"{here}.joined", mixed, perm=[0, 2, 1, 3])
        return writer.node("Reshape", f"{here}.attention", joined, writer.integers(0, 0, config.hidden_size))

    def _project(self, name: str, tensor: str, source: str) -> str:
        return self._affine(name, tensor, self._weight(source + ".weight").T, self._weight(source + ".bias"))

    def _affine(self, name: str, tensor: str, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> str:
        writer = self._writer
        product = writer.node("MatMul", f"{name}.product", tensor, writer.constant(f"{name}.weight", weight))
        return writer.node("Add", name, product, writer.constant(f"{name}.bias", bias))

    def _normalise(self, name: str, tensor: str, source: str) -> str:
        writer = self._writer
        scale = writer.constant(f"{name}.scale", self._weight(source + ".weight"))
        shift = writer.constant(f"{name}.shift", self._weight(source + ".bias"))
        return writer.node(
            "LayerNormalization", name, tensor, scale, shift, axis=-1, epsilon=self._config.layer_norm_eps
        )

    def _weight(self, name: str) -> npt.NDArray[np.float32]:
        value = self._weights.get(name)
        if value is None:
            raise ModelError(
                self._name, f"model.safetensors holds no {name!r}", "take weights and config.json from the same model"
            )
        return np.asarray(value, dtype=np.float32)
