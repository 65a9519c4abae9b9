"""The order of tokens from who resembles whom among them: neighbours in a picture are alike.

No public statistics are used, only that tokens lie on a grid, or lines in a row. The partial
correlation of two places, given all others, is high for neighbours and near nothing for the rest.
Swaps of places, hot at first, then cold, look for the layout with the most likeness between
neighbours, from a spectral layout and from chance. Grids come back up to turning and mirroring.

Source: arXiv:2408.04974's research code, script 028 (greedy chains of rows and columns); the
partial correlations and the annealing are this project's.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.optimize import linear_sum_assignment

_RIDGE = 0.05
_NEAREST = 4
_ANGLES = 8
_STEPS = 1200
_HOT, _COLD = 0.1, 0.01


def partial_likeness(covariance: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
    """Return the partial correlation of each two places given all the others; 0 on the diagonal."""
    deviations = np.sqrt(np.maximum(np.diagonal(covariance), 1e-300))
    correlation = covariance / np.outer(deviations, deviations)
    precision = np.linalg.inv(correlation + _RIDGE * np.eye(len(correlation)))
    scale = np.sqrt(np.diagonal(precision))
    likeness: Float64[np.ndarray, "n n"] = -precision / np.outer(scale, scale)
    np.fill_diagonal(likeness, 0.0)
    return likeness


def grid_side(n: int) -> tuple[int, int] | None:
    """Return side and number of class tokens (0 or 1) of a square grid of n tokens, if one is."""
    for first in (0, 1):
        side = round(np.sqrt(n - first))
        if side > 1 and side * side == n - first:
            return side, first
    return None


def grid_neighbours(side: int) -> Bool[np.ndarray, "n n"]:
    """Return which two cells of a square grid share an edge."""
    cells = _cells(side)
    return np.abs(cells[:, None] - cells[None]).sum(axis=2) == 1


def restore_chain(likeness: Float64[np.ndarray, "n n"]) -> Int64[np.ndarray, " n"]:
    """Return lines in a row such that neighbours are alike; from either end.

    Greedy chains from every start, as the authors' from the first; the best one is then improved by
    turning stretches round for as long as that helps.

    Returns:
        chain[i] is the line that stands i-th.
    """
    n = len(likeness)
    chains = [_greedy(likeness, start) for start in range(n)]
    chain = max(chains, key=lambda one: float(likeness[one[:-1], one[1:]].sum()))
    while True:
        gains = _turning_gains(likeness[chain][:, chain])
        i, j = np.unravel_index(int(gains.argmax()), gains.shape)
        if gains[i, j] < 1e-12:
            return chain
        chain = np.concatenate([chain[:i], chain[i : j + 1][::-1], chain[j + 1 :]])


def restore_grid(
    likeness: Float64[np.ndarray, "n n"], *, seed: int
) -> tuple[Int64[np.ndarray, " n"], float]:
    """Return the cell of each place, rows first, and the mean likeness of neighbours.

    Args:
        likeness: Of the places of a square grid.
        seed: Of the swaps.
    """
    side = round(np.sqrt(len(likeness)))
    neighbours = grid_neighbours(side).astype(np.float64)
    rng = np.random.default_rng(seed)
    starts = _spectral_layouts(likeness, side)
    starts += [rng.permutation(len(likeness)) for _ in range(2)]
    found = [_anneal(likeness, neighbours, start, rng) for start in starts]
    occupant, total = max(found, key=lambda one: one[1])
    return np.argsort(occupant).astype(np.int64), total / float(neighbours.sum() / 2)


def grid_symmetries(side: int) -> Int64[np.ndarray, "8 n"]:
    """Return the turns and mirrors of a square grid: cell i goes to cell [k, i]."""
    grid = np.arange(side * side, dtype=np.int64).reshape(side, side)
    turned = [np.rot90(one, turns) for one in (grid, grid.T) for turns in range(4)]
    return np.stack([one.reshape(-1) for one in turned])


def _cells(side: int) -> Int64[np.ndarray, "n 2"]:
    return np.stack(np.divmod(np.arange(side * side), side), axis=1)


def _greedy(likeness: Float64[np.ndarray, "n n"], start: int) -> Int64[np.ndarray, " n"]:
    left = np.ones(len(likeness), dtype=bool)
    chain = [start]
    for _ in range(len(likeness) - 1):
        left[chain[-1]] = False
        chain.append(int(np.where(left, likeness[chain[-1]], -np.inf).argmax()))
    return np.array(chain, dtype=np.int64)


def _turning_gains(placed: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
    """Return what turning each stretch i..j of a chain round adds to the likeness of neighbours."""
    steps = np.diagonal(placed, offset=1)
    gains = np.zeros_like(placed)
    gains[1:] += placed[:-1] - steps[:, None]
    gains[:, :-1] += placed[:, 1:] - steps[None, :]
    return np.triu(gains, k=1)


def _spectral_layouts(
    likeness: Float64[np.ndarray, "n n"], side: int
) -> list[Int64[np.ndarray, " n"]]:
    """Return layouts from the two slowest modes of the graph of likeness, at several angles."""
    n = len(likeness)
    weights = np.maximum(likeness, 0.0)
    rank = np.argsort(np.argsort(-weights, axis=1), axis=1)
    near = (rank < _NEAREST) & (weights > 0)
    weights = np.where(near | near.T, weights, 0.0) + 1e-6
    degree = np.sqrt(weights.sum(axis=1))
    _, modes = np.linalg.eigh(np.eye(n) - weights / np.outer(degree, degree))
    points = modes[:, 1:3] / degree[:, None]
    points = (points - points.mean(axis=0)) / points.std(axis=0)
    cells = (_cells(side) - (side - 1) / 2) / np.sqrt((side**2 - 1) / 12)
    layouts = []
    for angle in np.arange(_ANGLES) * np.pi / 2 / _ANGLES:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        apart = np.square((points @ turn)[:, None] - cells[None]).sum(axis=2)
        layouts.append(np.argsort(linear_sum_assignment(apart)[1]).astype(np.int64))
    return layouts


def _anneal(
    likeness: Float64[np.ndarray, "n n"],
    neighbours: Float64[np.ndarray, "n n"],
    start: Int64[np.ndarray, " n"],
    rng: np.random.Generator,
) -> tuple[Int64[np.ndarray, " n"], float]:
    """Swap occupants of cells: any swap at first, in the end only for the better."""
    occupant = start.copy()
    best, most = occupant.copy(), -np.inf
    for step in range(_STEPS + len(start)):
        placed = likeness[occupant][:, occupant]
        pull = placed @ neighbours
        own = np.diagonal(pull)
        total = float(own.sum() / 2)
        if total > most:
            best, most = occupant.copy(), total
        gain = pull + pull.T - own[:, None] - own[None, :] - 2 * neighbours * placed
        heat = _HOT * (_COLD / _HOT) ** (step / _STEPS) if step < _STEPS else 0.0
        wish = gain + heat * rng.gumbel(size=gain.shape)
        np.fill_diagonal(wish, -np.inf)
        i, j = np.unravel_index(int(wish.argmax()), wish.shape)
        if gain[i, j] <= 0 and (heat == 0 or rng.random() > np.exp(gain[i, j] / heat)):
            if heat == 0:
                break
            continue
        occupant[[i, j]] = occupant[[j, i]]
    return best, most
