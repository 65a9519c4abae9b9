"""Intervals over subjects of EER and TAR at FAR, fast enough for millions of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int

from xnn.errors import InsufficientDataError
from xnn.metrics._checks import check_fraction
from xnn.metrics.comparisons import Comparisons
from xnn.metrics.intervals import Bootstrap, draw_subjects
from xnn.metrics.verification import check_resolves, read_eer, read_tar


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VerificationBootstrap:
    """Equal error rate and TAR at each FAR asked for, under the same resamples."""

    eer: Bootstrap
    tar: tuple[Bootstrap, ...]
    """One for each of the `fars` given, in their order."""


def bootstrap_verification(
    comparisons: Comparisons,
    *,
    fars: Sequence[float] = (),
    num_resamples: int = 1000,
    generator: np.random.Generator,
) -> VerificationBootstrap:
    """Resample the equal error rate and TAR at each FAR.

    A mated pair counts as often as its subject was drawn; a non-mated pair as often as the
    product of its two. Copies of one subject are never compared with each other. The scores are
    sorted once; a resample then costs one pass over the pairs, about 5 ms for a million, so thin
    more than a few million (`all_pairs_scores(..., max_non_mated=...)`). Resamples that leave no
    mated or no non-mated pair are dropped: they happen with a handful of subjects only.

    Raises:
        ConfigError: A number is outside its range.
        InsufficientDataError: Fewer than 2 subjects, or too few pairs to resolve a `far`.
    """
    for far in fars:
        check_fraction("far", far)
        check_resolves(far, len(comparisons.non_mated))
    curve = _ResampledCurve(comparisons)

    def measure(counts: Int[np.ndarray, " s"]) -> list[float]:
        curve_far, curve_tar = curve.rates(counts)
        return [
            read_eer(curve_far, curve_tar),
            *(read_tar(curve_far, curve_tar, far=far) for far in fars),
        ]

    value = measure(np.ones(len(curve.subjects), dtype=np.int64))
    drawn = draw_subjects(curve.subjects, num_resamples, generator)
    replicates = [measure(counts) for counts in drawn if curve.has_both_kinds(counts)]
    if not replicates:
        raise InsufficientDataError("no resample held both kinds of pair; test more subjects")
    columns = np.array(replicates).T
    eer, *tar = (Bootstrap(value=v, replicates=r) for v, r in zip(value, columns, strict=True))
    return VerificationBootstrap(eer=eer, tar=tuple(tar))


@final
class _ResampledCurve:
    """The operating points at which EER and TAR at FAR can turn, under any subject counts.

    TAR rises at mated scores only, so it is enough to know both counts just above and at each
    distinct mated score: two points for each, not one for each of a million non-mated scores.
    """

    def __init__(self, comparisons: Comparisons) -> None:
        mated_order = np.argsort(-comparisons.mated)
        non_mated_order = np.argsort(-comparisons.non_mated)
        turns = np.unique(comparisons.mated)
        self._mated_ends = _counts_at(comparisons.mated, turns)
        self._non_mated_ends = _counts_at(comparisons.non_mated, turns)

        couples = comparisons.non_mated_subjects[non_mated_order]
        everyone = np.concatenate([comparisons.mated_subjects[mated_order], couples.ravel()])
        self.subjects, position = np.unique(everyone, return_inverse=True)
        self._mated, rest = np.split(position, [len(mated_order)])
        # Each couple of subjects once: many pairs share it, and one product serves them all.
        width = len(self.subjects)
        first, second = rest.reshape(-1, 2).T
        codes, self._couple = np.unique(first * width + second, return_inverse=True)
        self._first, self._second = np.divmod(codes, width)

    def has_both_kinds(self, counts: Int[np.ndarray, " s"]) -> bool:
        """Say whether a mated and a non-mated pair are left."""
        non_mated = np.any(counts[self._first] * counts[self._second])
        return bool(non_mated and np.any(counts[self._mated]))

    def rates(
        self, counts: Int[np.ndarray, " s"]
    ) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
        """Return FAR and TAR at the turning points, both rising from 0 to 1."""
        couple_weights = counts[self._first] * counts[self._second]
        return (
            _shares(couple_weights[self._couple], self._non_mated_ends),
            _shares(counts[self._mated], self._mated_ends),
        )


def _counts_at(
    scores: Float[np.ndarray, " j"], turns: Float[np.ndarray, " u"]
) -> Int[np.ndarray, " t"]:
    """Count the scores above and at each turn, from the highest; first none, at last all."""
    rising = np.sort(scores)
    above = len(scores) - np.searchsorted(rising, turns[::-1], side="right")
    at = len(scores) - np.searchsorted(rising, turns[::-1], side="left")
    return np.concatenate([[0], np.stack([above, at], axis=1).ravel(), [len(scores)]])


def _shares(weights: Int[np.ndarray, " j"], ends: Int[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    running = np.concatenate([[0], np.cumsum(weights)])
    return running[ends] / running[-1]
