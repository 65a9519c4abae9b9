"""Maps of several people: a Gaussian for what a person is, one for how pictures of them differ.

The m maps of one class are turned, by an orthogonal matrix, into one row that holds sqrt(m) times
their mean and m - 1 rows that hold their differences. All rows are independent: the first has the
covariance m B + W, the others W, with B between and W within people. A likelihood that knows which
rows are which tells matrices apart that the sum of the two does not.

Source: this project (redteam.md, A9); the two covariances are those of discriminant analysis, the
rows Helmert's contrasts.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.linalg import helmert

from xnn.attacks.statistics.joint_gaussian import JointGaussian
from xnn.errors import InsufficientDataError

FEWEST_PEOPLE = 20
"""With two photographs or more, from which people can be told from pictures of them."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contrasts:
    """Rows of one collection: a mean for each class of two maps or more, and all differences."""

    means: Float32[np.ndarray, "c n d"]
    """Times the root of the size of the class."""
    sizes: Int64[np.ndarray, " c"]
    rest: Float32[np.ndarray, "r n d"]

    @classmethod
    def of(
        cls, tokens: Float32[np.ndarray, "b n d"], labels: Int64[np.ndarray, " b"]
    ) -> "Contrasts":
        """Turn maps into rows, class by class.

        Raises:
            InsufficientDataError: No class has two maps.
        """
        means, rest, sizes = [], [], []
        for label in np.unique(labels):
            maps = tokens[labels == label]
            if len(maps) < 2:
                continue
            turn = helmert(len(maps), full=True).astype(np.float32)
            rows = np.tensordot(turn, maps, axes=1)
            means.append(rows[0])
            rest.append(rows[1:])
            sizes.append(len(maps))
        if not sizes:
            raise InsufficientDataError("no class has two maps; class structure needs at least one")
        return cls(
            means=np.stack(means),
            sizes=np.array(sizes, dtype=np.int64),
            rest=np.concatenate(rest),
        )

    def rows(self) -> Float32[np.ndarray, "b n d"]:
        """Return all rows, means first."""
        return np.concatenate([self.means, self.rest])


@final
class ClassGaussian:
    """The model of rows laid out as `Contrasts.rows`, in the shape `refine` asks of a model.

    Args:
        whole: Of single maps: its channels are those of this model.
        between: Of mean rows.
        within: Of the other rows.
        mean: Mean map, in the extractor's channels.
        sizes: Of the classes whose rows will come.
        num_rest: Rows that follow the means.
    """

    def __init__(
        self,
        whole: JointGaussian,
        between: JointGaussian,
        within: JointGaussian,
        mean: Float64[np.ndarray, "n d"],
        sizes: Int64[np.ndarray, " c"],
        num_rest: int,
    ) -> None:
        self.into = whole.into
        self.variances = whole.variances
        roots = np.concatenate([np.sqrt(sizes), np.zeros(num_rest)])
        self.means = (roots[:, None, None] * (mean @ whole.into)).astype(np.float32)
        back = np.linalg.inv(whole.into)
        self._parts = [
            (model, (back @ model.into).astype(np.float32)) for model in (between, within)
        ]
        self._num_means = len(sizes)

    @classmethod
    def fit(
        cls,
        tokens: Float32[np.ndarray, "p n d"],
        labels: Int64[np.ndarray, " p"],
        sizes: Int64[np.ndarray, " c"],
        num_rest: int,
        *,
        max_maps: int,
        rng: np.random.Generator,
    ) -> "ClassGaussian":
        """Measure the attacker's people for records of classes of these sizes.

        Args:
            tokens: Features of the attacker's own photographs.
            labels: Who is on them.
            sizes: Of the classes of the records.
            num_rest: Rows of differences of the records.
            max_maps: Rows that each Gaussian is fitted to.
            rng: Draws them.

        Raises:
            InsufficientDataError: Fewer than 20 people with two photographs.
        """
        own = Contrasts.of(tokens, labels)
        if len(own.sizes) < FEWEST_PEOPLE:
            raise InsufficientDataError(
                f"{len(own.sizes)} people of the attacker's have two photographs; telling people "
                f"from pictures needs at least {FEWEST_PEOPLE}"
            )
        mean = tokens.mean(axis=0, dtype=np.float64)
        # The covariance of a mean row grows with the size of its class: brought to the records'.
        roots = np.sqrt(own.sizes)[:, None, None]
        scale = np.sqrt(sizes.mean() / own.sizes)[:, None, None]
        between = ((own.means - roots * mean) * scale).astype(np.float32)

        def some(rows: Float32[np.ndarray, "r n d"]) -> Float32[np.ndarray, "s n d"]:
            return rows[np.sort(rng.permutation(len(rows))[:max_maps])]

        return cls(
            JointGaussian.fit(some(tokens)),
            JointGaussian.fit(some(between)),
            JointGaussian.fit(some(own.rest)),
            mean,
            sizes,
            num_rest,
        )

    def precision_times(self, maps: Float32[np.ndarray, "b n d"]) -> Float32[np.ndarray, "b n d"]:
        """Return the precision of each row, applied to rows less their mean."""
        blocks = (maps[: self._num_means], maps[self._num_means :])
        return np.concatenate(
            [
                model.precision_times(block @ turn) @ turn.T
                for block, (model, turn) in zip(blocks, self._parts, strict=True)
            ]
        )

    def mean_curvature(self) -> Float64[np.ndarray, " d"]:
        """Return the diagonal of the precision, averaged over positions and rows."""
        share = self._num_means / len(self.means)
        both = [
            np.square(turn.astype(np.float64)) @ model.mean_curvature()
            for model, turn in self._parts
        ]
        return share * both[0] + (1 - share) * both[1]
