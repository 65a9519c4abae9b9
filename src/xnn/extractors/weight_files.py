"""Reading weights from files: verified, never unpickling code."""

from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from xnn.errors import CorruptError
from xnn.files import disk_errors, sha256_of_file

VENDORED_DIR = Path(__file__).parent / "weights"
"""Weights that ship in the package, each with its notice."""


def read_weights(path: Path, *, sha256: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file whose digest is known, as float32.

    Raises:
        StorageError: The file cannot be read.
        CorruptError: It is not the expected file, or not safetensors.
    """
    found = sha256_of_file(path)
    if found != sha256:
        raise CorruptError(
            f"weights {path.name!r} have sha256 {found[:12]}..., expected {sha256[:12]}...; "
            "install or fetch them again"
        )
    return {name: tensor.float() for name, tensor in read_tensors(path).items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        StorageError: The file cannot be read.
        CorruptError: It is not safetensors, or is truncated.
    """
    try:
        with disk_errors("read the weights", path):
            return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise CorruptError(
            f"{path.name!r} is not a whole safetensors file; download it again"
        ) from error


def load_strictly(network: torch.nn.Module, tensors: dict[str, Tensor], *, source: str) -> None:
    """Copy every tensor of a network from `tensors`; extra tensors are an error too.

    Raises:
        CorruptError: A tensor is missing, left over or of another shape.
    """
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CorruptError(f"weights of {source!r} do not fit the network: {reason}") from error
