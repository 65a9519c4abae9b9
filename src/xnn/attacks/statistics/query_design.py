"""Which pictures to ask the owner's system for: those that leave no direction of the key unseen.

Greedy D-optimal design: one after another, the picture whose tokens add most to the determinant
of what has been asked so far, channels whitened by all that could be asked. Beside faces, pictures
that no camera gives are on offer: noise, patches of faces in disorder, stripes and flat colours.

Source: this project; optimal design as in Fedorov 1972.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

_PATCH_PX = 14
_ASKED = 1e-3
"""What is taken as seen of each whitened channel before the first query."""


def made_up_pictures(
    crops: UInt8[np.ndarray, "b 112 112 3"], count: int, *, seed: int
) -> UInt8[np.ndarray, "p 112 112 3"]:
    """Return pictures that are no faces, in turn noise, disorder, stripes and flat colour.

    Args:
        crops: Faces, whose patches are put in disorder.
        count: Pictures wanted.
        seed: Draws them.
    """
    rng = np.random.default_rng(seed)
    side = crops.shape[1]
    pictures = np.empty((count, side, side, 3), dtype=np.uint8)
    for i in range(count):
        if i % 4 == 0:
            grain = int(rng.choice([1, 4, 7, 14, 28]))
            small = rng.integers(0, 256, size=(side // grain, side // grain, 3))
            pictures[i] = small.repeat(grain, axis=0).repeat(grain, axis=1)
        elif i % 4 == 1:
            pictures[i] = _in_disorder(crops[rng.integers(len(crops))], rng)
        elif i % 4 == 2:
            wave = rng.normal(size=(2, 3)) * 0.5
            across, down = np.meshgrid(np.arange(side), np.arange(side))
            phase = across[..., None] * wave[0] + down[..., None] * wave[1]
            pictures[i] = (127.5 + 127.5 * np.sin(phase)).astype(np.uint8)
        else:
            pictures[i] = rng.integers(0, 256, size=3)
    return pictures


def choose_queries(
    tokens: Float32[np.ndarray, "c n d"], count: int, *, rows_wanted: int
) -> Int64[np.ndarray, " q"]:
    """Return which of the pictures on offer to ask for, most telling first.

    Args:
        tokens: Features of all pictures on offer.
        count: Queries allowed.
        rows_wanted: Tokens after which every direction has been seen well enough; queries beyond
            those are taken in the order they are offered.
    """
    white = _whitened(tokens)
    n, d = white.shape[1:]
    designed = min(count, len(tokens), -(-rows_wanted // n))
    seen = np.eye(d) / _ASKED  # inverse of what has been asked
    left = np.ones(len(tokens), dtype=bool)
    chosen: list[int] = []
    for _ in range(designed):
        rows = np.flatnonzero(left)
        gains = np.array(
            [np.linalg.slogdet(np.eye(n) + white[r] @ seen @ white[r].T)[1] for r in rows]
        )
        best = int(rows[gains.argmax()])
        left[best] = False
        chosen.append(best)
        ahead = seen @ white[best].T
        seen -= ahead @ np.linalg.solve(np.eye(n) + white[best] @ ahead, ahead.T)
    rest = np.flatnonzero(left)[: max(0, count - designed)]
    return np.concatenate([np.array(chosen, dtype=np.int64), rest])


def _whitened(tokens: Float32[np.ndarray, "c n d"]) -> Float64[np.ndarray, "c n d"]:
    rows = tokens.reshape(-1, tokens.shape[2]).astype(np.float64)
    variances, directions = np.linalg.eigh(rows.T @ rows / len(rows))
    floor = 1e-6 * variances.mean() + 1e-30
    return tokens @ (directions / np.sqrt(np.maximum(variances, floor)))


def _in_disorder(crop: UInt8[np.ndarray, "112 112 3"], rng: np.random.Generator) -> np.ndarray:
    tiles = crop.shape[0] // _PATCH_PX
    patches = crop.reshape(tiles, _PATCH_PX, tiles, _PATCH_PX, 3).transpose(0, 2, 1, 3, 4)
    mixed = rng.permutation(patches.reshape(-1, _PATCH_PX, _PATCH_PX, 3))
    grid = mixed.reshape(tiles, tiles, _PATCH_PX, _PATCH_PX, 3).transpose(0, 2, 1, 3, 4)
    return grid.reshape(crop.shape)
