"""The small variant: the extractor's weights in 8 bits, the noise in 32."""

import importlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xnn.errors import MissingExtraError

_BATCH = 16


def quantise(source: Path, target: Path, given: dict[str, Any]) -> None:
    """Write a front with its convolutions or its matrix products in int8.

    Convolutions get ranges from the crops (static); a transformer's products choose theirs at run
    time (dynamic). The code and the coupling stay in float32: their rounds multiply every error.

    Args:
        source: Exported front.
        target: Written.
        given: Inputs on real crops.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    try:
        onnx = importlib.import_module("onnx")
        tools = importlib.import_module("onnxruntime.quantization")
    except ImportError as error:
        raise MissingExtraError(
            "onnx and onnxruntime are needed; run pip install 'xnn-face[train,noise]'"
        ) from error
    nodes = list(onnx.load(str(source)).graph.node)
    kept = [node.name for node in nodes if _is_of_noise(node.name)]
    num_convolutions = sum(node.op_type == "Conv" for node in nodes)
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # the quantiser advises on the root logger
    try:
        if num_convolutions > 1:
            tools.quantize_static(
                str(source),
                str(target),
                _reader(tools, given),
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=kept,
                per_channel=True,
            )
        else:
            tools.quantize_dynamic(
                str(source),
                str(target),
                op_types_to_quantize=["MatMul", "Gemm"],
                nodes_to_exclude=kept,
                per_channel=True,
            )
    finally:
        logging.root.setLevel(level)


def _is_of_noise(name: str) -> bool:
    return "/coupling/" in name or "/code/" in name


def _reader(tools: Any, given: dict[str, Any]) -> Any:
    """Return what the quantiser takes its ranges from."""

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            num = len(given["crops"])
            self._parts: Iterator[dict[str, Any]] = iter(
                {name: value[start : start + _BATCH] for name, value in given.items()}
                for start in range(0, num, _BATCH)
            )

        def get_next(self) -> dict[str, Any] | None:
            return next(self._parts, None)

    return Reader()
