"""Evidence about class numbers: whose they are, when every person has as many as any other.

Records carry class numbers that name nobody, but say which records show one person. Scores of those
records may be averaged, and no two classes are one suspect; or, where a scheme divides people into
several classes, no more than there are classes for each.
"""

import numpy as np
from jaxtyping import Float, Float64, Int64
from scipy.optimize import linear_sum_assignment

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
    """Return how likely each class is each suspect, given that no suspect has more than its share.

    Sinkhorn's balancing in the log domain: rows sum to 1; columns to 1 or less, or to the classes
    there are for each suspect, where there are more than suspects.

    Source: Sinkhorn 1964; the soft form of the assignment problem.
    """
    share = np.log(classes_for_each(*log_likelihood.shape))
    logs = log_likelihood - log_likelihood.max(axis=1, keepdims=True)
    for _ in range(_ROUNDS):
        logs = logs - np.maximum(np.logaddexp.reduce(logs, axis=0) - share, 0.0)
        logs = logs - np.logaddexp.reduce(logs, axis=1)[:, None]
    return np.exp(logs)


def classes_for_each(num_classes: int, num_people: int) -> int:
    """Return how many classes a person may have: 1 where there are no more than people."""
    return max(1, -(-num_classes // num_people))


def assigned(
    belief: Float64[np.ndarray, "c s"],
) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """Return classes and the people they are given to: the likeliest with nobody over their share.

    Where there are fewer classes than people, some people get none.
    """
    each = classes_for_each(*belief.shape)
    classes, places = linear_sum_assignment(-np.tile(belief, (1, each)))
    return classes, places % belief.shape[1]


def _sums(rows: Float64[np.ndarray, "r g"], groups: Int64[np.ndarray, " r"]) -> np.ndarray:
    distinct, member = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(distinct), rows.shape[1]))
    np.add.at(sums, member, rows)
    return sums
