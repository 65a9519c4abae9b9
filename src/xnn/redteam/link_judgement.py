"""Judging links between two uploads, and guesses at which photographs were used."""

import numpy as np
from jaxtyping import Bool, Float

from xnn.metrics.comparisons import Comparisons
from xnn.metrics.evaluation import Measured
from xnn.metrics.intervals import Bootstrap, bootstrap_mean
from xnn.metrics.membership import CHANCE_AUC, FPRS, bootstrap_membership
from xnn.metrics.unlinkability import bootstrap_d_sys, chance_d_sys
from xnn.redteam.truth import Truth

_NUM_RESAMPLES = 1000
_FEWEST_LINKS = 10
"""Scores of each kind that D_sys needs."""


def judge_links(
    scores: Float[np.ndarray, "q a"], truth: Truth, generator: np.random.Generator
) -> list[Measured]:
    """Judge how alike probes and records of another upload were said to be.

    `unlinkability` asks for the record of the very same photograph, `unlinkability-subject` for
    records of other photographs of the same person; both against records of other people. Where no
    photograph is known to be in both uploads, `unlinkability` asks for the person.

    Returns:
        D_sys and rank-1 of each; nothing where the truth is not known or holds too few links.
    """
    if truth.upload_labels is None:
        return []
    other = truth.labels[:, None] != truth.upload_labels[None, :]
    photograph = np.zeros(scores.shape, dtype=bool)
    if truth.upload_rows is not None:
        known = np.flatnonzero(truth.upload_rows >= 0)
        photograph[known, truth.upload_rows[known]] = True
    person = ~other & ~photograph
    if not photograph.any():
        return _links(scores, person, other, truth, "unlinkability", generator)
    found = _links(scores, photograph, other, truth, "unlinkability", generator)
    return found + _links(scores, person, other, truth, "unlinkability-subject", generator)


def judge_membership(
    scores: Float[np.ndarray, " m"], truth: Truth, generator: np.random.Generator
) -> list[Measured]:
    """Judge how likely each candidate was said to be among the records.

    Returns:
        AUC and TPR at each FPR that the candidates resolve; nothing where the truth is not known or
        all candidates are of one kind.
    """
    members = truth.members
    if members is None or members.all() or not members.any():
        return []
    people = truth.candidate_labels
    people = np.arange(len(members)) if people is None else people
    fprs = [fpr for fpr in FPRS if fpr * np.sum(~members) >= 1]
    judged = bootstrap_membership(
        scores[members],
        scores[~members],
        people[members],
        people[~members],
        fprs=fprs,
        generator=generator,
    )
    rates = [("auc", judged.auc, CHANCE_AUC)]
    rates += [(f"tpr_at_fpr_{f:g}", tpr, f) for f, tpr in zip(fprs, judged.tpr, strict=True)]
    return [
        Measured(
            protocol="membership",
            metric=metric,
            bootstrap=bootstrap,
            chance=chance,
            subjects=len(np.unique(people)),
            probes=len(members),
        )
        for metric, bootstrap, chance in rates
    ]


def _links(
    scores: Float[np.ndarray, "q a"],
    mated: Bool[np.ndarray, "q a"],
    other: Bool[np.ndarray, "q a"],
    truth: Truth,
    protocol: str,
    generator: np.random.Generator,
) -> list[Measured]:
    """Judge one kind of mated pair against pairs of two people."""
    asked = np.flatnonzero(mated.any(axis=1) & other.any(axis=1))
    labels, upload = truth.labels, truth.upload_labels
    if upload is None or mated[asked].sum() < _FEWEST_LINKS or len(np.unique(labels[asked])) < 2:
        return []
    rows = np.nonzero(mated)[0]
    other_rows, other_columns = np.nonzero(other)
    comparisons = Comparisons(
        mated=scores[mated],
        mated_subjects=labels[rows],
        non_mated=scores[other],
        non_mated_subjects=np.stack([labels[other_rows], upload[other_columns]], axis=1),
    )
    first = _found_first(scores[asked], mated[asked], other[asked])
    counts = mated[asked].sum(axis=1), other[asked].sum(axis=1)
    found: list[tuple[str, Bootstrap, float]] = [
        (
            "d_sys",
            bootstrap_d_sys(comparisons, generator=generator),
            chance_d_sys(len(comparisons.mated), len(comparisons.non_mated), generator=generator),
        ),
        (
            "rank_1",
            bootstrap_mean(first, labels[asked], num_resamples=_NUM_RESAMPLES, generator=generator),
            float(np.mean(counts[0] / (counts[0] + counts[1]))),
        ),
    ]
    return [
        Measured(
            protocol=protocol,
            metric=metric,
            bootstrap=bootstrap,
            chance=chance,
            subjects=len(np.unique(labels[asked])),
            probes=len(asked),
        )
        for metric, bootstrap, chance in found
    ]


def _found_first(
    scores: Float[np.ndarray, "q a"],
    mated: Bool[np.ndarray, "q a"],
    other: Bool[np.ndarray, "q a"],
) -> Bool[np.ndarray, " q"]:
    """Tell whether a mated record scores above all records of other people; ties do not help."""
    best = np.max(scores, axis=1, where=mated, initial=-np.inf)
    rival = np.max(scores, axis=1, where=other, initial=-np.inf)
    return best > rival
