"""Bring a face into the ArcFace position: five landmarks, one similarity, one 112x112 crop."""

import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from xnn.errors import FacesError
from xnn.types import CROP_SIZE_PX

TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Where eyes, nose and corners of the mouth lie in a crop, as (x, y) px.

Source: Deng et al., ArcFace, arXiv:1801.07698, and the code published with it.
"""

_FINEST = 32  # times finer than the crop, at most, when averaging a large source
_LARGEST_REGION_PX = 8192


def similarity(
    source: Float[np.ndarray, "p 2"], target: Float[np.ndarray, "p 2"]
) -> Float[np.ndarray, "2 3"]:
    """Return the rotation, uniform scale and shift that best maps `source` onto `target`.

    Best in the least squares sense, and never a reflection.

    Args:
        source: Two or more points, not all equal.
        target: As many points.

    Returns:
        Matrix A with target ~ A[:, :2] @ source + A[:, 2].

    Raises:
        FacesError: The points of `source` coincide.

    Source: Umeyama, IEEE TPAMI 13(4), 1991.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    spread = source - source_mean
    variance = float((spread**2).sum())
    if not math.isfinite(variance) or variance < 1e-6:
        raise FacesError("the landmarks coincide; this is no face, leave the photograph out")
    covariance = (target - target_mean).T @ spread
    left, values, right = np.linalg.svd(covariance)
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = (left * signs) @ right
    linear = rotation * (float(values @ signs) / variance)
    return np.column_stack([linear, target_mean - linear @ source_mean])


def align(
    rgb: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "5 2"]
) -> UInt8[np.ndarray, "112 112 3"]:
    """Cut the face with these landmarks out of a photograph, upright and at the standard size.

    A face larger than the crop is sampled on a finer grid and averaged, so that nothing aliases.
    Beyond its edges the photograph goes on as its last pixel.

    Args:
        rgb: Photograph, 0..255.
        landmarks: Left and right eye as seen, nose, corners of the mouth, in its pixels.

    Returns:
        Crop, 0..255.

    Raises:
        FacesError: The landmarks coincide or lie absurdly far apart.

    Trust: owner and device.
    """
    matrix = similarity(landmarks, TEMPLATE)
    return warp(rgb, matrix)


def warp(
    rgb: UInt8[np.ndarray, "h w 3"], matrix: Float[np.ndarray, "2 3"]
) -> UInt8[np.ndarray, "112 112 3"]:
    """Map a photograph into a crop by a similarity; see `align`.

    Args:
        rgb: Photograph, 0..255.
        matrix: Takes a point of the photograph to a point of the crop.

    Raises:
        FacesError: The crop would take in more than 8192 px of the photograph.
    """
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    size = CROP_SIZE_PX
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) @ back[:, :2].T + back[:, 2]
    low = np.floor(corners.min(axis=0)).astype(int) - 3
    high = np.ceil(corners.max(axis=0)).astype(int) + 3
    if (high - low).max() > _LARGEST_REGION_PX:
        raise FacesError("the landmarks lie absurdly far apart; shrink the photograph")
    rows = np.clip(np.arange(low[1], high[1]), 0, rgb.shape[0] - 1)
    columns = np.clip(np.arange(low[0], high[0]), 0, rgb.shape[1] - 1)
    region = Image.fromarray(rgb[np.ix_(rows, columns)])

    shrink = math.sqrt(abs(float(np.linalg.det(back[:, :2]))))  # photograph px in a crop px
    finer = min(max(1, round(shrink)), _FINEST)
    grid = np.column_stack([back[:, :2] / finer, back[:, 2] - low])
    fine = region.transform(
        (size * finer, size * finer),
        Image.Transform.AFFINE,
        tuple(grid.ravel()),
        Image.Resampling.BICUBIC,
    )
    return np.array(fine.reduce(finer) if finer > 1 else fine)
