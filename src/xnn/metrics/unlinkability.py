"""Unlinkability: how well scores tell whether two protected records show one subject.

With p(s | mated) and p(s | non-mated) the densities of a score s, LR their ratio and omega the
prior odds of a mated pair, the local measure is what a score adds to belief in a mated pair:

    D(s) = P(mated | s) - P(non-mated | s) = 2 omega LR / (1 + omega LR) - 1, not below 0

and D_sys is its mean over mated scores: 0 = no score speaks for a link, 1 = every mated pair shows.

Densities are shares in bins. Here the bins hold equally many mated scores, where the authors' are
equally wide: attacks score on any scale, and one far score would squeeze all others into one bin of
theirs and call a scheme unlinkable. So D_sys is the same after any rising map of the scores.

Shares of few scores differ by chance, and D_sys cannot be negative: `chance_d_sys` is what it comes
to for scores that say nothing. Read it beside every D_sys.

Source: Gomez-Barrero et al., General Framework to Evaluate Unlinkability in Biometric Template
Protection Systems, IEEE TIFS 13(6), 2018, arXiv:2311.04633; taken up by ISO/IEC 30136.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Integer

from xnn.errors import ConfigError, InsufficientDataError
from xnn.metrics._checks import check_scores
from xnn.metrics.comparisons import Comparisons
from xnn.metrics.intervals import Bootstrap, draw_subjects

_MOST_BINS = 100
_FEWEST_SCORES = 10
_CHANCE_DRAWS = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinkabilityCurve:
    """D(s) in bins of rising score, ready to be drawn as steps."""

    edges: Float[np.ndarray, " e"]
    """Minus infinity, the lowest mated score, .., just above the highest, infinity."""
    mated: Float[np.ndarray, " k"]
    """Share of the mated scores in each bin."""
    non_mated: Float[np.ndarray, " k"]
    """Share of the non-mated scores."""
    local: Float[np.ndarray, " k"]
    """D, in [0, 1]."""
    system: float
    """D_sys, in [0, 1]."""


def linkability_curve(
    mated: Float[np.ndarray, " m"], non_mated: Float[np.ndarray, " k"], *, omega: float = 1.0
) -> LinkabilityCurve:
    """Return D(s) and D_sys; see the module.

    Args:
        mated: Scores of pairs of one subject under different keys; higher = more alike.
        non_mated: Scores of pairs of two subjects, same scale.
        omega: Prior odds of a mated pair, above 0; the authors report 1.

    Raises:
        ConfigError: `omega` is out of range.
        InsufficientDataError: Fewer than 10 scores of one kind.
        ShapeError: A score is NaN or infinite.
    """
    _check(mated, non_mated, omega)
    inner = _inner_edges(mated, len(non_mated))
    num_bins = len(inner) + 1
    mated_share = _shares(np.bincount(_bin_of(mated, inner), minlength=num_bins))
    non_mated_share = _shares(np.bincount(_bin_of(non_mated, inner), minlength=num_bins))
    local = _local(mated_share, non_mated_share, omega)
    return LinkabilityCurve(
        edges=np.concatenate([[-np.inf], inner, [np.inf]]).astype(np.float64),
        mated=mated_share,
        non_mated=non_mated_share,
        local=local,
        system=float(mated_share @ local),
    )


def d_sys(
    mated: Float[np.ndarray, " m"], non_mated: Float[np.ndarray, " k"], *, omega: float = 1.0
) -> float:
    """Return D_sys alone; see `linkability_curve` for the arguments and the errors.

    Returns:
        In [0, 1]; 0 = unlinkable, 1 = fully linkable.
    """
    return linkability_curve(mated, non_mated, omega=omega).system


def bootstrap_d_sys(
    comparisons: Comparisons,
    *,
    omega: float = 1.0,
    num_resamples: int = 200,
    generator: np.random.Generator,
) -> Bootstrap:
    """Resample D_sys over subjects, in the bins of the whole sample.

    A pair counts as often as its subjects were drawn, as in `bootstrap_verification`. Resampling
    adds chance of its own, so replicates lie a little above the value where D_sys is small.

    Raises:
        ConfigError: A number is outside its range.
        InsufficientDataError: Fewer than 10 scores of one kind, or than 2 subjects.
        ShapeError: A score is NaN or infinite.
    """
    mated, non_mated = comparisons.mated, comparisons.non_mated
    _check(mated, non_mated, omega)
    inner = _inner_edges(mated, len(non_mated))
    bins = _bin_of(mated, inner), _bin_of(non_mated, inner)
    num_bins = len(inner) + 1
    both = np.concatenate([comparisons.mated_subjects, comparisons.non_mated_subjects.ravel()])
    _, position = np.unique(both, return_inverse=True)
    own, rest = np.split(position, [len(mated)])
    first, second = rest.reshape(-1, 2).T

    def measure(counts: Int[np.ndarray, " s"]) -> float | None:
        weights = counts[own], counts[first] * counts[second]
        if not weights[0].any() or not weights[1].any():
            return None
        shares = [
            _shares(np.bincount(bin_of, weights=weight, minlength=num_bins))
            for bin_of, weight in zip(bins, weights, strict=True)
        ]
        return float(shares[0] @ _local(shares[0], shares[1], omega))

    drawn = draw_subjects(both, num_resamples, generator)
    replicates = [value for value in map(measure, drawn) if value is not None]
    if not replicates:
        raise InsufficientDataError("no resample held both kinds of pair; test more subjects")
    return Bootstrap(value=d_sys(mated, non_mated, omega=omega), replicates=np.array(replicates))


def chance_d_sys(num_mated: int, num_non_mated: int, *, generator: np.random.Generator) -> float:
    """Return the mean D_sys (omega 1) of as many scores that say nothing.

    For independent scores; pairs that share photographs vary more, and come out a little higher.

    Args:
        num_mated: At least 10.
        num_non_mated: At least 10.
        generator: Of the 400 draws behind the mean.

    Raises:
        InsufficientDataError: Too few.
    """
    _check_counts(num_mated, num_non_mated)
    num_bins = _num_bins(num_mated, num_non_mated)
    sizes = np.bincount(np.arange(num_mated) * num_bins // num_mated)
    mated = np.concatenate([[0], sizes, [0]]) / num_mated
    # The true share between neighbouring mated scores is Dirichlet whatever the distribution.
    gaps = np.concatenate([[1], sizes, [1]])
    gaps[-2] -= 1
    masses = generator.dirichlet(gaps.astype(np.float64), size=_CHANCE_DRAWS)
    non_mated = np.stack([generator.multinomial(num_non_mated, mass) for mass in masses])
    return float(np.mean(_local(mated, non_mated / num_non_mated, 1.0) @ mated))


def _local(
    mated: Float[np.ndarray, "... k"], non_mated: Float[np.ndarray, "... k"], omega: float
) -> Float[np.ndarray, "... k"]:
    """Return D per bin; (omega p - q) / (omega p + q) is the formula of the module."""
    total = omega * mated + non_mated
    gain = omega * mated - non_mated
    return np.maximum(0.0, np.divide(gain, total, out=np.zeros_like(total), where=total > 0))


def _num_bins(num_mated: int, num_non_mated: int) -> int:
    return min(_MOST_BINS, math.isqrt(num_mated), math.isqrt(num_non_mated))


def _inner_edges(mated: Float[np.ndarray, " m"], num_non_mated: int) -> Float[np.ndarray, " e"]:
    """Return the scores at which a new bin begins; tied scores stay in one bin.

    What lies below the lowest mated score and above the highest has bins of its own.
    """
    num_bins = _num_bins(len(mated), num_non_mated)
    starts = -(-np.arange(num_bins) * len(mated) // num_bins)
    above = np.nextafter(mated.max(), np.inf, dtype=mated.dtype)
    return np.unique([*np.sort(mated)[starts], above])


def _bin_of(
    scores: Float[np.ndarray, " j"], inner: Float[np.ndarray, " e"]
) -> Integer[np.ndarray, " j"]:
    return np.searchsorted(inner, scores, side="right")


def _shares(counts: Float[np.ndarray, " k"] | Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    return counts / counts.sum()


def _check(
    mated: Float[np.ndarray, "..."], non_mated: Float[np.ndarray, "..."], omega: float
) -> None:
    check_scores("mated", mated)
    check_scores("non_mated", non_mated)
    _check_counts(len(mated), len(non_mated))
    if not 0 < omega < math.inf:
        raise ConfigError(f"omega={omega:g} is no prior odds; use a number above 0, usually 1")


def _check_counts(num_mated: int, num_non_mated: int) -> None:
    if min(num_mated, num_non_mated) < _FEWEST_SCORES:
        raise InsufficientDataError(
            f"D_sys needs at least {_FEWEST_SCORES} scores of each kind, got {num_mated} mated and "
            f"{num_non_mated} non-mated; link more records"
        )
