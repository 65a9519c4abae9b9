"""How alike a rebuilt picture and the photograph are, point by point. Not how recognisable.

A low value hides nobody: people are recognised from pictures of low PSNR and SSIM. Put the
recognition rate of an independent judge first. Both are measured on luminance, since an attacker
whose own photographs are grey rebuilds grey faces.
"""

import numpy as np
from jaxtyping import Float64, UInt8
from skimage.metrics import structural_similarity

from xnn.errors import InsufficientDataError

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""

_WHITE = 255.0


def psnr(
    rebuilt: UInt8[np.ndarray, "b h w 3"], true: UInt8[np.ndarray, "b h w 3"]
) -> Float64[np.ndarray, " b"]:
    """Return the peak signal-to-noise ratio of each picture, in dB; higher = closer.

    Equal pictures have no noise; they get the ratio of one grey level in a single pixel (89 dB at
    112 px) rather than infinity, which no mean survives.

    Raises:
        InsufficientDataError: There is no picture.
    """
    error = luminance(rebuilt) - luminance(true)
    noise = np.mean(error**2, axis=(1, 2))
    return 10 * np.log10(_WHITE**2 / np.maximum(noise, 1 / error[0].size))


def ssim(
    rebuilt: UInt8[np.ndarray, "b h w 3"], true: UInt8[np.ndarray, "b h w 3"]
) -> Float64[np.ndarray, " b"]:
    """Return the structural similarity of each picture, at most 1 = equal.

    Gaussian window of 1.5 px standard deviation, 11 px wide, population covariances, mean over the
    places where the window fits.

    Raises:
        InsufficientDataError: There is no picture.
        ValueError: A picture is smaller than the window (11 px).

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, as scikit-image computes it.
    """
    pairs = zip(luminance(rebuilt), luminance(true), strict=True)
    return np.array(
        [
            structural_similarity(  # type: ignore[no-untyped-call]
                one, other, data_range=_WHITE, gaussian_weights=True, use_sample_covariance=False
            )
            for one, other in pairs
        ]
    )


def luminance(pictures: UInt8[np.ndarray, "b h w 3"]) -> Float64[np.ndarray, "b h w"]:
    """Return the luminance of RGB pictures, 0..255, not rounded.

    Raises:
        InsufficientDataError: There is no picture.
    """
    if len(pictures) == 0:
        raise InsufficientDataError("no pictures, expected at least one")
    return pictures @ np.array(LUMINANCE)
