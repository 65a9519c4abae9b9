"""Evidence about class numbers: whose they are, when every class is another person.

Records carry class numbers that name nobody, but say which records show one person. Scores of those
records may be averaged, and no two classes are one suspect.
"""

import numpy as np
from jaxtyping import Float, Float64, Int64

_ROUNDS = 50


def average_by_class(
    scores: Float[np.ndarray, "r g"], classes: Int64[np.ndarray, " r"]
) -> Float64[np.ndarray, "c g"]:
    """Return the mean score of each class, a row per distinct class number, rising.

    Each record's scores are standardised first, so that every record has the same say.
    """
    wide = scores.astype(np.float64)
    deviation = wide.std(axis=1, keepdims=True)
    wide = (wide - wide.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)
    return _sums(wide, classes) / np.unique(classes, return_counts=True)[1][:, None]


def average_by_person(
    scores: Float64[np.ndarray, "c g"], labels: Int64[np.ndarray, " g"]
) -> Float64[np.ndarray, "c s"]:
    """Return the mean over each suspect's photographs, a column per distinct label, rising."""
    return (_sums(scores.T, labels) / np.unique(labels, return_counts=True)[1][:, None]).T


def share_out(log_likelihood: Float64[np.ndarray, "c s"]) -> Float64[np.ndarray, "c s"]:
    """Return how likely each class is each suspect, given that no two classes are one person.

    Sinkhorn's balancing in the log domain: rows sum to 1, columns to 1 or less.

    Source: Sinkhorn 1964; the soft form of the assignment problem.
    """
    logs = log_likelihood - log_likelihood.max(axis=1, keepdims=True)
    for _ in range(_ROUNDS):
        logs = logs - np.maximum(np.logaddexp.reduce(logs, axis=0), 0.0)
        logs = logs - np.logaddexp.reduce(logs, axis=1)[:, None]
    return np.exp(logs)


def _sums(rows: Float64[np.ndarray, "r g"], groups: Int64[np.ndarray, " r"]) -> np.ndarray:
    distinct, member = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(distinct), rows.shape[1]))
    np.add.at(sums, member, rows)
    return sums
