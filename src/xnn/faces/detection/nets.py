"""What the cascade asks of the three nets of MTCNN, on NumPy arrays: whoever computes them.

All pixels are RGB as (value - 127.5) / 128; all offsets are in sides of the box.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

CELL_PX = 12
"""Side of the window that one output cell of the proposal net sees."""

STRIDE_PX = 2
"""Step between neighbouring cells."""

REFINE_PX = 24
LANDMARK_PX = 48
NUM_LANDMARKS = 5

Judged = tuple[Float32[np.ndarray, "b ..."], Float32[np.ndarray, "b 4 ..."]]
"""Probability of a face, and offsets of left, top, right, bottom."""

Placed = tuple[Float32[np.ndarray, " b"], Float32[np.ndarray, "b 4"], Float32[np.ndarray, "b 5 2"]]
"""The same, and five points (x, y) in sides of the patch."""


@runtime_checkable
class DetectorNets(Protocol):
    """Propose boxes, refine them, place landmarks."""

    def propose(self, image: Float32[np.ndarray, "1 3 h w"]) -> Judged:
        """Judge every window of an image: `(1 y x)` and `(1 4 y x)`, rows from the top."""
        ...

    def refine(self, patches: Float32[np.ndarray, "b 3 24 24"]) -> Judged:
        """Judge patches: `(b)` and `(b 4)`."""
        ...

    def place(self, patches: Float32[np.ndarray, "b 3 48 48"]) -> Placed:
        """Judge patches and place eyes, nose and corners of the mouth in them."""
        ...
