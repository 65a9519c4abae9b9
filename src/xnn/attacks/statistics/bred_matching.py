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
_CLIMB_STEPS = 30
_PEAKED = 4.0
"""Exponent of random starts: nearer to permutations than uniform numbers are."""


_Population = dict[bytes, Match]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreedingSettings:
    """Effort."""

    islands: int = 6
    """Populations bred apart, whose best are bred together at the end."""
    random_climbs: int = 60
    """Per island."""
    bred_climbs: int = 120
    """Per island."""
    last_climbs: int = 300
    population: int = 40
    parents: int = 12
    """The best of an island, from which 2 to 4 are drawn."""
    emigrants: int = 8
    """Of every island to the last population."""


def bred_matching(
    records: Float64[np.ndarray, "l n n"],
    public: Float64[np.ndarray, "l n n"],
    *,
    settings: BreedingSettings,
    rng: np.random.Generator,
    linear: Float64[np.ndarray, "n n"] | None = None,
) -> list[Match]:
    """Match the nodes of two families of symmetric graphs.

    Args:
        records: Layers of weights; zero rows for nodes that are not there.
        public: The same layers on the other side.
        settings: Effort.
        rng: Draws starts and parents.
        linear: What is known of single nodes: gain of matching node i with public node j.

    Returns:
        Different matches, best first; `place[i]` is the public node of node i.
    """
    n = records.shape[1]
    none = np.zeros((n, n))
    known = none if linear is None else linear
    problem = GraphProblem(records=records, public=public, cost=none, linear=known)
    together: _Population = {}
    for _ in range(settings.islands):
        island: _Population = {}
        _add(island, problem.climb(np.full((n, n), 1 / n), max_steps=_CLIMB_STEPS))
        for _ in range(settings.random_climbs):
            start = 0.7 * _random_start(n, rng) + 0.3 / n
            _add(island, problem.climb(start, max_steps=_CLIMB_STEPS))
        island = _bred(problem, island, settings.bred_climbs, settings, rng)
        for match in _ranked(island)[: settings.emigrants]:
            _add(together, match)
    return _ranked(_bred(problem, together, settings.last_climbs, settings, rng))


def _bred(
    problem: GraphProblem,
    found: _Population,
    climbs: int,
    settings: BreedingSettings,
    rng: np.random.Generator,
) -> _Population:
    """Climb from noisy means of two to four of the best, and keep what is best."""
    n = len(problem.linear)
    for _ in range(climbs):
        best = _ranked(found)[: settings.parents]
        parents = rng.permutation(len(best))[: rng.integers(2, 5)]
        mean = np.mean([np.eye(n)[best[parent].place] for parent in parents], axis=0)
        start = 0.6 * mean + 0.35 * _random_start(n, rng) + 0.05 / n
        _add(found, problem.climb(start, max_steps=_CLIMB_STEPS))
        if len(found) > settings.population:
            found = {m.place.tobytes(): m for m in _ranked(found)[: settings.population]}
    return found


def _add(found: _Population, match: Match) -> None:
    found.setdefault(match.place.tobytes(), match)


def _ranked(found: _Population) -> list[Match]:
    return sorted(found.values(), key=lambda match: -match.objective)


def _random_start(n: int, rng: np.random.Generator) -> Float64[np.ndarray, "n n"]:
    matrix = rng.random((n, n)) ** _PEAKED + 1e-9
    for _ in range(_SINKHORN_ROUNDS):
        matrix /= matrix.sum(axis=1, keepdims=True)
        matrix /= matrix.sum(axis=0, keepdims=True)
    return matrix
