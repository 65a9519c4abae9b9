"""Membership: how well scores tell photographs behind a record from photographs behind none.

The mathematics of verification in the words of the membership literature: members are mated,
FPR is FAR, TPR is TAR. An average (AUC) hides the few records that are sure to be found, so TPR at
a low FPR comes first.

Source: Carlini et al., Membership Inference Attacks From First Principles, arXiv:2112.03570.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Integer

from xnn.errors import InsufficientDataError
from xnn.metrics._checks import check_fraction, check_same_length
from xnn.metrics.intervals import Bootstrap, draw_subjects
from xnn.metrics.verification import RocCurve, read_tar, roc

CHANCE_AUC = 0.5
"""Area under the curve of scores that know nothing."""

FPRS = (1e-2, 1e-3)
"""Rates at which TPR is reported, where there are candidates enough."""


def roc_auc(
    members: Float[np.ndarray, " m"],
    others: Float[np.ndarray, " k"],
    *,
    member_weights: Integer[np.ndarray, " m"] | None = None,
    other_weights: Integer[np.ndarray, " k"] | None = None,
) -> float:
    """Return the chance that a member scores above another; ties count half.

    Args:
        members: Scores of candidates that were used; higher = more likely used.
        others: Scores of candidates that were not, same scale.
        member_weights: How often each member counts, >= 0; once if None.
        other_weights: The same for the others.

    Returns:
        In [0, 1]; 0.5 = chance.

    Raises:
        InsufficientDataError: One of the two is empty.
        ShapeError: A score is NaN or infinite, or the weights do not fit.
    """
    curve = roc(members, others, mated_weights=member_weights, non_mated_weights=other_weights)
    return _area(curve)


def tpr_at_fpr(
    members: Float[np.ndarray, " m"],
    others: Float[np.ndarray, " k"],
    *,
    fpr: float,
    member_weights: Integer[np.ndarray, " m"] | None = None,
    other_weights: Integer[np.ndarray, " k"] | None = None,
) -> float:
    """Return the share of members found by the loosest threshold that keeps to a false alarm rate.

    Args:
        members: Scores of candidates that were used; higher = more likely used.
        others: Scores of candidates that were not, same scale.
        fpr: Highest share of the others called members, a fraction in (0, 1].
        member_weights: How often each member counts, >= 0; once if None.
        other_weights: The same for the others.

    Raises:
        ConfigError: `fpr` is outside (0, 1].
        InsufficientDataError: A list is empty, or the others are too few to resolve `fpr`.
        ShapeError: A score is NaN or infinite, or the weights do not fit.
    """
    check_fraction("fpr", fpr)
    _check_resolves(fpr, len(others) if other_weights is None else int(other_weights.sum()))
    curve = roc(members, others, mated_weights=member_weights, non_mated_weights=other_weights)
    return read_tar(curve.far, curve.tar, far=fpr)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MembershipBootstrap:
    """Area under the curve and TPR at each FPR asked for, under the same resamples."""

    auc: Bootstrap
    tpr: tuple[Bootstrap, ...]
    """One for each of the `fprs` given, in their order."""


def bootstrap_membership(
    members: Float[np.ndarray, " m"],
    others: Float[np.ndarray, " k"],
    member_subjects: Integer[np.ndarray, " m"],
    other_subjects: Integer[np.ndarray, " k"],
    *,
    fprs: Sequence[float] = (),
    num_resamples: int = 400,
    generator: np.random.Generator,
) -> MembershipBootstrap:
    """Resample both rates over the subjects on the candidates; see `roc_auc` and `tpr_at_fpr`.

    A candidate counts as often as its subject was drawn. Resamples without a member or without
    another candidate are dropped: they happen with a handful of subjects only.

    Raises:
        ConfigError: A number is outside its range.
        InsufficientDataError: Fewer than 2 subjects, or too few others to resolve an `fpr`.
        ShapeError: A score is NaN or infinite, or the subjects do not fit.
    """
    for fpr in fprs:
        check_fraction("fpr", fpr)
        _check_resolves(fpr, len(others))
    check_same_length("member_subjects", len(member_subjects), "members", len(members))
    check_same_length("other_subjects", len(other_subjects), "others", len(others))
    everyone = np.concatenate([member_subjects, other_subjects])
    _, position = np.unique(everyone, return_inverse=True)
    own, rest = np.split(position, [len(members)])

    def measure(counts: Int[np.ndarray, " s"]) -> list[float] | None:
        if not counts[own].any() or not counts[rest].any():
            return None
        curve = roc(members, others, mated_weights=counts[own], non_mated_weights=counts[rest])
        return [_area(curve), *(read_tar(curve.far, curve.tar, far=fpr) for fpr in fprs)]

    value = measure(np.ones(int(position.max(initial=0)) + 1, dtype=np.int64))
    drawn = draw_subjects(everyone, num_resamples, generator)
    replicates = [one for one in map(measure, drawn) if one is not None]
    if value is None or not replicates:
        raise InsufficientDataError("no resample held both kinds of candidate; test more subjects")
    columns = np.array(replicates).T
    auc, *tpr = (Bootstrap(value=v, replicates=r) for v, r in zip(value, columns, strict=True))
    return MembershipBootstrap(auc=auc, tpr=tuple(tpr))


def _area(curve: RocCurve) -> float:
    heights = (curve.tar[1:] + curve.tar[:-1]) / 2  # a tie is a slope: half of it counts
    return float(np.sum(np.diff(curve.far) * heights))


def _check_resolves(fpr: float, num_others: int) -> None:
    if fpr * num_others < 1 - 1e-9:
        raise InsufficientDataError(
            f"fpr={fpr:g} needs at least {math.ceil(1 / fpr - 1e-9)} candidates that were not "
            f"used, got {num_others}; use more candidates or a larger fpr"
        )
