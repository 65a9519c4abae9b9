"""Ways from a 112 px crop to a network's input. The card of an extractor names one of them."""

import functools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from xnn.types import CROP_SIZE_PX

_ARCFACE_POINTS_PX = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
_DLIB_POINTS_PX = (
    (47.13, 45.53),
    (101.87, 45.53),
    (74.5, 75.62),
    (50.76, 101.66),
    (98.24, 101.66),
)
DLIB_CHIP_PX = 150
"""Side of the chips that dlib's network was trained on."""

Resampler = Callable[[Tensor, int], Tensor]
"""Takes pixels (b, 3, 112, 112), float32, 0..255, and a side; returns (b, 3, side, side)."""


def bicubic(
    pixels: Float[Tensor, "b 3 h w"], size_px: int
) -> Float[Tensor, "b 3 {size_px} {size_px}"]:
    """Scale the whole crop, bicubic, with antialiasing when it shrinks; stays in 0..255."""
    if pixels.shape[-2:] == (size_px, size_px):
        return pixels
    scaled = F.interpolate(
        pixels, (size_px, size_px), mode="bicubic", align_corners=False, antialias=True
    )
    return scaled.clamp(0, 255)


def dlib_chip(
    pixels: Float[Tensor, "b 3 h w"], size_px: int
) -> Float[Tensor, "b 3 {size_px} {size_px}"]:
    """Move the crop from the ArcFace template onto dlib's by one fixed similarity.

    Outside the crop the chip is black, as dlib leaves it.

    Source: the five points are the means of dlib's own 150 px chips, measured on its detector.
    """
    grid = _dlib_grid(size_px).to(pixels).expand(pixels.shape[0], -1, -1, -1)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


RESAMPLERS: dict[str, Resampler] = {"bicubic": bicubic, "dlib-chip": dlib_chip}


def similarity(
    source: Float[np.ndarray, "k 2"], target: Float[np.ndarray, "k 2"]
) -> Float[np.ndarray, "2 3"]:
    """Return the rotation, scale and shift that best take `source` to `target` (least squares).

    Args:
        source: Points, any unit.
        target: Their partners, in the same order.
    """
    x, y = source.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    (a, b, shift_x, shift_y), *_ = np.linalg.lstsq(rows, target.T.reshape(-1), rcond=None)
    return np.array([[a, -b, shift_x], [b, a, shift_y]])


@functools.cache
def _dlib_grid(size_px: int) -> Tensor:
    """Return where each chip pixel lies in the crop, in grid_sample's -1..1 units."""
    chip_points = np.array(_DLIB_POINTS_PX) * (size_px / DLIB_CHIP_PX)
    chip_to_crop = similarity(chip_points, np.array(_ARCFACE_POINTS_PX))
    y, x = np.mgrid[0:size_px, 0:size_px]
    homogeneous = np.stack([x, y, np.ones_like(x)], axis=-1)
    crop_px = homogeneous @ chip_to_crop.T
    unit = (2 * crop_px + 1) / CROP_SIZE_PX - 1
    return torch.from_numpy(unit.astype(np.float32))[None]
