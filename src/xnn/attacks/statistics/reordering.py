"""Which place holds which position, once the rotation is known: one Hungarian match.

Source: this project (redteam.md, A1 step 4).
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.optimize import linear_sum_assignment

from xnn.attacks.statistics.moments import PositionMoments


def reorder(
    records: PositionMoments, public: PositionMoments, back: Float64[np.ndarray, "d d"]
) -> Int64[np.ndarray, " n"]:
    """Return the position at each place, by means and covariances in the public whitened space.

    Args:
        records: Moments of the records.
        public: Moments of the attacker's features.
        back: From the records' whitened channels to the public ones.
    """
    means = _squared_distances(records.means @ back, public.means)
    turn = back.astype(np.float32)
    turned = turn.T @ records.covariances @ turn
    covariances = _squared_distances(
        turned.reshape(len(turned), -1), public.covariances.reshape(len(turned), -1)
    )
    cost = means / means.mean() + covariances / covariances.mean()
    return linear_sum_assignment(cost)[1].astype(np.int64)


def _squared_distances(
    a: Float64[np.ndarray, "n f"] | Float32[np.ndarray, "n f"],
    b: Float64[np.ndarray, "m f"] | Float32[np.ndarray, "m f"],
) -> Float64[np.ndarray, "n m"]:
    left = np.square(a).sum(axis=1, dtype=np.float64)[:, None]
    right = np.square(b).sum(axis=1, dtype=np.float64)[None, :]
    return left + right - 2 * (a @ b.T).astype(np.float64)
