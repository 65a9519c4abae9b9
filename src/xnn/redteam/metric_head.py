"""A metric for identities on top of general features: linear discriminant analysis, closed form.

Networks trained on objects see faces, but weigh what tells one photograph from another, not one
person from another. A few hundred people with several photographs each teach the difference.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from scipy.linalg import eigh

from xnn.errors import InsufficientDataError

_SHRINKAGE = 0.3
_MAX_DIM = 128
_FEWEST_PEOPLE = 3


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricHead:
    """A projection in which photographs of one person lie close; `fit` makes one."""

    mean: Float64[np.ndarray, " f"]
    projection: Float64[np.ndarray, "f e"]

    @classmethod
    def fit(
        cls, features: Float[np.ndarray, "b f"], labels: Int64[np.ndarray, " b"]
    ) -> "MetricHead":
        """Learn from people with two photographs or more; others are left out.

        Args:
            features: Of any scale; each is divided by its standard deviation.
            labels: Person of each.

        Raises:
            InsufficientDataError: Fewer than 3 people have two photographs.

        Source: Fisher 1936, Rao 1948; for faces Belhumeur, Hespanha, Kriegman 1997 (Fisherfaces).
        """
        people, person, counts = np.unique(labels, return_inverse=True, return_counts=True)
        kept = counts[person] >= 2
        if np.sum(counts >= 2) < _FEWEST_PEOPLE:
            raise InsufficientDataError(
                f"{np.sum(counts >= 2)} of {len(people)} people have two photographs or more, a "
                f"judge needs at least {_FEWEST_PEOPLE} to learn from"
            )
        _, person = np.unique(labels[kept], return_inverse=True)
        rows = features[kept].astype(np.float64)
        mean = rows.mean(axis=0)
        scale = np.maximum(rows.std(axis=0), 1e-9 + 1e-3 * rows.std())
        centred = (rows - mean) / scale
        sizes = np.bincount(person)
        means = np.zeros((len(sizes), centred.shape[1]))
        np.add.at(means, person, centred)
        means /= sizes[:, None]
        inner = centred - means[person]
        within = inner.T @ inner / len(inner)
        within += (_SHRINKAGE * np.trace(within) / len(within) + 1e-12) * np.eye(len(within))
        between = (means * sizes[:, None]).T @ means / len(centred)
        e = min(_MAX_DIM, len(sizes) - 1, len(within))
        ratios, directions = eigh(
            between, within, subset_by_index=[len(within) - e, len(within) - 1]
        )
        # Weigh a direction by the share of it that is identity.
        weights = np.sqrt(np.maximum(ratios, 0) / (np.maximum(ratios, 0) + 1))
        return cls(mean=mean, projection=directions * weights / scale[:, None])

    def embed(self, features: Float[np.ndarray, "b f"]) -> Float32[np.ndarray, "b e"]:
        """Return embeddings of length 1."""
        rows = (features - self.mean) @ self.projection
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
