"""What the measuring commands share: lists of names, fewer subjects, the JSON they write."""

import datetime
import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from xnn.cli.output import emit, stderr
from xnn.faces.dataset import FaceSet
from xnn.files import write_json


def names_in(schemes: str) -> tuple[str, ...]:
    """Return the names of a list separated by commas."""
    return tuple(name.strip() for name in schemes.split(",") if name.strip())


def some_subjects(faces: FaceSet, max_subjects: int | None, *, min_images: int = 1) -> FaceSet:
    """Return the first subjects that have enough images, for a quick look."""
    enough = [subject for subject, count in faces.counts.items() if count >= min_images]
    chosen = set(enough[:max_subjects])
    kept = tuple(sample for sample in faces.samples if sample.subject in chosen)
    return FaceSet(name=faces.name, samples=kept)


def say(text: str) -> None:
    """Print one line of progress on stderr."""
    stderr().print(text, highlight=False)


def finish(out: Path, rows: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    """Write the rows with what made them, print them, and return what was written.

    Args:
        out: JSON file.
        rows: Plain data.
        facts: More facts for the file.
    """
    content = {
        "command": command_line(),
        "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        **facts,
        "rows": rows,
    }
    plain: dict[str, Any] = json.loads(json.dumps(content))
    write_json(out, plain)
    emit({"out": str(out), "rows": rows}, title="Measured")
    return plain


def command_line() -> str:
    """Return the command that is running, its paths cut to their last part."""
    return " ".join(["xnn", *(_short(word) for word in sys.argv[1:])])


def _short(word: str) -> str:
    """Keep the last part of a path: the rest names machines and people."""
    return word.rstrip("/").rpartition("/")[2] or word
