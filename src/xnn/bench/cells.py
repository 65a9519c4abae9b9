"""Finished cells of a measurement on disk, so that a killed one goes on where it stopped."""

import hashlib
import io
from pathlib import Path
from typing import Any, final
from zipfile import BadZipFile

import numpy as np

from xnn.errors import CorruptError
from xnn.faces.dataset import FaceSet
from xnn.files import canonical_json, disk_errors, read_json, write_atomically, write_json
from xnn.metrics.evaluation import Measured
from xnn.metrics.intervals import Bootstrap


def fingerprint(faces: FaceSet) -> str:
    """Name a face set by its subjects, its files' names and their sizes; nothing is read."""
    listed = []
    for sample in faces.samples:
        with disk_errors("read", sample.path):
            listed.append([sample.subject, sample.path.name, sample.path.stat().st_size])
    return hashlib.sha256(canonical_json([faces.name, listed])).hexdigest()


@final
class CellStore:
    """Measured rates by cell; a cell is named by everything that decides it.

    Args:
        folder: Made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with disk_errors("make the folder", folder):
            folder.mkdir(parents=True, exist_ok=True)

    def load(self, facts: dict[str, Any]) -> tuple[tuple[Measured, ...], dict[str, Any]] | None:
        """Return the rates and details of a finished cell, or None."""
        path = self._path(facts)
        if not path.with_suffix(".json").is_file():
            return None
        content = read_json(path.with_suffix(".json"))
        try:
            archive = io.BytesIO(path.with_suffix(".npz").read_bytes())
            with np.load(archive, allow_pickle=False) as arrays:
                measured = tuple(
                    Measured(
                        bootstrap=Bootstrap(value=row.pop("value"), replicates=arrays[str(i)]),
                        **row,
                    )
                    for i, row in enumerate(content["rows"])
                )
            return measured, dict(content["details"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError, BadZipFile) as error:
            raise CorruptError(f"cell {path.name!r} is damaged; remove it and run again") from error

    def save(
        self, facts: dict[str, Any], measured: tuple[Measured, ...], details: dict[str, Any]
    ) -> None:
        """Keep a finished cell; the JSON is written last."""
        path = self._path(facts)
        arrays = io.BytesIO()
        replicates: dict[str, Any] = {
            str(i): one.bootstrap.replicates for i, one in enumerate(measured)
        }
        np.savez(arrays, **replicates)
        write_atomically(path.with_suffix(".npz"), arrays.getvalue())
        rows = [
            {
                "protocol": one.protocol,
                "metric": one.metric,
                "value": one.bootstrap.value,
                "chance": one.chance,
                "subjects": one.subjects,
                "probes": one.probes,
            }
            for one in measured
        ]
        content = {"facts": facts, "details": details, "rows": rows}
        write_json(path.with_suffix(".json"), content)

    def _path(self, facts: dict[str, Any]) -> Path:
        return self._folder / hashlib.sha256(canonical_json(facts)).hexdigest()[:24]
