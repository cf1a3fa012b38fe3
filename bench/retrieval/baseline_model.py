"""The model for the harness's own baseline, made from the one Memoir has fetched.

Memoir embeds texts of equal length together, so its graph has no attention mask and leaves pooling to the caller. The
harness pads its batches: it needs the same weights with a mask, mean pooling and unit norm in the graph.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from memoir_server.adapters.embedder.models import DEFAULT_MODEL, fetch

_INPUT = "input_ids"
_MASK = "attention_mask"
_OUTPUT = "embedding"


def write_model_home(home: Path) -> None:
    """Writes what the harness expects at MINILM_HOME: `model/tokenizer.json` and `onnx/minilm_fp32.onnx`.

    Fetches the model first if it is not here yet. Raises ModelError if that fails.
    """
    files = fetch(DEFAULT_MODEL)
    (home / "model").mkdir(parents=True)
    (home / "onnx").mkdir()
    (home / "model" / "tokenizer.json").symlink_to(files.tokenizer)
    onnx.save(masked(onnx.load(files.graph)), home / "onnx" / "minilm_fp32.onnx")


def masked(model: onnx.ModelProto) -> onnx.ModelProto:
    """The encoder with an input `attention_mask` (int64, shape (batch, tokens), 0 for padding) and the output
    `embedding` (float32, shape (batch, width), unit norm): masked mean of the token vectors (Reimers and Gurevych
    2019)."""
    graph = model.graph
    tokens = graph.output[0].name
    width = graph.output[0].type.tensor_type.shape.dim[2].dim_value
    constants: dict[str, NDArray[Any]] = {
        "mask_one": np.array(1.0, dtype=np.float32),
        # Far below any attention score, far above the least float32.
        "mask_far": np.array(1e9, dtype=np.float32),
        "mask_heads": np.array([1, 2], dtype=np.int64),
        "mask_last": np.array([2], dtype=np.int64),
        "mask_tokens": np.array([1], dtype=np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    before = [
        helper.make_node("Cast", [_MASK], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["mask", "mask_one"], ["mask_padding"]),
        helper.make_node("Mul", ["mask_padding", "mask_far"], ["mask_scores"]),
        helper.make_node("Unsqueeze", ["mask_scores", "mask_heads"], ["mask_bias"]),
    ]
    nodes: list[NodeProto] = []
    for number, node in enumerate(graph.node):
        if node.op_type == "Softmax":
            biased = f"masked_{number}"
            nodes.append(helper.make_node("Add", [node.input[0], "mask_bias"], [biased]))
            node.input[0] = biased
        nodes.append(node)
    after = [
        helper.make_node("Unsqueeze", ["mask", "mask_last"], ["mask_column"]),
        helper.make_node("Mul", [tokens, "mask_column"], ["kept_tokens"]),
        helper.make_node("ReduceSum", ["kept_tokens", "mask_tokens"], ["sum_of_tokens"], keepdims=0),
        helper.make_node("LpNormalization", ["sum_of_tokens"], [_OUTPUT], axis=1, p=2),
    ]
    made = helper.make_graph(
        [*before, *nodes, *after],
        graph.name,
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in (_INPUT, _MASK)],
        [helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, ["batch", width])],
        list(graph.initializer),
    )
    complete = helper.make_model(made, opset_imports=model.opset_import, producer_name="memoir-bench")
    complete.ir_version = model.ir_version
    onnx.checker.check_model(complete)
    return complete
