"""Shrink any box of an image by averaging areas, at a cost that does not depend on its size.

A table of sums over all rectangles from the top left corner gives the sum of any rectangle from
four look-ups (Crow 1984). Sums are kept modulo 2^32: differences are exact for rectangles of less
than 16 million pixels.
"""

from typing import final

import numpy as np
from jaxtyping import Float32, Int64, UInt8, UInt32

_CENTRE = 127.5  # the grey that the nets see as zero; also what lies outside the image
_SCALE = 1 / 128


@final
class AreaSampler:
    """Averages of areas of one image, scaled as the nets of MTCNN want them."""

    def __init__(self, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
        height, width = rgb.shape[:2]
        self._sums = np.zeros((height + 1, width + 1, 3), dtype=np.uint32)
        np.cumsum(rgb, axis=0, dtype=np.uint32, out=self._sums[1:, 1:])
        np.cumsum(self._sums[1:, 1:], axis=1, dtype=np.uint32, out=self._sums[1:, 1:])
        self.height, self.width = height, width

    def whole(self, *, height: int, width: int) -> Float32[np.ndarray, "1 3 y x"]:
        """Return the whole image at another size, as (average - 127.5) / 128."""
        top, bottom = _cells(np.array([0]), np.array([self.height]), height)
        left, right = _cells(np.array([0]), np.array([self.width]), width)
        return self._averages(top, bottom, left, right)

    def patches(
        self, boxes: Int64[np.ndarray, "b 4"], *, size: int
    ) -> Float32[np.ndarray, "b 3 {size} {size}"]:
        """Return square patches; what lies outside the image counts as mid grey.

        Args:
            boxes: Left, top, right, bottom; right and bottom are past the end, and both sides are
                at least 1 px.
            size: Side of the patches.
        """
        top, bottom = _cells(boxes[:, 1], boxes[:, 3], size)
        left, right = _cells(boxes[:, 0], boxes[:, 2], size)
        return self._averages(top, bottom, left, right)

    def _averages(
        self,
        top: Int64[np.ndarray, "b y"],
        bottom: Int64[np.ndarray, "b y"],
        left: Int64[np.ndarray, "b x"],
        right: Int64[np.ndarray, "b x"],
    ) -> Float32[np.ndarray, "b 3 y x"]:
        areas = (bottom - top)[:, :, None] * (right - left)[:, None, :]
        top, bottom = (np.clip(edge, 0, self.height) for edge in (top, bottom))
        left, right = (np.clip(edge, 0, self.width) for edge in (left, right))
        inside = (bottom - top)[:, :, None] * (right - left)[:, None, :]
        sums = (
            self._corner(bottom, right)
            - self._corner(top, right)
            - self._corner(bottom, left)
            + self._corner(top, left)
        )
        centred = (sums - _CENTRE * inside[..., None]) * (_SCALE / areas[..., None])
        return np.ascontiguousarray(centred.transpose(0, 3, 1, 2), dtype=np.float32)

    def _corner(
        self, rows: Int64[np.ndarray, "b y"], columns: Int64[np.ndarray, "b x"]
    ) -> UInt32[np.ndarray, "b y x 3"]:
        corner: np.ndarray = self._sums[rows[:, :, None], columns[:, None, :]]
        return corner


def _cells(
    start: Int64[np.ndarray, " b"], end: Int64[np.ndarray, " b"], number: int
) -> tuple[Int64[np.ndarray, "b cells"], Int64[np.ndarray, "b cells"]]:
    """Divide each range into cells that cover it; neighbours share a pixel where they must."""
    length = (end - start)[:, None]
    index = np.arange(number)[None, :]
    first = index * length // number
    last = -(-(index + 1) * length // number)
    return start[:, None] + first, start[:, None] + last
