"""Pictures of fronts as PNG files: points without faces, and decoded faces for their owner."""

import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, UInt8
from PIL import Image

from xnn.errors import MissingExtraError
from xnn.files import write_atomically

_GAP_PX = 4
_CELL_INCHES = 2.3
View = Float[np.ndarray, "p 2"]


def write_views(
    path: Path,
    labels: Int64[np.ndarray, " p"],
    columns: Sequence[tuple[str, View, View]],
) -> None:
    """Draw identities as student and attacker see them: a column for each front.

    Args:
        path: PNG to write; it shows points, no face and no name.
        labels: Person of each point, from 0: its colour.
        columns: Name of the front, the student's view, the attacker's.

    Raises:
        MissingExtraError: matplotlib is not installed.
        StorageError: The file cannot be written.
    """
    try:
        figure_module = importlib.import_module("matplotlib.figure")
        colours = importlib.import_module("matplotlib").colormaps["tab20"]
    except ImportError as error:
        raise MissingExtraError(
            "pictures need matplotlib, which is not installed; pip install 'xnn-face[report]'"
        ) from error
    size = (_CELL_INCHES * len(columns), 2 * _CELL_INCHES)
    figure: Any = figure_module.Figure(figsize=size, layout="constrained", dpi=150)
    axes = figure.subplots(2, len(columns), squeeze=False)
    for column, (name, *views) in enumerate(columns):
        for row, view in enumerate(views):
            one = axes[row][column]
            one.scatter(view[:, 0], view[:, 1], s=5, c=[colours(i % 20) for i in labels])
            one.set(xticks=[], yticks=[])
            if row == 0:
                one.set_title(name, fontsize=9)
            if column == 0:
                one.set_ylabel(("student", "attacker")[row], fontsize=9)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    write_atomically(path, content.getvalue())


def write_decoded(path: Path, rows: Sequence[UInt8[np.ndarray, "k 112 112 3"]]) -> None:
    """Write faces as a sheet, a row for each given; readable by its owner only.

    Args:
        path: PNG to write.
        rows: Originals, then what was decoded from each front.

    Raises:
        StorageError: The file cannot be written.

    Trust: owner. It shows faces: it stays with whoever may see them.
    """
    num, side = len(rows[0]), rows[0].shape[1] + _GAP_PX
    sheet = np.full((len(rows) * side + _GAP_PX, num * side + _GAP_PX, 3), 255, dtype=np.uint8)
    for i, pictures in enumerate(rows):
        for j, picture in enumerate(pictures):
            y, x = _GAP_PX + i * side, _GAP_PX + j * side
            sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    content = io.BytesIO()
    Image.fromarray(sheet).save(content, format="PNG")
    write_atomically(path, content.getvalue(), mode=0o600)
