"""In which dtypes records may travel: what rounding them does to the scores of a student."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32

from xnn.errors import ConfigError, ShapeError
from xnn.metrics import cosine_scores
from xnn.wire.message import WireDtype
from xnn.wire.numbers import DTYPES, through_wire

DTYPE_TOLERANCE = 1e-3
"""Largest change of a cosine that goes unnoticed beside the differences between photographs."""

Embed = Callable[[Float[np.ndarray, "b m e"]], Float32[np.ndarray, "b k"]]


def score_changes(embed: Embed, sent: Float[np.ndarray, "b m e"]) -> dict[WireDtype, float]:
    """Return the largest change of a cosine for each dtype in which these records can travel.

    All pairs of records count, compared both rounded and one of them rounded; records that the
    dtype cannot hold change everything: infinity.

    Args:
        embed: The student.
        sent: z of real crops, at least 2.

    Trust: owner.
    """
    exact = embed(sent)
    scores = cosine_scores(exact, exact)
    changes: dict[WireDtype, float] = {}
    for dtype in DTYPES:
        try:
            rounded = embed(through_wire(sent, dtype))
        except ShapeError:
            changes[dtype] = float("inf")
            continue
        both = np.abs(cosine_scores(rounded, rounded) - scores).max()
        one = np.abs(cosine_scores(rounded, exact) - scores).max()
        changes[dtype] = float(max(both, one))
    return changes


def surviving(changes: dict[WireDtype, float], *, tolerance: float) -> tuple[WireDtype, ...]:
    """Return the dtypes whose change is within a tolerance; the most exact one always is.

    Raises:
        ConfigError: The tolerance is outside [0, 2].
    """
    if not 0 <= tolerance <= 2:
        raise ConfigError(f"dtype_tolerance={tolerance:g} is no change of a cosine; use 0..2")
    allowed = max(tolerance, min(changes.values(), default=0.0))
    return tuple(d for d in DTYPES if changes.get(d, 3.0) <= allowed)
