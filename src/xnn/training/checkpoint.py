"""Checkpoints: tensors as safetensors, the rest as JSON, whole or absent.

`last.json` is written after the tensor file that it names, and names its SHA-256, so a process
killed at any moment leaves the old checkpoint or the new one. There is no pickle.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from xnn.errors import CorruptError, ResumeError, VersionError
from xnn.files import disk_errors, open_atomically, read_json, sha256_of_file, write_json

FORMAT = "xnn-checkpoint"
VERSION = 1
_POINTER = "last.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything that a run needs to go on.

    Random numbers need no state: they are seeded by (seed, step) before every step.
    """

    settings: dict[str, Any]
    """What the run was begun with, flat; a resumed run must agree."""
    progress: dict[str, Any]
    """Plain data of `Progress`."""
    tensors: dict[str, Tensor]
    """Named by module and parameter."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, then remove the one before.

    Raises:
        StorageError: The disk is full or read-only; the checkpoint before still stands.
    """
    name = f"step-{checkpoint.progress['step']:08d}.safetensors"
    content = {
        key: tensor.detach().cpu().contiguous() for key, tensor in checkpoint.tensors.items()
    }
    with disk_errors("make the folder of checkpoints", folder):
        folder.mkdir(parents=True, exist_ok=True)
    with open_atomically(folder / name) as file:
        file.write(safetensors.torch.save(content))
    pointer = {
        "format": FORMAT,
        "version": VERSION,
        "tensors": name,
        "sha256": sha256_of_file(folder / name),
        "settings": checkpoint.settings,
        "progress": checkpoint.progress,
    }
    write_json(folder / _POINTER, pointer)
    for old in folder.glob("step-*"):
        if old.name != name:
            old.unlink(missing_ok=True)


def has_checkpoint(folder: Path) -> bool:
    """Say whether a run can be resumed from this folder."""
    return (folder / _POINTER).is_file()


def load_checkpoint(folder: Path, *, settings: dict[str, Any]) -> Checkpoint:
    """Read the last checkpoint of a run.

    Args:
        folder: Where `save_checkpoint` wrote.
        settings: Of the run that wants to go on.

    Raises:
        ResumeError: The run was begun with other settings; the differing ones are named.
        VersionError: Written by another version of XNN.
        CorruptError: A file is missing, truncated or altered.
    """
    pointer = read_json(folder / _POINTER)
    if (pointer.get("format"), pointer.get("version")) != (FORMAT, VERSION):
        raise VersionError(
            f"checkpoint of format {pointer.get('format')!r} {pointer.get('version')!r}, "
            f"expected {FORMAT!r} {VERSION}; resume with the XNN that wrote it"
        )
    try:
        begun, progress = pointer["settings"], pointer["progress"]
        tensors_path = folder / Path(pointer["tensors"]).name
        digest = pointer["sha256"]
    except (KeyError, TypeError) as error:
        raise CorruptError(f"checkpoint lacks {error}; restore it or start anew") from error
    _check_settings(begun, settings)
    if not tensors_path.is_file() or sha256_of_file(tensors_path) != digest:
        raise CorruptError(
            f"checkpoint {tensors_path.name!r} is missing or altered; restore it or start anew"
        )
    try:
        tensors = safetensors.torch.load_file(tensors_path)
    except safetensors.SafetensorError as error:
        raise CorruptError(f"checkpoint {tensors_path.name!r} cannot be read") from error
    return Checkpoint(settings=begun, progress=progress, tensors=tensors)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's memory as named tensors."""
    return {
        f"{index}/{name}": value
        for index, memory in optimizer.state_dict()["state"].items()
        for name, value in memory.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned."""
    memory: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/")
        memory.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": memory, "param_groups": groups})


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name tensors as part of a module."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Undo `with_prefix`; an empty result means there were none."""
    start = f"{prefix}/"
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def _check_settings(begun: dict[str, Any], now: dict[str, Any]) -> None:
    differing = [
        f"{name}={begun.get(name)!r} then, {now.get(name)!r} now"
        for name in sorted(begun.keys() | now.keys())
        if begun.get(name) != now.get(name)
    ]
    if differing:
        raise ResumeError(
            f"the run was begun with other settings: {'; '.join(differing[:4])}; "
            "resume with the old ones or start a new run"
        )
