"""Graph matching against every permutation, and against keys."""

from itertools import permutations

import numpy as np
import pytest

from xnn.attacks.statistics.graph_matching import match_positions, mirror_of_grid, pose
from xnn.attacks.statistics.moments import measure


def shuffled(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    public = rng.normal(size=(2, n, n))
    order = rng.permutation(n)
    records = public[:, order][:, :, order] + 0.3 * rng.normal(size=(2, n, n))
    return records, public, order


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_the_best_of_all_permutations(seed: int) -> None:
    records, public, _ = shuffled(seed, 6)
    problem = pose(records, public)
    best = max(problem.objective(np.eye(6)[list(places)]) for places in permutations(range(6)))
    found = match_positions(problem, random_starts=3, rng=np.random.default_rng(0))
    assert found[0].objective == pytest.approx(best)
    assert [m.objective for m in found] == sorted((m.objective for m in found), reverse=True)


def test_the_objective_is_what_it_says() -> None:
    records, public, order = shuffled(0, 5)
    problem = pose(records, public)
    match = np.eye(5)[order]
    slow = sum(
        problem.records[layer, i, k] * problem.public[layer, order[i], order[k]]
        for layer in range(2)
        for i in range(5)
        for k in range(5)
    ) + sum(problem.linear[i, order[i]] for i in range(5))
    assert problem.objective(match) == pytest.approx(slow)


def test_a_key_is_seen_through(made_up) -> None:
    records, order = made_up.records(made_up.tokens(400, 1))
    problem = pose(measure(records).layers, measure(made_up.tokens(400, 2)).layers)
    assert np.array_equal(
        match_positions(problem, random_starts=2, rng=np.random.default_rng(0))[0].place, order
    )


@pytest.mark.filterwarnings("error")
def test_one_position_needs_no_search() -> None:
    problem = pose(np.full((2, 1, 1), 3.0), np.full((2, 1, 1), 5.0))
    found = match_positions(problem, random_starts=1, rng=np.random.default_rng(0))
    assert [match.place.tolist() for match in found] == [[0]]


def test_the_mirror_of_a_grid() -> None:
    assert np.array_equal(mirror_of_grid(9), [2, 1, 0, 5, 4, 3, 8, 7, 6])
    assert np.array_equal(mirror_of_grid(5), [0, 2, 1, 4, 3])
    assert mirror_of_grid(12) is None
    for n in (16, 65, 197):
        mirror = mirror_of_grid(n)
        assert mirror is not None
        assert np.array_equal(mirror[mirror], np.arange(n))
