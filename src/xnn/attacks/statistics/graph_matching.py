"""Which place of a record holds which position: graph matching on the layers no key changes.

Source: FAQ, Vogelstein et al. 2015 (PLOS ONE 10(4)): Frank-Wolfe on the relaxed quadratic
assignment problem, with exact line search and the Hungarian method for every linear step.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import linear_sum_assignment

_SINKHORN_ROUNDS = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Match:
    """A guess at a permutation."""

    place: Int64[np.ndarray, " n"]
    """place[i] is the position that stands at place i of a record."""
    objective: float
    """How well the layers agree; higher = better."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphProblem:
    """Maximise sum_l <A_l, P B_l P'> + <linear, P> over permutations P."""

    records: Float64[np.ndarray, "l n n"]
    """Normalised layers of the records (A)."""
    public: Float64[np.ndarray, "l n n"]
    """Normalised layers of the attacker's features (B)."""
    cost: Float64[np.ndarray, "n n"]
    """How unlike place i and position j look on their own."""
    linear: Float64[np.ndarray, "n n"]
    symmetric: bool = field(init=False)
    """Whether every layer is its own transpose, asked once: a step then takes half the products."""

    def __post_init__(self) -> None:
        symmetric = all(
            np.array_equal(layers, layers.transpose(0, 2, 1))
            for layers in (self.records, self.public)
        )
        object.__setattr__(self, "symmetric", symmetric)

    def objective(self, match: Float64[np.ndarray, "n n"]) -> float:
        """Return the value of a doubly stochastic matrix."""
        return float(self._quadratic(match) + np.sum(self.linear * match))

    def _quadratic(self, match: Float64[np.ndarray, "n n"]) -> float:
        return 0.5 * float(np.sum(self._pull(match) * match))

    def climb(self, start: Float64[np.ndarray, "n n"], *, max_steps: int = 60) -> Match:
        """Climb from a doubly stochastic matrix and round to the nearest permutation.

        The derivative of the quadratic part is linear in the match: it is carried along, so that a
        step takes the products of one permutation only.
        """
        match, pull = start, self._pull(start)
        for _ in range(max_steps):
            gradient = pull + self.linear
            best = _assign(-gradient)
            direction = _permutation_matrix(best) - match
            slope = float(np.sum(gradient * direction))
            value = 0.5 * float(np.sum(pull * match)) + float(np.sum(self.linear * match))
            if slope < 1e-7 * max(1.0, abs(value)):
                break
            change = self._pull_of(best) - pull
            curvature = 0.5 * float(np.sum(change * direction))
            step = 1.0 if curvature >= 0 else min(1.0, -slope / (2 * curvature))
            match, pull = match + step * direction, pull + step * change
        place = _assign(-match)
        return Match(place=place, objective=self._objective_of(place))

    def _objective_of(self, place: Int64[np.ndarray, " n"]) -> float:
        """Return the value of a permutation, without the products of a whole matrix."""
        permutation = _permutation_matrix(place)
        quadratic = 0.5 * float(np.sum(self._pull_of(place) * permutation))
        return float(quadratic + np.sum(self.linear * permutation))

    def _pull(self, match: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
        """Return the derivative of the quadratic part."""
        if self.symmetric:
            return 2 * _sum_of_products(self.records @ match, self.public)
        return self._from_left(self.records @ match, self.records.transpose(0, 2, 1) @ match)

    def _pull_of(self, place: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n n"]:
        """Return the same of a permutation, whose products from the left are a new order."""
        back = np.argsort(place)
        if self.symmetric:
            return 2 * _sum_of_products(self.records[:, :, back], self.public)
        return self._from_left(
            self.records[:, :, back], self.records.transpose(0, 2, 1)[:, :, back]
        )

    def _from_left(
        self, one: Float64[np.ndarray, "l n n"], other: Float64[np.ndarray, "l n n"]
    ) -> Float64[np.ndarray, "n n"]:
        turned = self.public.transpose(0, 2, 1)
        return _sum_of_products(one, turned) + _sum_of_products(other, self.public)


def pose(
    records: Float64[np.ndarray, "l n n"], public: Float64[np.ndarray, "l n n"]
) -> GraphProblem:
    """Put layers of records and of the attacker's features on one scale and compare places."""
    a, b = _normalised(records), _normalised(public)
    left, right = _descriptors(a), _descriptors(b)
    cost = (
        np.square(left).sum(axis=1)[:, None]
        - 2 * left @ right.T
        + np.square(right).sum(axis=1)[None, :]
    )
    linear = -0.5 * len(cost) * cost / max(float(cost.mean()), 1e-12)
    return GraphProblem(records=a, public=b, cost=cost, linear=linear)


def match_positions(
    problem: GraphProblem, *, random_starts: int, rng: np.random.Generator
) -> list[Match]:
    """Climb from several starts; return the different ends, best first.

    Starts: the Hungarian match of single places, the barycentre, their mean, the softmax of the
    cost, and random mixtures with it.
    """
    n = len(problem.cost)
    hungarian = _permutation_matrix(_assign(problem.cost))
    flat = np.full((n, n), 1.0 / n)
    scale = max(float(np.median(problem.cost.min(axis=1))), 1e-12)
    cost = problem.cost - problem.cost.min(axis=1, keepdims=True)
    soft = _doubly_stochastic(np.exp(-cost / scale) + 1e-9)
    starts = [hungarian, flat, 0.5 * (hungarian + flat), soft]
    starts += [
        0.5 * (soft + _doubly_stochastic(rng.random((n, n)) + 1e-9)) for _ in range(random_starts)
    ]
    found: dict[bytes, Match] = {}
    for start in starts:
        match = problem.climb(start)
        found.setdefault(match.place.tobytes(), match)
    return sorted(found.values(), key=lambda match: -match.objective)


def mirror_of_grid(n: int) -> Int64[np.ndarray, " n"] | None:
    """Return the left-right mirror of a square grid of tokens, perhaps with a class token first.

    Returns:
        mirror[i] is the position opposite to i; None when n is no square and no square plus one.
    """
    for first in (0, 1):
        side = round(np.sqrt(n - first))
        if side > 1 and side * side == n - first:
            grid = np.arange(first, n, dtype=np.int64).reshape(side, side)[:, ::-1]
            return np.concatenate([np.arange(first, dtype=np.int64), grid.reshape(-1)])
    return None


def _normalised(layers: Float64[np.ndarray, "l n n"]) -> Float64[np.ndarray, "l n n"]:
    """Compress heavy tails by signed roots, then standardise the diagonal apart from the rest."""
    n = layers.shape[1]
    rest = ~np.eye(n, dtype=bool)
    done = np.sign(layers) * np.sqrt(np.abs(layers))
    for layer in done:
        off, diagonal = layer[rest], np.diagonal(layer).copy()
        if n > 1:
            layer -= off.mean()
            layer /= off.std() + 1e-9
        np.fill_diagonal(layer, (diagonal - diagonal.mean()) / (diagonal.std() + 1e-9))
    return done


def _descriptors(layers: Float64[np.ndarray, "l n n"]) -> Float64[np.ndarray, "n f"]:
    """Describe each place by its own diagonal entries and its sorted row and column."""
    n = layers.shape[1]
    rest = ~np.eye(n, dtype=bool)
    parts = []
    for layer in layers:
        rows = np.sort(layer[rest].reshape(n, n - 1), axis=1)
        columns = np.sort(layer.T[rest].reshape(n, n - 1), axis=1)
        parts += [np.diagonal(layer)[:, None], rows * 3 / np.sqrt(n), columns * 3 / np.sqrt(n)]
    return np.concatenate(parts, axis=1)


def _doubly_stochastic(matrix: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
    for _ in range(_SINKHORN_ROUNDS):
        matrix = matrix / matrix.sum(axis=1, keepdims=True)
        matrix = matrix / matrix.sum(axis=0, keepdims=True)
    return matrix


def _sum_of_products(
    left: Float64[np.ndarray, "l n n"], right: Float64[np.ndarray, "l n n"]
) -> Float64[np.ndarray, "n n"]:
    """Return the sum over layers of left times right, as one product."""
    n = left.shape[1]
    beside: Float64[np.ndarray, "n n"] = left.transpose(1, 0, 2).reshape(n, -1) @ right.reshape(
        -1, n
    )
    return beside


def _assign(cost: Float64[np.ndarray, "n n"]) -> Int64[np.ndarray, " n"]:
    return linear_sum_assignment(cost)[1].astype(np.int64)


def _permutation_matrix(place: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n n"]:
    return np.eye(len(place))[place]
