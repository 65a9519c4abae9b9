"""A picture of records, for people: what left the device, to be held beside the photograph."""

import io

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

_CELL_PX = 16
_GAP_PX = 8
_WIDEST_CELLS = 64
_GROUND = 40
_SPREAD = 2.5  # standard deviations to either side of the middle grey


def picture_of(records: Float[np.ndarray, "b m e"]) -> UInt8[np.ndarray, "h w"]:
    """Draw each number as a grey cell, one record below the other.

    A record of one token is broken into lines of at most 64 cells.

    Args:
        records: z.

    Returns:
        Grey in 0..255; -2.5 standard deviations are black, +2.5 white.
    """
    drawn = [np.kron(_cells(record), np.ones((_CELL_PX, _CELL_PX))) for record in records]
    width = max(part.shape[1] for part in drawn)
    rows: list[np.ndarray] = []
    for part in drawn:
        padded = np.full((part.shape[0] + _GAP_PX, width), float(_GROUND))
        padded[: part.shape[0], : part.shape[1]] = part
        rows.append(padded)
    picture: np.ndarray = np.concatenate(rows)[:-_GAP_PX].astype(np.uint8)
    return picture


def png_of(records: Float[np.ndarray, "b m e"]) -> bytes:
    """Return `picture_of` as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture_of(records)).save(file, "PNG")
    return file.getvalue()


def _cells(record: Float[np.ndarray, "m e"]) -> np.ndarray:
    spread = float(record.std()) or 1.0
    shades = np.clip((record - record.mean()) / (2 * _SPREAD * spread) + 0.5, 0, 1) * 255
    if len(record) > 1:
        return shades
    count = shades.size
    across = min(count, _WIDEST_CELLS, max(1, round(count**0.5)))
    down = -(-count // across)
    cells = np.full(across * down, float(_GROUND))
    cells[:count] = shades.ravel()
    return cells.reshape(down, across)
