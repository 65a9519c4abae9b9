"""What every metric refuses: empty, non-finite and ill-shaped input."""

import numpy as np
from jaxtyping import Float

from xnn.errors import ConfigError, InsufficientDataError, ShapeError


def check_scores(name: str, scores: Float[np.ndarray, "..."], *, ndim: int = 1) -> None:
    """Refuse scores that are empty, of another rank or not finite."""
    if scores.ndim != ndim:
        raise ShapeError(f"{name} has {scores.ndim} axes, expected {ndim}; reshape it")
    if scores.size == 0:
        raise InsufficientDataError(f"{name} is empty, expected at least one score")
    if not np.isfinite(scores).all():
        num_bad = int(np.sum(~np.isfinite(scores)))
        raise ShapeError(
            f"{name} holds {num_bad} NaN or infinite values, expected none; "
            "look for a diverged model or a zero embedding"
        )


def check_same_length(name: str, length: int, other_name: str, other_length: int) -> None:
    """Refuse two arrays that should run in parallel and do not."""
    if length != other_length:
        raise ShapeError(
            f"{name} has {length} entries but {other_name} has {other_length}; "
            "they describe the same items, so give one for each"
        )


def check_fraction(name: str, value: float) -> None:
    """Refuse a rate outside (0, 1], which is most often a percentage."""
    if not 0 < value <= 1:
        raise ConfigError(f"{name}={value:g} is not a fraction in (0, 1]; write 0.1% as 1e-3")
