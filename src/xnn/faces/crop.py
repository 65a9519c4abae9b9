"""Aligned face crops from disk: 112x112, RGB, and nothing else."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from xnn.errors import FacesError
from xnn.faces.photograph import read_photograph
from xnn.types import CROP_SIZE_PX


def read_crop(path: Path) -> UInt8[np.ndarray, "112 112 3"]:
    """Read one aligned crop.

    Args:
        path: An image of exactly 112x112 pixels; grey is repeated over the three channels.

    Returns:
        Red, green, blue in 0..255.

    Raises:
        FacesError: Unreadable, or of another size: a photograph that was not aligned.
    """
    rgb = read_photograph(path).rgb
    height, width = rgb.shape[:2]
    if (height, width) != (CROP_SIZE_PX, CROP_SIZE_PX):
        raise FacesError(
            f"{path.name!r} is {width}x{height} pixels, a crop has {CROP_SIZE_PX}x{CROP_SIZE_PX}; "
            "run `xnn faces align` on the photographs first"
        )
    return rgb


def read_crops(paths: Sequence[Path]) -> UInt8[np.ndarray, "b 112 112 3"]:
    """Read aligned crops into one array; see `read_crop`.

    Raises:
        FacesError: One of them is unreadable or of another size.
    """
    crops = np.empty((len(paths), CROP_SIZE_PX, CROP_SIZE_PX, 3), dtype=np.uint8)
    for index, path in enumerate(paths):
        crops[index] = read_crop(path)
    return crops
