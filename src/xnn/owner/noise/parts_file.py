"""Finished parts of a run on disk: weights, facts, and the digest of both.

A part is `<name>.safetensors` and `<name>.json`; the JSON is written last. All parts stay with the
owner: what leaves is made of them by `xnn noise export`.
"""

from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from xnn.errors import CorruptError, FormatError, VersionError
from xnn.files import open_atomically, read_json, sha256_of_file, write_json

FORMAT = "xnn-noise-part"
VERSION = 1


def save_part(folder: Path, name: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write a part; an earlier one of that name is replaced.

    Raises:
        StorageError: The disk is full or read-only.
    """
    path = folder / f"{name}.safetensors"
    path.with_suffix(".json").unlink(missing_ok=True)
    content = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
    with open_atomically(path) as file:
        file.write(safetensors.torch.save(content))
    head = {"format": FORMAT, "version": VERSION, "part": name, "sha256": sha256_of_file(path)}
    write_json(path.with_suffix(".json"), {**head, "facts": facts})


def has_part(folder: Path, name: str) -> bool:
    """Say whether a part was finished."""
    return (folder / f"{name}.json").is_file()


def load_part(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a part and verify it.

    Raises:
        FormatError: The folder holds no such part.
        VersionError: Written by another version.
        CorruptError: A file is missing or altered.
    """
    path = folder / f"{name}.safetensors"
    if not has_part(folder, name):
        raise FormatError(
            f"{folder.name!r} holds no {name}: not a run of `xnn noise train`, or not finished; "
            "run it with --resume"
        )
    content = read_json(path.with_suffix(".json"))
    if (content.get("format"), content.get("version")) != (FORMAT, VERSION):
        raise VersionError(
            f"{name} has format {content.get('format')!r} {content.get('version')!r}, expected "
            f"{FORMAT!r} {VERSION}; use the program that wrote it"
        )
    facts = content.get("facts")
    if not path.is_file() or sha256_of_file(path) != content.get("sha256"):
        raise CorruptError(f"{path.name!r} is missing or altered; restore it or train anew")
    if not isinstance(facts, dict):
        raise CorruptError(f"{name}.json has no facts; restore it or train anew")
    try:
        return safetensors.torch.load_file(path), facts
    except safetensors.SafetensorError as error:
        raise CorruptError(f"{path.name!r} cannot be read; train anew") from error
