"""Fewer classes: those that seem to be one person's, where people have several class numbers."""

import numpy as np
from jaxtyping import Float64, Int64
from scipy.cluster.hierarchy import fcluster, linkage

from xnn.attacks.statistics.class_evidence import assigned
from xnn.attacks.statistics.class_vectors import directions_of

_ROUNDS = 10


def merged_classes(vectors: Float64[np.ndarray, "c k"], num_people: int) -> Int64[np.ndarray, " c"]:
    """Return a group for each class, 0..g-1 with g at most `num_people`.

    Average linkage of directions finds centres; then, round after round, classes are given to the
    nearest centre with none over its share, as nobody has many more classes than another. Where
    there are no more classes than people, every class is a group of its own.

    Args:
        vectors: A row per class.
        num_people: How many people are looked for.
    """
    if len(vectors) <= num_people:
        return np.arange(len(vectors))
    unit = directions_of(vectors)
    groups = fcluster(linkage(unit, "average"), num_people, "maxclust").astype(np.int64) - 1
    for _ in range(_ROUNDS):
        _, groups = assigned(unit @ directions_of(_sums(unit, groups, num_people)).T)
    found: Int64[np.ndarray, " c"] = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return found


def _sums(
    rows: Float64[np.ndarray, "c k"], groups: Int64[np.ndarray, " c"], num_groups: int
) -> Float64[np.ndarray, "g k"]:
    sums = np.zeros((num_groups, rows.shape[1]))
    np.add.at(sums, groups, rows)
    return sums
