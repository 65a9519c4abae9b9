"""Rows and grids in disorder come back by their neighbours."""

from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xnn.attacks.statistics.neighbour_order import (
    grid_neighbours,
    grid_side,
    grid_symmetries,
    partial_likeness,
    restore_chain,
    restore_grid,
)


def smooth(side: int, seed: int, count: int = 400) -> np.ndarray:
    """Covariance of the cells of random smooth pictures."""
    rng = np.random.default_rng(seed)
    cells = np.stack(np.divmod(np.arange(side * side), side), axis=1)
    apart = np.linalg.norm(cells[:, None] - cells[None], axis=2)
    root = np.linalg.cholesky(np.exp(-apart / 2) + 1e-6 * np.eye(side * side))
    pictures = rng.normal(size=(count, side * side)) @ root.T
    return np.cov(pictures.T)


@pytest.mark.parametrize("side", [3, 4, 5])
def test_a_grid_comes_back_up_to_turning(side: int) -> None:
    for seed in range(2):
        true = np.random.default_rng(seed + 10).permutation(side * side)
        likeness = partial_likeness(smooth(side, seed)[np.ix_(true, true)])
        cells, mean = restore_grid(likeness, seed=0)
        beside = grid_neighbours(side)
        # Neighbours stay neighbours however the grid is turned.
        assert np.mean(beside[true][:, true][beside[cells][:, cells]]) > 0.9
        assert any(np.array_equal(s[cells], true) for s in grid_symmetries(side))
        assert mean > 0.1
        assert np.array_equal(restore_grid(likeness, seed=0)[0], cells)


def test_noise_has_no_order() -> None:
    rng = np.random.default_rng(0)
    cells, _ = restore_grid(partial_likeness(np.cov(rng.normal(size=(16, 400)))), seed=0)
    beside = grid_neighbours(4)
    assert np.mean(beside[cells][:, cells] & beside) * 256 / beside.sum() < 0.6  # chance 0.2


def test_a_small_chain_is_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        likeness = rng.random((6, 6))
        likeness = likeness + likeness.T
        best = max(sum(likeness[a, b] for a, b in pairwise(one)) for one in permutations(range(6)))
        chain = restore_chain(likeness)
        assert sorted(chain) == list(range(6))
        assert likeness[chain[:-1], chain[1:]].sum() > 0.95 * best


def test_rows_of_photographs_in_disorder_come_back(orl_photos: Path) -> None:
    rng = np.random.default_rng(0)
    shares = []
    for subject in (1, 7, 20):
        with Image.open(orl_photos / f"s{subject}" / "1.pgm") as photo:
            rows = np.asarray(photo, dtype=np.float64)
        order = rng.permutation(len(rows))
        mixed = rows[order]
        chain = restore_chain(-np.linalg.norm(mixed[:, None] - mixed[None], axis=2))
        steps = np.abs(np.diff(order[chain]))
        shares.append(np.mean(steps == 1))
    assert np.mean(shares) > 0.85  # chance is 2 / 112


def test_grids_are_told_from_rows() -> None:
    assert grid_side(64) == (8, 0)
    assert grid_side(65) == (8, 1)
    assert grid_side(63) is None
    assert grid_symmetries(3).shape == (8, 9)
    assert len({tuple(one) for one in grid_symmetries(3).tolist()}) == 8


def test_partial_likeness_is_the_slow_one() -> None:
    covariance = smooth(3, 0)
    deviation = np.sqrt(np.diag(covariance))
    ridged = covariance / np.outer(deviation, deviation) + 0.05 * np.eye(9)
    for i, j in [(0, 1), (2, 7)]:
        others = [k for k in range(9) if k not in (i, j)]
        pair = np.ix_([i, j], [i, j])
        rest = ridged[np.ix_([i, j], others)]
        left = ridged[pair] - rest @ np.linalg.inv(ridged[np.ix_(others, others)]) @ rest.T
        slow = left[0, 1] / np.sqrt(left[0, 0] * left[1, 1])
        assert partial_likeness(covariance)[i, j] == pytest.approx(slow)
