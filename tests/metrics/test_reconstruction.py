"""Pictures beside photographs: fast against slow, grey against colour."""

import math
import subprocess
import sys

import numpy as np
import pytest

from xnn.errors import InsufficientDataError
from xnn.metrics.reconstruction import luminance, psnr, ssim


def pictures(seed: int, b: int = 2, side: int = 14) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (b, side, side, 3), dtype=np.uint8)


def grey(pixel: np.ndarray) -> float:
    return 0.299 * int(pixel[0]) + 0.587 * int(pixel[1]) + 0.114 * int(pixel[2])


def slow_psnr(a: np.ndarray, b: np.ndarray) -> float:
    h, w, _ = a.shape
    noise = sum((grey(a[y, x]) - grey(b[y, x])) ** 2 for y in range(h) for x in range(w))
    return 10 * math.log10(255**2 / (noise / (h * w)))


def slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """The formula of the paper at every place where the 11 px window fits."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    x, y = (np.array([[grey(pixel) for pixel in row] for row in one]) for one in (a, b))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            p, q = (one[top : top + 11, left : left + 11] for one in (x, y))
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            found.append(
                (2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
            )
    return float(np.mean(found))


def test_both_equal_slow_ones() -> None:
    true = pictures(0)
    noisy = np.clip(true.astype(int) + pictures(1) // 4, 0, 255).astype(np.uint8)
    pairs = list(zip(noisy, true, strict=True))
    assert np.allclose(psnr(noisy, true), [slow_psnr(a, b) for a, b in pairs])
    assert np.allclose(ssim(noisy, true), [slow_ssim(a, b) for a, b in pairs])


def test_equal_pictures_are_as_near_as_can_be_told() -> None:
    true = pictures(0)
    assert np.allclose(ssim(true, true), 1.0)
    one_step = true.copy()
    one_step[:, 0, 0] ^= 1
    assert np.all(psnr(true, true) >= psnr(one_step, true))
    assert np.all(np.isfinite(psnr(true, true)))


def test_an_offset_of_ten_levels() -> None:
    true = pictures(0) // 2
    assert np.allclose(psnr(true + 10, true), 20 * math.log10(255 / 10))


def test_grey_pictures_are_compared_by_luminance() -> None:
    true = pictures(0)
    rounded = luminance(true).round().astype(np.uint8)
    assert np.all(psnr(np.repeat(rounded[..., None], 3, axis=3), true) > 50)


def test_no_pictures_are_refused() -> None:
    with pytest.raises(InsufficientDataError, match="no pictures"):
        psnr(pictures(0, b=0), pictures(0, b=0))


def test_it_starts_without_torch() -> None:
    code = "import sys, xnn.metrics.reconstruction; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
