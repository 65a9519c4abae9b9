"""One-to-one error rates from comparison scores: ROC, TAR at FAR, EER.

A pair matches when its score is at or above the threshold. Every function takes optional integer
weights, which mean exactly "this pair, that many times": the bootstrap is built on them.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from xnn.errors import InsufficientDataError, ShapeError
from xnn.metrics._checks import check_fraction, check_same_length, check_scores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RocCurve:
    """Every operating point that the scores allow, from the strictest threshold to the loosest."""

    far: Float[np.ndarray, " t"]
    """Share of non-mated pairs accepted: rises from 0 to 1."""
    tar: Float[np.ndarray, " t"]
    """Share of mated pairs accepted: rises from 0 to 1."""
    thresholds: Float[np.ndarray, " t"]
    """Falls: infinity (accept nothing), then each distinct score."""


def roc(
    mated: Float[np.ndarray, " m"],
    non_mated: Float[np.ndarray, " k"],
    *,
    mated_weights: Integer[np.ndarray, " m"] | None = None,
    non_mated_weights: Integer[np.ndarray, " k"] | None = None,
) -> RocCurve:
    """Return the receiver operating characteristic, one point per distinct score.

    Args:
        mated: Scores of same-subject pairs, any order; higher = more alike.
        non_mated: Scores of different-subject pairs, same scale.
        mated_weights: How often each mated pair counts, >= 0; once if None.
        non_mated_weights: The same for the non-mated pairs.

    Raises:
        InsufficientDataError: One of the two is empty.
        ShapeError: A score is NaN or infinite, or the weights do not fit.

    Source: ISO/IEC 19795-1 (FAR here is its FMR: nothing fails to acquire).
    """
    check_scores("mated", mated)
    check_scores("non_mated", non_mated)
    scores = np.unique(np.concatenate([mated, non_mated]))[::-1]
    thresholds = np.concatenate([[np.inf], scores.astype(np.float64)])
    return RocCurve(
        far=_accepted_share("non_mated", non_mated, non_mated_weights, thresholds),
        tar=_accepted_share("mated", mated, mated_weights, thresholds),
        thresholds=thresholds,
    )


def tar_at_far(
    mated: Float[np.ndarray, " m"],
    non_mated: Float[np.ndarray, " k"],
    *,
    far: float,
    mated_weights: Integer[np.ndarray, " m"] | None = None,
    non_mated_weights: Integer[np.ndarray, " k"] | None = None,
) -> float:
    """Return the true accept rate at the loosest threshold that keeps to a false accept rate.

    Tied scores are accepted or rejected together; nothing is interpolated.

    Args:
        mated: Scores of same-subject pairs, any order; higher = more alike.
        non_mated: Scores of different-subject pairs, same scale.
        far: Highest false accept rate allowed, a fraction in (0, 1].
        mated_weights: How often each mated pair counts, >= 0; once if None.
        non_mated_weights: The same for the non-mated pairs.

    Returns:
        Share of the mated pairs accepted, in [0, 1].

    Raises:
        ConfigError: `far` is outside (0, 1].
        InsufficientDataError: A list is empty, or has too few non-mated pairs to resolve `far`.
        ShapeError: A score is NaN or infinite, or the weights do not fit.

    Source: ISO/IEC 19795-1 (1 - FNMR at FMR).
    """
    check_fraction("far", far)
    curve = roc(mated, non_mated, mated_weights=mated_weights, non_mated_weights=non_mated_weights)
    num_non_mated = len(non_mated) if non_mated_weights is None else int(non_mated_weights.sum())
    check_resolves(far, num_non_mated)
    return read_tar(curve.far, curve.tar, far=far)


def threshold_at_far(non_mated: Float[np.ndarray, " k"], *, far: float) -> float:
    """Return a threshold that keeps to a false accept rate, the loosest but for its last gap.

    It lies in the middle between the lowest score that may match and the highest that may not, so
    that rounding turns neither. Tied scores are accepted or rejected together.

    Args:
        non_mated: Scores of different-subject pairs, any order; higher = more alike.
        far: Highest false accept rate allowed, a fraction in (0, 1].

    Returns:
        A pair matches when its score is this or more.

    Raises:
        ConfigError: `far` is outside (0, 1].
        InsufficientDataError: Too few scores to resolve `far`.
        ShapeError: A score is NaN or infinite.
    """
    check_fraction("far", far)
    check_scores("non_mated", non_mated)
    check_resolves(far, len(non_mated))
    scores = np.sort(non_mated.astype(np.float64))[::-1]
    allowed = math.floor(far * len(scores) + 1e-9)
    if allowed >= len(scores):
        return float(scores[-1])
    highest_rejected = scores[allowed]
    accepted = scores[scores > highest_rejected]
    if not len(accepted):
        return float(np.nextafter(highest_rejected, np.inf))
    return float((accepted[-1] + highest_rejected) / 2)


def equal_error_rate(
    mated: Float[np.ndarray, " m"],
    non_mated: Float[np.ndarray, " k"],
    *,
    mated_weights: Integer[np.ndarray, " m"] | None = None,
    non_mated_weights: Integer[np.ndarray, " k"] | None = None,
) -> float:
    """Return the rate at which false matches and false non-matches are equally frequent.

    Join the operating points (FMR, FNMR) of neighbouring thresholds by straight lines; the equal
    error rate is where that path meets FMR = FNMR. Between two points the line stands for
    deciding the tied pairs by one coin, so scores that say nothing give exactly 0.5 and the rate
    is the same when the two kinds of pair change places and all scores change sign.

    Args:
        mated: Scores of same-subject pairs, any order; higher = more alike.
        non_mated: Scores of different-subject pairs, same scale.
        mated_weights: How often each mated pair counts, >= 0; once if None.
        non_mated_weights: The same for the non-mated pairs.

    Returns:
        Fraction in [0, 1]; 0 = perfect, 0.5 = chance.

    Raises:
        InsufficientDataError: One of the two is empty.
        ShapeError: A score is NaN or infinite, or the weights do not fit.
    """
    curve = roc(mated, non_mated, mated_weights=mated_weights, non_mated_weights=non_mated_weights)
    return read_eer(curve.far, curve.tar)


def check_resolves(far: float, num_non_mated: int) -> None:
    """Refuse a false accept rate finer than one pair in all."""
    if far * num_non_mated < 1 - 1e-9:
        raise InsufficientDataError(
            f"far={far:g} needs at least {math.ceil(1 / far - 1e-9)} non-mated scores, "
            f"got {num_non_mated}; use more pairs or a larger far"
        )


def read_tar(
    curve_far: Float[np.ndarray, " t"], curve_tar: Float[np.ndarray, " t"], *, far: float
) -> float:
    """Read TAR at FAR off a curve that rises from (0, 0) to (1, 1)."""
    # The slack, far below one pair, forgives a rate that was computed: 1 - 0.9 < 0.1 in binary.
    last = int(np.searchsorted(curve_far, far * (1 + 1e-12), side="right")) - 1
    return float(curve_tar[last])


def read_eer(curve_far: Float[np.ndarray, " t"], curve_tar: Float[np.ndarray, " t"]) -> float:
    """Read the equal error rate off a curve that rises from (0, 0) to (1, 1)."""
    excess = curve_far + curve_tar - 1.0  # FMR - FNMR: rises from -1 to 1
    after = int(np.searchsorted(excess, 0.0, side="left"))
    before = after - 1
    share = -excess[before] / (excess[after] - excess[before])
    return float(curve_far[before] + share * (curve_far[after] - curve_far[before]))


def _accepted_share(
    name: str,
    scores: Float[np.ndarray, " j"],
    weights: Integer[np.ndarray, " j"] | None,
    thresholds: Float[np.ndarray, " t"],
) -> Float[np.ndarray, " t"]:
    if weights is None:
        weights = np.ones(len(scores), dtype=np.int64)
    check_same_length(f"{name}_weights", len(weights), name, len(scores))
    if weights.min() < 0 or not weights.any():
        raise ShapeError(f"{name}_weights must be counts >= 0 and not all 0")
    order = np.argsort(scores)
    below = np.concatenate([[0], np.cumsum(weights[order])])  # [i] = weight of the i lowest
    return (below[-1] - below[np.searchsorted(scores[order], thresholds)]) / below[-1]
