"""A network of torch as an ONNX file."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from xnn.files import disk_errors

_OPSET = 18


def write_onnx(
    path: Path,
    network: nn.Module,
    given: Mapping[str, Tensor],
    outputs: Sequence[str],
    *,
    open_axes: Mapping[str, Mapping[int, str]],
) -> None:
    """Write a network as ONNX.

    Args:
        path: Written.
        network: In eval mode.
        given: An example of each input, by name, in the order of the network's arguments.
        outputs: Names of the outputs.
        open_axes: Axes of inputs and outputs that may have another length in use.

    Raises:
        StorageError: The disk refused.
    """
    arguments = tuple(given.values())
    with torch.no_grad():
        network(*arguments)  # what is computed once and kept must not be kept while it is traced
        with _quiet(), disk_errors("write", path):
            # The exporter through torch.export takes minutes where this one takes seconds.
            torch.onnx.export(
                network,
                arguments,
                str(path),
                dynamo=False,
                opset_version=_OPSET,
                input_names=list(given),
                output_names=list(outputs),
                dynamic_axes={name: dict(axes) for name, axes in open_axes.items()},
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on shapes that are constant anyway off the screen."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
