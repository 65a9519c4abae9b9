"""What guessing scores: the level below which a metric says nothing."""

from xnn.errors import ConfigError
from xnn.metrics._checks import check_fraction

CHANCE_EER = 0.5
"""Equal error rate of scores that know nothing."""


def chance_rank_k(*, gallery_size: int, k: int = 1) -> float:
    """Return the closed-set rank-k rate of a random order, one reference per subject.

    Raises:
        ConfigError: `k` is outside 1..gallery_size.
    """
    if not 1 <= k <= gallery_size:
        raise ConfigError(f"k={k} is outside 1..{gallery_size}, the size of the gallery")
    return k / gallery_size


def chance_tar(*, far: float) -> float:
    """Return the true accept rate of random scores at a false accept rate: the rate itself.

    Raises:
        ConfigError: `far` is outside (0, 1].
    """
    check_fraction("far", far)
    return far
