"""Weights of a ViT in the published layouts, mapped to ours by name: all of them or an error.

MoCo v3        `state_dict` under `module.base_encoder.` (or `momentum_encoder`, or `module.`)
timm           `blocks.0.attn.qkv.weight`, bare or under `model` / `state_dict`
Hugging Face   `encoder.layer.0.attention.attention.query.weight`, with `vit.` or without
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xnn.errors import CorruptError, FormatError
from xnn.extractors.weight_files import load_strictly, read_tensors
from xnn.files import disk_errors
from xnn.models.vit import ViTFront, ViTShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Names of one published layout. Several names for one of ours are stacked in that order."""

    name: str
    prefixes: tuple[str, ...]
    """Tried in this order; the first under which the class token is found is taken."""
    stem: Mapping[str, str]
    """Our module or tensor before the blocks, and theirs."""
    block: str
    """Prefix of a block's names, with {} for its index."""
    parts: Mapping[str, tuple[str, ...]]
    """Our module within a block, and theirs."""

    def names(self, split_depth: int) -> dict[str, tuple[str, ...]]:
        """Return our tensor names, each with theirs, for the first `split_depth` blocks."""
        names: dict[str, tuple[str, ...]] = {
            ours: (self.stem[ours],) for ours in ("class_token", "position")
        }
        modules: dict[str, tuple[str, ...]] = {"patches": (self.stem["patches"],)}
        for index in range(split_depth):
            for ours, theirs in self.parts.items():
                block = self.block.format(index)
                modules[f"blocks.{index}.{ours}"] = tuple(block + part for part in theirs)
        for ours, modules_there in modules.items():
            for kind in ("weight", "bias"):
                names[f"{ours}.{kind}"] = tuple(f"{there}.{kind}" for there in modules_there)
        return names


TIMM = Layout(
    name="timm or MoCo v3",
    prefixes=("module.base_encoder.", "module.momentum_encoder.", "module.", ""),
    stem={"class_token": "cls_token", "position": "pos_embed", "patches": "patch_embed.proj"},
    block="blocks.{}.",
    parts={
        "norm1": ("norm1",),
        "attn.qkv": ("attn.qkv",),
        "attn.proj": ("attn.proj",),
        "norm2": ("norm2",),
        "fc1": ("mlp.fc1",),
        "fc2": ("mlp.fc2",),
    },
)
HUGGING_FACE = Layout(
    name="Hugging Face",
    prefixes=("vit.", ""),
    stem={
        "class_token": "embeddings.cls_token",
        "position": "embeddings.position_embeddings",
        "patches": "embeddings.patch_embeddings.projection",
    },
    block="encoder.layer.{}.",
    parts={
        "norm1": ("layernorm_before",),
        "attn.qkv": tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
        "attn.proj": ("attention.output.dense",),
        "norm2": ("layernorm_after",),
        "fc1": ("intermediate.dense",),
        "fc2": ("output.dense",),
    },
)
LAYOUTS = (TIMM, HUGGING_FACE)


def load_front(path: Path, shape: ViTShape, split_depth: int) -> ViTFront:
    """Return the first blocks of a checkpoint in any known layout, in eval mode.

    Args:
        path: `.safetensors`, or `.pth`, `.pt`, `.pth.tar` (read without running code).
        shape: Sizes that the checkpoint must have.
        split_depth: Blocks kept, 1..shape.depth.

    Raises:
        ConfigError: `split_depth` is outside its range.
        StorageError: The file cannot be read.
        CorruptError: It is not a whole checkpoint of plain tensors.
        FormatError: Another layout, or tensors missing or of another shape.
    """
    front = ViTFront(shape, split_depth)
    tensors = read_checkpoint(path)
    load_strictly(front, _mapped(tensors, front, split_depth, path.name), source=path.name)
    return front.eval().requires_grad_(requires_grad=False)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a checkpoint file; nothing in it is executed.

    Raises:
        StorageError: The file cannot be read.
        CorruptError: It is truncated, not a checkpoint, or holds more than plain data.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)
    with disk_errors("read the checkpoint", path), path.open("rb") as file:
        try:
            content: Any = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises a dozen kinds for broken or hostile files
            raise CorruptError(
                f"{path.name!r} is not a whole checkpoint of plain tensors (nothing in it was "
                "run); download it again or convert it to safetensors"
            ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise CorruptError(
            f"{path.name!r} holds a {type(content).__name__}, expected a state_dict of tensors"
        )
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _mapped(
    tensors: dict[str, Tensor], front: ViTFront, split_depth: int, source: str
) -> dict[str, Tensor]:
    """Return the front's tensors, float32, under our names."""
    layout, prefix = _recognise(tensors, source)
    wanted = layout.names(split_depth)
    missing, misshapen, mapped = [], [], {}
    for ours, parameter in front.state_dict().items():
        theirs = [prefix + name for name in wanted[ours]]
        lacking = [name for name in theirs if name not in tensors]
        missing += lacking
        if lacking:
            continue
        rows = parameter.shape[0] // len(theirs)
        misshapen += [
            f"{name} is {tuple(tensors[name].shape)}, expected {(rows, *parameter.shape[1:])}"
            for name in theirs
            if tensors[name].shape != (rows, *parameter.shape[1:])
        ]
        mapped[ours] = [tensors[name] for name in theirs]
    if missing or misshapen:
        raise FormatError(
            f"checkpoint {source!r} ({layout.name}) does not fit: "
            + _listed("missing ", missing)
            + _listed("", misshapen)
            + "give a ViT of the stated size"
        )
    stacked = {ours: torch.cat(parts).float() for ours, parts in mapped.items()}
    broken = [ours for ours, value in stacked.items() if not value.isfinite().all()]
    if broken:
        raise FormatError(f"checkpoint {source!r}: " + _listed("NaN or infinity in ", broken))
    return stacked


def _recognise(tensors: dict[str, Tensor], source: str) -> tuple[Layout, str]:
    """Return the layout of a checkpoint and the prefix of its names."""
    for layout in LAYOUTS:
        for prefix in layout.prefixes:
            if prefix + layout.stem["class_token"] in tensors:
                return layout, prefix
    known = ", ".join(layout.name for layout in LAYOUTS)
    raise FormatError(
        f"checkpoint {source!r} has {len(tensors)} tensors and no class token under any known "
        f"name; give a ViT in the layout of {known}"
    )


def _listed(label: str, names: list[str]) -> str:
    """Return up to four names for an error, or nothing."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{label}{', '.join(names[:4])}{more}; " if names else ""
