"""Graph matching of a few hundred nodes by climbing from many starts and breeding the best ends.

One climb ends in one of very many local optima. What good ends agree on is more often right than
not; so their mean, with some noise, is a better start than chance.

Source: this project; the climb is FAQ (Vogelstein et al. 2015), the breeding in the manner of
memetic algorithms for quadratic assignment (Merz and Freisleben 2000).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from xnn.attacks.statistics.graph_matching import GraphProblem, Match

_SINKHORN_ROUNDS = 10
_PEAKED = 4.0
"""Exponent of random starts: nearer to permutations than uniform numbers are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreedingSettings:
    """Effort."""

    random_climbs: int = 200
    bred_climbs: int = 1000
    population: int = 40
    parents: int = 20
    """The best of the population, from which 2 to 4 are drawn."""


def bred_matching(
    records: Float64[np.ndarray, "l n n"],
    public: Float64[np.ndarray, "l n n"],
    *,
    settings: BreedingSettings,
    rng: np.random.Generator,
) -> list[Match]:
    """Match the nodes of two families of symmetric graphs.

    Args:
        records: Layers of weights; zero rows for nodes that are not there.
        public: The same layers on the other side.
        settings: Effort.
        rng: Draws starts and parents.

    Returns:
        Different matches, best first; `place[i]` is the public node of node i.
    """
    n = records.shape[1]
    none = np.zeros((n, n))
    problem = GraphProblem(records=records, public=public, cost=none, linear=none)
    found: dict[bytes, Match] = {}

    def climb(start: Float64[np.ndarray, "n n"]) -> None:
        match = problem.climb(start, max_steps=30)
        found.setdefault(match.place.tobytes(), match)

    climb(np.full((n, n), 1 / n))
    for _ in range(settings.random_climbs):
        climb(0.7 * _random_start(n, rng) + 0.3 / n)
    for _ in range(settings.bred_climbs):
        if len(found) > settings.population:
            found = {m.place.tobytes(): m for m in _ranked(found)[: settings.population]}
        best = _ranked(found)[: settings.parents]
        parents = rng.permutation(len(best))[: rng.integers(2, 5)]
        mean = np.mean([np.eye(n)[best[parent].place] for parent in parents], axis=0)
        climb(0.6 * mean + 0.2 * _random_start(n, rng) + 0.2 / n)
    return _ranked(found)


def _ranked(found: dict[bytes, Match]) -> list[Match]:
    return sorted(found.values(), key=lambda match: -match.objective)


def _random_start(n: int, rng: np.random.Generator) -> Float64[np.ndarray, "n n"]:
    matrix = rng.random((n, n)) ** _PEAKED + 1e-9
    for _ in range(_SINKHORN_ROUNDS):
        matrix /= matrix.sum(axis=1, keepdims=True)
        matrix /= matrix.sum(axis=0, keepdims=True)
    return matrix
